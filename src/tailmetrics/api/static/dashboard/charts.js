// A chart with everything around it: legend, values under the cursor, keyboard, and the same as a table.

import { byId, element, figure, replace, setText } from "./dom.js";
import * as format from "./format.js";
import { SERIES, dataOf, optionsOf } from "./plots.js";

const HEIGHT = 220;
const FAR = 10; // windows that page up and page down move

// Both charts, with the library that draws them.
export async function makeCharts(exports) {
  await Promise.all([
    load("link", { rel: "stylesheet", href: "/static/uplot/uPlot.min.css" }),
    load("script", { src: "/static/uplot/uPlot.iife.min.js" }),
  ]);
  return [new Chart("requests", "Requests", exports), new Chart("latency", "Latency", null)];
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
  #shown = { tz: "UTC", from: 0, to: 1, step: 1 };
  #at = null;
  #later = 0;
  #parts;

  constructor(kind, title, exports) {
    this.#kind = kind;
    const legend = SERIES[kind].map((series) => ({ ...series, value: element("span", { class: "value" }) }));
    const time = element("span", { class: "time" });
    const area = element("div", {
      class: "plot",
      tabindex: "0",
      role: "slider",
      "aria-label": `${title}: a window of time, chosen with the arrow keys`,
      "aria-orientation": "horizontal",
      "aria-valuemin": "0",
      "aria-valuemax": "0",
      "aria-valuenow": "0",
      "aria-valuetext": "",
    });
    const table = element("table");
    this.#parts = { legend, time, area, table, exports };
    const keys = legend.map(({ key, label, value }) =>
      element("li", { class: `key key-${key}` }, element("span", { class: "swatch", "aria-hidden": "true" }), label, " ", value),
    );
    byId("charts").append(
      element(
        "section",
        { class: "panel chart", "aria-label": title, id: `chart-${kind}` },
        element("div", { class: "panel-head" }, element("h2", {}, title), ...(exports ? [exports] : [])),
        element("ul", { class: "legend" }, ...keys, element("li", {}, time)),
        area,
        element(
          "details",
          {},
          element("summary", {}, `${title} as a table`),
          element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, table` }, table),
        ),
      ),
    );
    area.addEventListener("keydown", (event) => this.#move(event));
    area.addEventListener("blur", () => this.#choose(null));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(area);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  show(stats) {
    this.#windows = stats.windows;
    const times = [stats.from, stats.to].map((time) => Date.parse(time) / 1000);
    this.#shown = { tz: stats.tz, from: times[0], to: times[1] };
    if (this.#at !== null) this.#at = Math.min(this.#at, this.#windows.length - 1);
    if (this.#plot === null) this.#draw();
    else this.#plot.setData(dataOf(this.#kind, this.#windows));
    this.#parts.area.setAttribute("aria-valuemax", String(Math.max(0, this.#windows.length - 1)));
    this.#read(this.#at);
    // The table can wait until there is time for it.
    cancelIdleCallback(this.#later);
    this.#later = requestIdleCallback(() => this.#tabulate(), { timeout: 1000 });
  }

  #draw() {
    this.#plot?.destroy();
    const options = optionsOf(this.#kind, this.#size(), () => this.#shown, (index) => this.#read(index));
    this.#plot = new window.uPlot(options, dataOf(this.#kind, this.#windows), this.#parts.area);
  }

  #size() {
    return { width: Math.max(200, this.#parts.area.clientWidth), height: HEIGHT };
  }

  #move(event) {
    const last = this.#windows.length - 1;
    if (last < 0) return;
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
    if (event.key === "Escape") this.#choose(null);
    else if (event.key in targets) this.#choose(Math.max(0, Math.min(last, targets[event.key])));
    else return;
    event.preventDefault();
  }

  #choose(index) {
    this.#at = index;
    const left = index === null ? -10 : this.#plot.valToPos(this.#plot.data[0][index], "x");
    this.#plot?.setCursor({ left, top: 0 });
    this.#read(index);
  }

  // What stands in the legend and is read out: the window under the cursor.
  #read(index) {
    const window = index === null ? undefined : this.#windows[index];
    for (const { key, value, show } of this.#parts.legend) setText(value, window ? show(window[key]) : "");
    const time = window ? format.span(window.start, window.end, this.#shown.tz) : "";
    setText(this.#parts.time, time);
    const read = window ? this.#parts.legend.map(({ key, label, show }) => `${label} ${show(window[key])}`) : [];
    this.#parts.area.setAttribute("aria-valuenow", String(window ? index : 0));
    this.#parts.area.setAttribute("aria-valuetext", window ? `${time}: ${read.join(", ")}` : "no window chosen");
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
