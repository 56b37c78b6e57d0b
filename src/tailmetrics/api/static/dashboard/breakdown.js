// Requests by path and by status. Counts of a customer come with the view. Those of all customers, and the
// latencies of a customer's, are asked for only once they are about to be seen, so that the first figures need not
// wait for them. Each path and status is a link to the figures of it alone.

import { byId, element, figure, renew, setText } from "./dom.js";
import * as format from "./format.js";
import { classOf } from "./words.js";
import { inPlace } from "./zoom.js";

const NEAR = "400px";
const SHORTEST_PAUSE_MS = 2000;
const REST = 4; // times as long as the answer took

export class Breakdown {
  #isNear = false;
  #wanted = null; // an address, while there is something to ask for
  #about = ""; // what the tables are about
  #isAsking = false;
  #pause = 0;
  #latencies = null;
  #filter = null;

  constructor() {
    const near = new IntersectionObserver(([entry]) => {
      this.#isNear = entry.isIntersecting;
      this.#ask();
    }, { rootMargin: NEAR });
    near.observe(byId("breakdown"));
  }

  // `about` tells one choice of customer, range and the like from another; `address` is where its figures are.
  // `filter` makes {href, follow} of a change of the state.
  show(view, about, address, filter) {
    this.#filter = filter;
    if (about !== this.#about) {
      this.#about = about;
      this.#latencies = null;
      clearTimeout(this.#pause);
      this.#pause = 0;
      if (view.breakdown === null) {
        for (const id of ["paths", "statuses"]) byId(id).replaceChildren();
        setText(byId("paths-note"), "being counted…");
      }
    }
    this.#wanted = view.breakdown === null ? address : `${address}&latencies=true`;
    if (view.breakdown !== null) this.#fill(view.breakdown);
    this.#ask();
  }

  async #ask() {
    if (!this.#isNear || this.#wanted === null || this.#isAsking || this.#pause) return;
    const [about, address, begun] = [this.#about, this.#wanted, performance.now()];
    this.#wanted = null;
    this.#isAsking = true;
    const answer = await fetch(address).then((response) => (response.ok ? response.json() : null)).catch(() => null);
    this.#isAsking = false;
    if (about === this.#about) {
      if (answer !== null) {
        this.#latencies = latenciesOf(answer);
        this.#fill(answer);
      } else if (!byId("paths").rows.length) setText(byId("paths-note"), "cannot be counted now");
      const pause = Math.max(SHORTEST_PAUSE_MS, REST * (performance.now() - begun));
      this.#pause = setTimeout(() => {
        this.#pause = 0;
        this.#ask();
      }, pause);
    } else this.#ask();
  }

  #fill(breakdown) {
    const linked = (name, value) => ({ filter: this.#filter({ [name]: value, page: 1 }), p99: this.#latencies?.get(value) });
    const paths = breakdown.paths.map((row) => ({ ...row, name: row.path, about: "", ...linked("path", row.path) }));
    const statuses = breakdown.statuses.map((row) => {
      const name = String(row.status_code);
      return { ...row, name, about: classOf(row.status_code), ...linked("status", name) };
    });
    fill(byId("paths"), "Path", paths);
    fill(byId("statuses"), "Status", statuses);
    const hidden = breakdown.paths_total - paths.length;
    setText(byId("paths-note"), hidden > 0 ? `the ${paths.length} with the most requests of ${format.count(breakdown.paths_total)}` : "");
  }
}

// The p99 of each path and status, if there are any; a path is no number.
function latenciesOf({ paths, statuses }) {
  const all = [...paths.map((row) => [row.path, row.p99_latency]), ...statuses.map((row) => [String(row.status_code), row.p99_latency])];
  return all.some(([, latency]) => latency !== undefined) ? new Map(all) : null;
}

function fill(table, title, rows) {
  const most = Math.max(...rows.map((row) => row.total_requests), 1);
  // Roles, as the narrow screen lays a row out in two lines, which some browsers take for no row any more.
  const hasLatencies = rows.some(({ p99 }) => p99 !== undefined);
  const head = [title, "Requests", "Failed", ...(hasLatencies ? ["p99"] : [])].map((label) => element("th", { scope: "col", role: "columnheader" }, label));
  const body = rows.map((row) =>
    element(
      "tr",
      { role: "row" },
      element("th", { scope: "row", role: "rowheader" }, nameOf(row), row.about ? element("small", {}, row.about) : ""),
      element("td", { role: "cell" }, figure(row.total_requests, format.count(row.total_requests)), meter(row, most)),
      element("td", { role: "cell" }, figure(row.failed_requests, format.count(row.failed_requests)), element("small", {}, row.failed_requests ? format.share(row.failed_requests, row.total_requests) : "")),
      ...(hasLatencies ? [element("td", { role: "cell" }, figure(row.p99 ?? null, format.seconds(row.p99 ?? null)))] : []),
    ),
  );
  renew(table, element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)), element("tbody", { role: "rowgroup" }, ...body));
  table.classList.toggle("with-latencies", hasLatencies);
}

function nameOf({ name, filter }) {
  return inPlace(element("a", { class: "name", href: filter.href }, ...breakable(name)), filter.follow);
}

// A bar of what succeeded and what failed, against the largest row.
function meter(row, most) {
  const SVG = "http://www.w3.org/2000/svg";
  const bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("class", "meter");
  bar.setAttribute("viewBox", "0 0 100 1");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  let from = 0;
  for (const [name, value] of [["good", row.total_requests - row.failed_requests], ["bad", row.failed_requests]]) {
    const part = document.createElementNS(SVG, "rect");
    const width = (100 * value) / most;
    part.setAttribute("class", name);
    part.setAttribute("x", from.toFixed(2));
    part.setAttribute("width", width.toFixed(2));
    part.setAttribute("height", "1");
    bar.append(part);
    from += width;
  }
  return bar;
}

// A path is broken behind a slash where it has to be.
function breakable(text) {
  return text.split(/(?<=\/)(?=.)/).flatMap((part, place) => (place ? [element("wbr"), part] : [part]));
}
