// Figures, rejected lines, and what is said when there is nothing to show.

import { byId, element, followsInPlace, replace, setFigure, setText } from "./dom.js";
import * as format from "./format.js";
import { addressOf, rangeOf } from "./state.js";
import { FIGURES, counted, stateOf } from "./words.js";

const MOST_LOGS = 20;
const MOST_WARNINGS = 3; // of many logs read in one wrong format each says the same

export class Figures {
  #shown = new Map();
  #stats = null;
  #before = null;

  constructor() {
    for (const { key, label } of FIGURES) {
      const value = element("data");
      const change = element("dd", { class: "change" });
      this.#shown.set(key, { value, change });
      byId("figures").append(element("div", { class: `figure ${key}` }, element("dt", {}, label), element("dd", {}, value), change));
    }
  }

  show(stats) {
    this.#stats = stats;
    for (const { key, show } of FIGURES) setFigure(this.#shown.get(key).value, stats[key], show(stats[key]));
    this.compare(this.#before);
  }

  // How each differs from the period before; null for none.
  compare(before) {
    this.#before = before;
    for (const { key, show, isPercent } of FIGURES) {
      const text = before === null || this.#stats === null ? "" : format.change(this.#stats[key], before[key], isPercent);
      setText(this.#shown.get(key).change, text && `${text}, was ${show(before[key])}`);
    }
  }
}

export function showRejects(rejects, tz) {
  const panel = byId("rejects");
  panel.hidden = rejects.total === 0;
  const key = `${rejects.total} ${tz}`;
  if (panel.hidden || panel.dataset.key === key) return;
  panel.dataset.key = key;
  const shown = rejects.rejects.map((reject) =>
    element(
      "li",
      {},
      element("code", {}, shortened(reject.line)),
      element("p", {}, reject.reason),
      element("p", { class: "note" }, `${format.moment(reject.seen_at, tz)}, ${reject.path}, ${format.place(reject.path, reject.offset)}`),
    ),
  );
  const left = rejects.total - shown.length;
  replace(
    panel,
    element(
      "div",
      { class: "panel-head" },
      element("h2", { id: "rejects-title" }, `${counted(rejects.total, "line")} could not be read`),
      element("p", { class: "note" }, left > 0 ? `in all logs; the newest ${shown.length}` : "in all logs; the newest first"),
      element("p", { class: "exports" }, element("a", { href: "/rejects" }, "JSON")),
    ),
    element("ul", { class: "rejects" }, ...shown),
  );
}

const shortened = (line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line);

// Nothing to show, and why: no data at all, none of this range, or no such customer.
export function emptyOf(view, state, go) {
  if (view.span === null) return { title: "No requests yet", content: waiting(view) };
  if (view.stats.total_requests > 0) return null;
  const [first, last] = view.span;
  return {
    title: `No requests in ${rangeOf(state).words}`,
    content: [
      element("p", {}, `The logs hold requests from ${format.moment(first, state.tz)} to ${format.moment(last, state.tz)}.`),
      action("Show all that was logged", { ...state, range: "all", from: "", to: "" }, go),
    ],
  };
}

export function unknownCustomer(state, go) {
  return {
    title: "No requests of this customer",
    content: [
      element("p", {}, `Nothing in the logs so far has the customer id “${state.customer}”. Ids are compared letter by letter, and case counts.`),
      action("Show all customers", { ...state, customer: null }, go),
    ],
  };
}

// Above everything else, as the figures below are not what the logs hold.
export function showWarnings({ sources, warnings }) {
  const unread = sources.filter(({ state }) => state === "undecided");
  const said = [
    ...unread.map(({ path, last_error }) => ["not read", `${path}: ${last_error}`]),
    ...warnings.map(({ format, text }) => [`read as ${format}`, text]),
  ];
  const panel = byId("warnings");
  panel.hidden = !said.length;
  const shown = said.slice(0, MOST_WARNINGS).map(([badge, text]) => element("li", {}, element("span", { class: "badge" }, badge), " ", text));
  const left = said.length - shown.length;
  if (left > 0) shown.push(element("li", {}, `${counted(left, "more warning")}: `, element("a", { href: "/ready" }, "all of them")));
  // An update that says the same leaves what is there, and with it what is selected.
  const text = shown.map((part) => part.textContent).join("\n");
  if (panel.dataset.text !== text) replace(byId("warnings-list"), ...shown);
  panel.dataset.text = text;
}

// How each log is read, for who wants to know.
export function showLogs(sources) {
  byId("logs").hidden = !sources.length;
  setText(byId("logs-summary"), `${counted(sources.length, "log")}, and how ${sources.length > 1 ? "each is" : "it is"} read`);
  const shown = sources.slice(0, MOST_LOGS).map(seen);
  const left = sources.length - shown.length;
  if (left > 0) shown.push(element("li", {}, `${counted(left, "more log")}: `, element("a", { href: "/ready" }, "all of them")));
  // Selected text and the focus stay while nothing else is said.
  const text = shown.map((part) => part.textContent).join("\n");
  const list = byId("logs-list");
  if (list.dataset.text !== text) replace(list, ...shown);
  list.dataset.text = text;
}

export function showEmpty(empty) {
  const panel = byId("empty");
  panel.hidden = empty === null;
  byId("shown").hidden = empty !== null;
  if (empty === null) {
    panel.replaceChildren();
    delete panel.dataset.text;
    return;
  }
  const content = [element("h2", { id: "empty-title" }, empty.title), ...empty.content];
  // An update that says the same leaves what is there, and with it the focus.
  const text = content.map((part) => part.textContent).join("\n");
  if (panel.dataset.text !== text) replace(panel, ...content);
  panel.dataset.text = text;
}

function action(label, target, go) {
  const link = element("a", { class: "strong", href: addressOf(target) }, label);
  link.addEventListener("click", (event) => {
    if (!followsInPlace(event)) return;
    event.preventDefault();
    go(target);
  });
  return element("p", {}, link);
}

// What is known of one log.
function seen(source) {
  return element(
    "li",
    {},
    element("code", {}, source.path),
    `: ${stateOf(source)}${source.size ? `, ${format.bytes(source.size)}` : ""}${source.format ? `, format ${source.format}` : ""}`,
    source.last_error ? `; ${source.last_error}` : "",
  );
}

function waiting(view) {
  const { patterns, sources, ingestion } = view.looks;
  const parts = [element("p", {}, "This page fills by itself as soon as the first line is read. The service looks here:")];
  parts.push(element("ul", {}, ...patterns.map((pattern) => element("li", {}, element("code", {}, pattern)))));
  parts.push(element("h3", {}, "What it sees"));
  if (!sources.length) parts.push(element("p", {}, "Nothing yet."));
  else {
    parts.push(element("ul", {}, ...sources.map(seen)));
  }
  if (view.rejects.total) {
    parts.push(
      element("p", {}, `${counted(view.rejects.total, "line")} could not be read. The newest: ${view.rejects.rejects[0].reason}. Perhaps LOG_FORMAT is another one. `, element("a", { href: "/rejects" }, "All of them")),
    );
  }
  for (const error of [ingestion.store_error, ingestion.last_error]) {
    if (error) parts.push(element("p", { class: "wrong" }, error));
  }
  parts.push(element("p", {}, "To see it at work with made-up lines: ", element("code", {}, "tailmetrics generate")));
  return parts;
}
