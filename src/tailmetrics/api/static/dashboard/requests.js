// The requests behind a figure: those of one bar or of the whole range, a page at a time, and the line of each.

import { byId, element, figure, replace, setText } from "./dom.js";
import * as format from "./format.js";
import { REQUESTS, addressOf, figuresAddress } from "./state.js";
import { classOf } from "./words.js";

const LIMIT = 20;
const KINDS = { failed: "Failed", all: "All", slowest: "Slowest" };

export class Requests {
  #go;
  #zoom;
  #signIn;
  #about = ""; // what is shown, as the page's address has it
  #base = ""; // where its first page is
  #cursors = [];
  #lines = null; // those of this page, once one of them was asked for
  #state = null; // what the rows were asked for

  // `go` changes parts of the state, `zoom` goes to a range, `signIn` asks for a key and tells whether one was given.
  constructor({ go, zoom, signIn }) {
    this.#go = go;
    this.#zoom = zoom;
    this.#signIn = signIn;
    replace(
      byId("requests-kinds"),
      element("legend", { class: "hidden" }, "Which requests"),
      ...REQUESTS.flatMap((kind) => [
        element("input", { type: "radio", name: "requests", value: kind, id: `requests-${kind}` }),
        element("label", { for: `requests-${kind}` }, KINDS[kind]),
      ]),
    );
    byId("requests-kinds").addEventListener("change", ({ target }) => go({ requests: target.value }, { replaces: true }));
    byId("requests-before").addEventListener("click", () => this.#turn(() => this.#cursors.pop()));
    byId("requests-next").addEventListener("click", (event) => this.#turn(() => this.#cursors.push(event.currentTarget.dataset.cursor)));
  }

  // What the state asks for; `stats` are what the charts show.
  async show(state, stats) {
    byId("requests").hidden = !state.requests;
    if (!state.requests) {
      this.#about = "";
      return;
    }
    const [from, to] = state.bar ? state.bar.split("/") : [stats.from, stats.to];
    const parameters = { from, to, limit: LIMIT, sort: state.requests === "slowest" ? "slowest" : "newest" };
    if (state.requests === "failed") parameters.failed = "true";
    // Of a range that moves with the clock, rows stay while they are read.
    const about = addressOf({ ...state, sort: "", page: 1, compare: true, paused: false });
    if (about === this.#about) return;
    const isOpened = this.#about === "";
    this.#about = about;
    this.#base = figuresAddress(state, "requests", parameters);
    this.#cursors = [];
    byId(`requests-${state.requests}`).checked = true;
    setText(byId("requests-title"), `${KINDS[state.requests]} requests`);
    setText(byId("requests-range"), format.span(from, to, state.tz));
    const zoom = byId("requests-zoom");
    zoom.hidden = !state.bar;
    zoom.onclick = () => this.#zoom(from, to);
    byId("requests-close").onclick = () => this.#go({ requests: "", bar: "" });
    if (isOpened) {
      byId("requests").scrollIntoView({ block: "nearest" });
      byId("requests-title").focus({ preventScroll: true });
    }
    await this.#load(state);
    if (isOpened) byId("requests").scrollIntoView({ block: "nearest" });
  }

  async #load(state) {
    this.#lines = null;
    byId("requests").setAttribute("aria-busy", "true");
    const address = this.#address();
    const answer = await ask(address);
    if (address !== this.#address()) return;
    this.#state = state;
    byId("requests").setAttribute("aria-busy", "false");
    replace(byId("requests-note"), ...this.#noteOf(answer, state));
    const rows = answer.requests ?? [];
    byId("requests-scroll").hidden = !rows.length;
    this.#fill(rows, state);
    const cursor = answer.next_cursor ?? null;
    const first = this.#cursors.length * LIMIT;
    byId("requests-pager").hidden = !this.#cursors.length && cursor === null;
    byId("requests-before").disabled = !this.#cursors.length;
    byId("requests-next").disabled = cursor === null;
    byId("requests-next").dataset.cursor = cursor ?? "";
    setText(byId("requests-page"), rows.length ? `${format.count(first + 1)} to ${format.count(first + rows.length)}` : "");
  }

  #noteOf(answer, state) {
    if (answer.status === 401) {
      const button = element("button", { type: "button", class: "strong" }, "Sign in");
      button.addEventListener("click", async () => {
        if (await this.#signIn()) await this.#load(state);
      });
      return ["Requests and their lines are shown to those with a key. ", button];
    }
    if (!answer.requests) return [answer.detail];
    if (answer.requests.length) return [];
    return [state.requests === "failed" ? "No request of this time failed." : "No requests at this time."];
  }

  #address() {
    const cursor = this.#cursors.at(-1);
    return cursor ? `${this.#base}&cursor=${encodeURIComponent(cursor)}` : this.#base;
  }

  async #turn(change) {
    change();
    await this.#load(this.#state);
    byId("requests-title").focus({ preventScroll: true });
    byId("requests").scrollIntoView({ block: "nearest" });
  }

  #fill(rows, state) {
    const columns = ["Time", ...(state.customer === null ? ["Customer"] : []), "Path", "Status", "Duration", "Where it stands"];
    const head = element("tr", { role: "row" }, ...columns.map((label) => element("th", { scope: "col", role: "columnheader" }, label)));
    const body = rows.flatMap((row, place) => this.#row(row, place, state, columns.length));
    replace(
      byId("requests-table"),
      element("thead", { role: "rowgroup" }, head),
      element("tbody", { role: "rowgroup" }, ...body),
    );
  }

  #row(row, place, state, columns) {
    const line = element("tr", { class: "line", role: "row", id: `line-${place}`, hidden: true }, element("td", { colspan: columns, role: "cell" }));
    const button = element("button", { type: "button", "aria-expanded": "false", "aria-controls": line.id, "aria-label": `Line of ${format.moment(row.time, state.tz)}` }, "Line");
    button.addEventListener("click", () => this.#open(button, line, row));
    const cells = [
      element("th", { scope: "row", role: "rowheader" }, format.precise(row.time, state.tz)),
      ...(state.customer === null ? [element("td", { role: "cell", class: "text" }, row.customer_id)] : []),
      element("td", { role: "cell", class: "text" }, row.path),
      element("td", { role: "cell" }, String(row.status_code), element("small", {}, classOf(row.status_code))),
      element("td", { role: "cell", class: "duration" }, figure(row.duration, format.seconds(row.duration))),
      element("td", { role: "cell", class: "where" }, element("span", {}, `${nameOf(row.source)}, ${format.place(row.source, row.offset)}`), " ", button),
    ];
    return [element("tr", { role: "row" }, ...cells), line];
  }

  // The lines of a page are read from their files when the first of them is asked for.
  async #open(button, line, row) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    line.hidden = isOpen;
    if (isOpen) return;
    const cell = line.firstElementChild;
    if (!cell.childNodes.length) replace(cell, element("p", { class: "note" }, "being read…"));
    this.#lines ??= ask(`${this.#address()}&lines=true`);
    const answer = await this.#lines;
    if (!answer.requests) this.#lines = null; // the next click tries again
    const found = answer.requests?.find((other) => other.source_id === row.source_id && other.offset === row.offset);
    const missing = found ? found.line_missing : (answer.detail ?? "it is on this page no longer");
    replace(
      cell,
      typeof found?.line === "string" ? element("code", { tabindex: "0" }, found.line) : element("p", { class: "wrong" }, `The line cannot be shown: ${missing}`),
      element("p", { class: "note" }, `${row.source ?? "a message"}, ${format.place(row.source, row.offset)}`),
    );
  }
}

async function ask(address) {
  const answer = await fetch(address).then((response) => response.json()).catch(() => null);
  return answer ?? { detail: "The service does not answer." };
}

const nameOf = (source) => (source?.startsWith("kafka://") ? source.split("/").slice(-2).join("/") : source?.split("/").at(-1)) ?? "a message";
