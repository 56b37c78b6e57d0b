// A chart with everything around it: legend, values under the cursor, keyboard, and the same as a table.

import { byId, element, figure, replace, setText } from "./dom.js";
import * as format from "./format.js";
import { SERIES, dataOf, optionsOf } from "./plots.js";

const HEIGHT = 220;
const FAR = 10; // windows that page up and page down move
const NOTHING = { left: 0, top: 0, width: 0, height: 0 }; // of the plot is selected

// Both charts, with the library that draws them. `zoom` is told from when to when, `open` which window.
export async function makeCharts(exports, does) {
  await Promise.all([
    load("link", { rel: "stylesheet", href: "/static/uplot/uPlot.min.css" }),
    load("script", { src: "/static/uplot/uPlot.iife.min.js" }),
  ]);
  return [new Chart("requests", "Requests", exports, does), new Chart("latency", "Latency", null, does)];
}

function load(tag, attributes) {
  return new Promise((resolve, reject) => {
    const loaded = element(tag, attributes);
    loaded.addEventListener("load", resolve);
    loaded.addEventListener("error", reject);
    document.head.append(loaded);
  });
}

class Chart {
  #kind;
  #plot = null;
  #windows = [];
  #before = [];
  #marks = [];
  #shown = { tz: "UTC", from: 0, to: 1, marks: [] };
  #at = null;
  #other = null; // the other end of what is selected
  #isDragged = false;
  #later = 0;
  #parts;
  #does;

