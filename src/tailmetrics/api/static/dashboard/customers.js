// The table of all customers: rows are kept by customer, so that focus and selection survive an update.

import { byId, element, setFigure, setText } from "./dom.js";
import * as format from "./format.js";
import { PAGE_SIZE, addressOf, isByShare, leastOf } from "./state.js";

const COLUMNS = [
  { sort: "customer_id", label: "Customer", down: false },
  { sort: "requests", label: "Requests", key: "total_requests", show: format.count, down: true },
  { sort: "failures", label: "Failed", key: "failed_requests", show: format.count, down: true },
  { sort: "uptime", label: "Uptime", key: "uptime", show: format.uptime, down: false },
  { sort: "median", label: "Median", key: "median_latency", show: format.seconds, down: true },
  { sort: "p99", label: "p99", key: "p99_latency", show: format.seconds, down: true },
];
const FIGURES = COLUMNS.filter(({ key }) => key);
const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [200, 26];

export class Customers {
  #rows = new Map();
  #heads = [];
  #body = byId("customers-table").tBodies[0];

  // `go` changes parts of the state.
  constructor(go) {
    // Roles, as the narrow screen lays a row out in two lines, which some browsers take for no row any more.
    const head = element("tr", { role: "row" });
    for (const column of COLUMNS) {
      const button = element("button", { type: "button" }, column.label, element("span", { class: "arrow", "aria-hidden": "true" }));
      const cell = element("th", { scope: "col", role: "columnheader" }, button);
      button.addEventListener("click", () => {
        const current = cell.getAttribute("aria-sort");
        const down = current === "none" || !current ? column.down : current === "ascending";
        go({ sort: `${down ? "-" : ""}${column.sort}`, page: 1 });
      });
      this.#heads.push({ cell, sort: column.sort });
      head.append(cell);
    }
    head.append(element("th", { scope: "col", role: "columnheader" }, "Trend"));
    byId("customers-table").tHead.append(head);
    byId("page-before").addEventListener("click", () => go((state) => ({ page: Math.max(1, state.page - 1) })));
    byId("page-next").addEventListener("click", () => go((state) => ({ page: state.page + 1 })));
  }

  show(view, state) {
    const { customers, total, next_cursor: next } = view.customers;
    for (const { cell, sort } of this.#heads) {
      const sorted = sort === state.sort.replace("-", "");
      cell.setAttribute("aria-sort", sorted ? (state.sort.startsWith("-") ? "descending" : "ascending") : "none");
    }
    this.#place(customers, view.trends, state);
    const first = (state.page - 1) * PAGE_SIZE;
    const range = `${format.count(first + 1)} to ${format.count(first + customers.length)}`;
    setText(byId("page-text"), customers.length ? `${range} of ${format.count(total)}` : `0 of ${format.count(total)}`);
    byId("page-before").disabled = state.page === 1;
    byId("page-next").disabled = next === null;
    byId("pager").hidden = state.page === 1 && next === null;
    byId("customers-scroll").hidden = !customers.length;
    byId("customers-none").hidden = customers.length > 0;
    const least = leastOf(state);
    const few = `fewer than ${format.count(least)} requests`;
    showLeast(least);
    setText(byId("least-note"), least === 1 ? "" : `Customers of ${few} are left out${isByShare(state) ? ": of so few an uptime or a latency says little" : ""}.`);
    const of = state.search ? `No customer with requests in this range has “${state.search}” in its id` : "There is nothing on this page";
    setText(byId("customers-none"), least === 1 ? `${of}.` : `${of}, those of ${few} left out.`);
  }

  #place(customers, trends, state) {
    const focused = document.activeElement;
    const shown = new Set(customers.map((customer) => customer.customer_id));
    for (const [id, row] of this.#rows) {
      if (!shown.has(id)) {
        row.node.remove();
        this.#rows.delete(id);
      }
    }
    customers.forEach((customer, place) => {
      const row = this.#row(customer.customer_id);
      row.link.href = addressOf({ ...state, customer: customer.customer_id, page: 1, search: "", sort: "-requests", min_requests: null, requests: "", bar: "" });
      for (const { key, show } of FIGURES) setFigure(row.cells[key], customer[key], show(customer[key]));
      draw(row.trend, trends[customer.customer_id]);
      if (this.#body.children[place] !== row.node) this.#body.insertBefore(row.node, this.#body.children[place] ?? null);
    });
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  #row(id) {
    if (!this.#rows.has(id)) {
      const link = element("a", { class: "customer", "data-customer": id }, id);
      const cells = Object.fromEntries(FIGURES.map(({ key }) => [key, element("data")]));
      const trend = document.createElementNS(SVG, "svg");
      trend.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
      trend.setAttribute("width", WIDTH);
      trend.setAttribute("height", HEIGHT);
      trend.setAttribute("aria-hidden", "true");
      for (const name of ["trend-area", "trend-line", "trend-failed"]) {
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("class", name);
        trend.append(path);
      }
      const node = element(
        "tr",
        { role: "row" },
        element("th", { scope: "row", role: "rowheader" }, link),
        ...FIGURES.map(({ key }) => element("td", { class: key, role: "cell" }, cells[key])),
        element("td", { class: "trend", role: "cell" }, trend),
      );
      this.#rows.set(id, { node, link, cells, trend });
    }
    return this.#rows.get(id);
  }
}

function showLeast(least) {
  const choice = byId("least");
  if (![...choice.options].some(({ value }) => Number(value) === least)) {
    choice.append(element("option", { value: least }, format.count(least)));
  }
  choice.value = String(least);
}

// Requests as a line over its area, failed ones as bars at the bottom.
function draw(svg, trend) {
  const [area, line, failed] = svg.children;
  if (!trend) {
    for (const path of svg.children) path.removeAttribute("d");
    return;
  }
  const high = Math.max(...trend.requests, 1);
  const x = (part) => ((part + 0.5) / trend.requests.length) * WIDTH;
  const y = (value) => HEIGHT - 1 - (value / high) * (HEIGHT - 4);
  const points = trend.requests.map((value, part) => `${x(part).toFixed(1)} ${y(value).toFixed(1)}`);
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M${x(0).toFixed(1)} ${HEIGHT}L${points.join("L")}L${x(points.length - 1).toFixed(1)} ${HEIGHT}Z`);
  const bars = trend.failed.map((value, part) => (value ? `M${x(part).toFixed(1)} ${HEIGHT}V${y(value).toFixed(1)}` : ""));
  failed.setAttribute("d", bars.join(""));
}
