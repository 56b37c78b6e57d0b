// The latency of a customer over time: darker where more requests took so long. The same is there as a table.

import { byId, element, replace, setText } from "./dom.js";
import * as format from "./format.js";
import { Part } from "./part.js";
import { figuresAddress } from "./state.js";
import { counted } from "./words.js";

const MAX_AGE_MS = 60_000;
const PARTS = 60;
const ROW = 20; // pixels
const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 432_000, 864_000]; // seconds
const [LEFT, BOTTOM] = [66, 22];

export class HeatMap {
  #part;
  #answer = null;
  #state = null;
  #isAbsent = false; // a service without this

  constructor() {
    this.#part = new Part(byId("heat"), MAX_AGE_MS, (answer, status) => this.#receive(answer, status));
    new ResizeObserver(() => this.#draw()).observe(byId("heat-area"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    byId("heat-area").addEventListener("mousemove", (event) => this.#read(event));
    byId("heat-area").addEventListener("mouseleave", () => setText(byId("heat-cell"), ""));
    byId("heat-details").addEventListener("toggle", () => this.#tabulate());
  }

  show(state, stats, about) {
    byId("heat").hidden = state.customer === null || this.#isAbsent;
    if (state.customer === null) return;
    this.#state = state;
    this.#part.want(about, figuresAddress(state, "latencies", { from: stats.from, to: stats.to, parts: PARTS }));
  }

  #receive(answer, status) {
    this.#answer = answer?.parts.length ? answer : null;
    this.#isAbsent = byId("heat").hidden = status === 404;
    const isDrawn = this.#answer !== null && this.#most() > 0;
    byId("heat-area").hidden = byId("heat-details").hidden = !isDrawn;
    setText(byId("heat-note"), isDrawn ? "darker: more requests" : answer === null ? "cannot be counted now" : "no request of this time has a duration");
    this.#draw();
    this.#tabulate();
  }

  #most() {
    return Math.max(0, ...this.#answer.parts.flatMap(({ counts }) => counts));
  }

  #draw() {
    const area = byId("heat-area");
    if (this.#answer === null || area.hidden || !area.clientWidth) return;
    const { parts, bounds } = this.#answer;
    const rows = bounds.length + 1;
    const [width, height] = [area.clientWidth, rows * ROW + BOTTOM];
    const canvas = byId("heat-canvas");
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    canvas.style.height = `${height}px`;
    canvas.setAttribute("aria-label", this.#summary());
    const style = getComputedStyle(document.documentElement);
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    const cell = (width - LEFT) / parts.length;
    const most = this.#most();
    pen.fillStyle = style.getPropertyValue("--heat");
    parts.forEach(({ counts }, part) =>
      counts.forEach((count, row) => {
        if (!count) return;
        pen.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / most);
        pen.fillRect(LEFT + part * cell, (rows - 1 - row) * ROW, Math.max(1, cell - 1), ROW - 1);
      }),
    );
    pen.globalAlpha = 1;
    pen.fillStyle = style.getPropertyValue("--soft");
    pen.font = `12px ${style.getPropertyValue("--font")}`;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    bounds.forEach((bound, row) => pen.fillText(format.roundSeconds(bound), LEFT - 8, (rows - 1 - row) * ROW));
    this.#label(pen, width, height);
  }

  #label(pen, width, height) {
    const { from, to } = this.#answer;
    const [begin, end] = [from, to].map((time) => Date.parse(time) / 1000);
    const most = width < 500 ? 3 : 7;
    const step = STEPS.find((each) => (end - begin) / each <= most) ?? (end - begin) / most;
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    for (let time = Math.ceil(begin / step) * step; time < end - step / 4; time += step) {
      const at = LEFT + ((time - begin) / (end - begin)) * (width - LEFT);
      pen.fillText(format.tick(time, step, this.#state.tz, false), at, height - 6);
    }
  }

  #summary() {
    const { parts, bounds } = this.#answer;
    const sums = parts[0].counts.map((_, row) => parts.reduce((sum, { counts }) => sum + counts[row], 0));
    const row = sums.indexOf(Math.max(...sums));
    return `Latency over time. Most requests, ${format.count(sums[row])}, took ${stepOf(bounds, row)}. The table below has every count.`;
  }

  #read(event) {
    const { parts, bounds } = this.#answer;
    const place = byId("heat-canvas").getBoundingClientRect();
    const part = Math.floor(((event.clientX - place.left - LEFT) / (place.width - LEFT)) * parts.length);
    const row = bounds.length - Math.floor((event.clientY - place.top) / ROW);
    const count = parts[part]?.counts[row];
    setText(byId("heat-cell"), count === undefined ? "" : `${this.#spanOf(part)}, ${stepOf(bounds, row)}: ${counted(count, "request")}`);
  }

  #spanOf(part) {
    const { parts, to } = this.#answer;
    return format.span(parts[part].start, parts[part + 1]?.start ?? to, this.#state.tz);
  }

  #tabulate() {
    const table = byId("heat-table");
    if (!byId("heat-details").open || this.#answer === null) return table.replaceChildren();
    const { parts, bounds } = this.#answer;
    const steps = Array.from({ length: bounds.length + 1 }, (_, row) => stepOf(bounds, row));
    const head = ["Time", ...steps].map((label) => element("th", { scope: "col" }, label));
    const rows = parts.map(({ counts }, part) =>
      element("tr", {}, element("th", { scope: "row" }, this.#spanOf(part)), ...counts.map((count) => element("td", {}, count ? format.count(count) : "–"))),
    );
    replace(table, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  }
}

function stepOf(bounds, row) {
  if (row === 0) return `less than ${format.roundSeconds(bounds[0])}`;
  if (row === bounds.length) return `${format.roundSeconds(bounds.at(-1))} or more`;
  return `${format.roundSeconds(bounds[row - 1])} to ${format.roundSeconds(bounds[row])}`;
}