  constructor(kind, title, exports, does) {
    this.#kind = kind;
    this.#does = does;
    const legend = SERIES[kind].map((series) => ({ ...series, value: element("span", { class: "value" }) }));
    const time = element("span", { class: "time" });
    const area = element("div", {
      class: "plot",
      tabindex: "0",
      role: "slider",
      "aria-label": `${title}: a window of time, chosen with the arrow keys`,
      "aria-describedby": "chart-hint",
      "aria-orientation": "horizontal",
      "aria-valuemin": "0",
      "aria-valuemax": "0",
      "aria-valuenow": "0",
      "aria-valuetext": "",
    });
    const table = element("table");
    const ghost = element("li", { class: "key key-before", hidden: true }, element("span", { class: "swatch", "aria-hidden": "true" }), "before");
    this.#parts = { legend, ghost, time, area, table, exports };
    const keys = legend.map(({ key, label, value }) =>
      element("li", { class: `key key-${key}` }, element("span", { class: "swatch", "aria-hidden": "true" }), label, " ", value),
    );
    byId("charts").append(
      element(
        "section",
        { class: "panel chart", "aria-label": title, id: `chart-${kind}` },
        element("div", { class: "panel-head" }, element("h2", {}, title), ...(exports ? [exports] : [])),
        element("ul", { class: "legend" }, ...keys, ghost, element("li", {}, time)),
        area,
        element(
          "details",
          {},
          element("summary", {}, `${title} as a table`),
          element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, table` }, table),
        ),
      ),
    );
    area.addEventListener("keydown", (event) => this.#press(event));
    area.addEventListener("blur", () => this.#choose(null));
    area.addEventListener("mousedown", () => (this.#isDragged = false));
    area.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(area);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  show(stats) {
    this.#windows = stats.windows;
    const times = [stats.from, stats.to].map((time) => Date.parse(time) / 1000);
    const isMoved = times[0] !== this.#shown.from;
    this.#shown = { tz: stats.tz, from: times[0], to: times[1], marks: this.#marks };
    const kept = (at) => (at === null ? null : Math.min(at, this.#windows.length - 1));
    this.#at = kept(this.#at);
    this.#other = isMoved ? null : kept(this.#other);
    if (isMoved) this.#plot?.setSelect(NOTHING, false);
    if (this.#plot === null) this.#draw();
    else this.#plot.setData(this.#data());
    this.#parts.area.setAttribute("aria-valuemax", String(Math.max(0, this.#windows.length - 1)));
    if (this.#other === null) this.#read(this.#at);
    else this.#choose(this.#at, this.#other);
    // The table can wait until there is time for it.
    cancelIdleCallback(this.#later);
    this.#later = requestIdleCallback(() => this.#tabulate(), { timeout: 1000 });
  }

  // The same of the period before as a ghost; nothing for none.
  compare(before) {
    this.#before = before;
    this.#parts.ghost.hidden = !before.length;
    this.#plot?.setData(this.#data());
  }

  // Moments to be marked, {at, severity} in epoch seconds.
  mark(marks) {
    this.#marks = this.#shown.marks = marks;
    this.#plot?.redraw(false);
  }

  focus() {
    this.#parts.area.focus();
  }

  #draw() {
    this.#plot?.destroy();
    const options = optionsOf(
      this.#kind,
      this.#size(),
      () => this.#shown,
      (left) => this.#read(this.#indexAt(left)),
      (left, right) => this.#dragged(left, right),
    );
    this.#plot = new window.uPlot(options, this.#data(), this.#parts.area);
  }

  #data() {
    return dataOf(this.#kind, this.#windows, this.#before);
  }

  // The window that a place of the plot, in pixels, belongs to; null beside all of them.
  #indexAt(left) {
    if (left === undefined || left < 0) return null;
    const time = this.#plot.posToVal(left, "x");
    const index = this.#plot.data[0].findLastIndex((start) => start <= time);
    return index < 0 ? null : index;
  }

  #size() {
    return { width: Math.max(200, this.#parts.area.clientWidth), height: HEIGHT };
  }

  #press(event) {
    if (event.key === "Escape" && this.#at !== null) this.#choose(null);
    else if (event.key === "Enter" && this.#at !== null) this.#enter();
    else if (["+", "="].includes(event.key) && this.#at !== null) this.#zoom(this.#at, this.#at);
    else if (!this.#move(event)) return;
    event.preventDefault();
  }

  #move({ key, shiftKey }) {
    const last = this.#windows.length - 1;
    const at = this.#at ?? last + 1;
    const targets = {
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      ArrowRight: this.#at === null ? 0 : at + 1,
      ArrowUp: this.#at === null ? 0 : at + 1,
      Home: 0,
      End: last,
      PageUp: at - FAR,
      PageDown: at + FAR,
    };
    if (last < 0 || !(key in targets)) return false;
    const other = shiftKey ? (this.#other ?? this.#at) : null;
    this.#choose(Math.max(0, Math.min(last, targets[key])), other);
    return true;
  }

  #enter() {
    const isRange = this.#other !== null && this.#other !== this.#at;
    if (isRange) this.#zoom(Math.min(this.#at, this.#other), Math.max(this.#at, this.#other));
    else this.#does.open(this.#windows[this.#at], this.#kind);
  }

  #click(event) {
    if (this.#isDragged || !event.target.closest(".u-over")) return;
    const index = this.#indexAt(event.clientX - this.#plot.over.getBoundingClientRect().left);
    if (index !== null) this.#does.open(this.#windows[index], this.#kind);
  }

  #dragged(left, right) {
    this.#isDragged = true;
    this.#plot.setSelect(NOTHING, false);
    const [first, last] = [this.#indexAt(Math.max(0, left)) ?? 0, this.#indexAt(right)];
    if (last !== null) this.#zoom(first, last);
  }

  #zoom(first, last) {
    this.#choose(null);
    this.#does.zoom(this.#windows[first].start, this.#windows[last].end);
  }

  // One window, or all from it to the `other` one.
  #choose(index, other = null) {
    this.#at = index;
    this.#other = other;
    if (this.#plot === null) return;
    const edge = (at) => this.#plot.valToPos(Date.parse(at) / 1000, "x");
    const ends = index === null ? [] : [this.#windows[Math.min(index, other ?? index)], this.#windows[Math.max(index, other ?? index)]];
    const left = ends.length && Math.max(0, edge(ends[0].start));
    const isRange = other !== null && other !== index;
    const wide = isRange ? { left, top: 0, width: edge(ends[1].end) - left, height: this.#plot.over.clientHeight } : NOTHING;
    this.#plot.setSelect(wide, false);
    const window = this.#windows[index];
    this.#plot.setCursor({ left: window ? (Math.max(0, edge(window.start)) + edge(window.end)) / 2 : -10, top: 0 });
    this.#read(index);
  }

  // What stands in the legend and is read out: the window under the cursor, or all that are selected.
  #read(index) {
    const other = index !== null && index === this.#at ? (this.#other ?? index) : index;
    const windows = index === null ? [] : this.#windows.slice(Math.min(index, other), Math.max(index, other) + 1);
    const valueOf = (key) => {
      if (windows.length === 1) return windows[0][key];
      return this.#kind === "requests" ? windows.reduce((sum, window) => sum + window[key], 0) : null;
    };
    for (const { key, value, show } of this.#parts.legend) setText(value, windows.length ? show(valueOf(key)) : "");
    const time = windows.length ? format.span(windows[0].start, windows.at(-1).end, this.#shown.tz) : "";
    setText(this.#parts.time, time);
    const read = windows.length ? this.#parts.legend.map(({ key, label, show }) => `${label} ${show(valueOf(key))}`) : [];
    this.#parts.area.setAttribute("aria-valuenow", String(index ?? 0));
    this.#parts.area.setAttribute("aria-valuetext", windows.length ? `${time}: ${read.join(", ")}` : "no window chosen");
  }

  #tabulate() {
    const columns = this.#parts.legend;
    const head = element(
      "tr",
      {},
      element("th", { scope: "col" }, "Window"),
      ...columns.map(({ label }) => element("th", { scope: "col" }, label)),
    );
    const rows = this.#windows.map((window) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, format.span(window.start, window.end, this.#shown.tz)),
        ...columns.map(({ key, show }) => element("td", {}, figure(window[key], show(window[key])))),
      ),
    );
    replace(this.#parts.table, element("thead", {}, head), element("tbody", {}, ...rows));
  }
}
