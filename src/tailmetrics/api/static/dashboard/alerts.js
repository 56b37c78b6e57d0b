// Alerts that fire, are about to or were: a list, and marks on the charts.

import { byId, element, renew, setText } from "./dom.js";
import * as format from "./format.js";
import { Part } from "./part.js";
import { addressOf } from "./state.js";
import { sentence } from "./words.js";
import { inPlace } from "./zoom.js";

const MAX_AGE_MS = 30_000;
const MOST_PAST = 200; // that are marked
const [MOST_CURRENT, MOST_LISTED] = [5, 8]; // that are listed, of the present and of the past
const STATES = { firing: ["▲", "broken", "firing"], pending: ["◷", "partly", "pending"], resolved: ["✓", "kept", "resolved"] };
const OF_SOURCES = ["lag", "rejects"];

export class Alerts {
  #current;
  #past;
  #go;
  #mark;
  #state = null;
  #found = { alerts: [], changes: [] };

  // `go` changes parts of the state, `mark` is told the moments at which something began to fire.
  constructor(go, mark) {
    this.#go = go;
    this.#mark = mark;
    this.#current = new Part(byId("charts"), MAX_AGE_MS, (answer) => this.#receive({ alerts: answer?.alerts ?? [] }));
    this.#past = new Part(byId("charts"), MAX_AGE_MS, (answer) => this.#receive({ changes: answer?.changes ?? [] }));
  }

  show(state) {
    const isOther = this.#state?.customer !== state.customer;
    this.#state = state;
    if (isOther) this.#receive({ alerts: [], changes: [] });
    const only = new URLSearchParams({ limit: MOST_PAST, ...(state.customer === null ? {} : { customer: state.customer }) });
    this.#current.want(`${state.customer}`, `/alerts?${only}`);
    this.#past.want(`${state.customer}`, `/alerts/history?${only}`);
  }

  #receive(found) {
    this.#found = { ...this.#found, ...found };
    const { alerts, changes } = this.#found;
    const current = alerts.filter(({ state }) => state !== "resolved");
    const past = changes.filter(({ state }) => state === "resolved").slice(0, MOST_LISTED);
    byId("alerts").hidden = !current.length && !past.length;
    const firing = current.filter(({ state }) => state === "firing").length;
    const isAll = alerts.length < MOST_PAST;
    setText(byId("alerts-title"), firing ? `${format.count(firing)}${isAll ? "" : " or more"} ${firing === 1 ? "alert fires" : "alerts fire"}` : "Alerts");
    const left = current.length - MOST_CURRENT;
    setText(byId("alerts-note"), left > 0 ? `the ${MOST_CURRENT} latest; a customer's own are on its page` : "");
    renew(byId("alerts-list"), ...[...current.slice(0, MOST_CURRENT), ...past].map((alert) => this.#item(alert)));
    const begun = [...changes, ...current].filter(({ state }) => state === "firing");
    this.#mark(begun.map((alert) => ({ at: Date.parse(alert.started_at ?? alert.since) / 1000, severity: alert.severity })));
  }

  #item(alert) {
    const [shape, kind, words] = STATES[alert.state];
    const { tz } = this.#state;
    const when =
      alert.state === "resolved" && alert.started_at !== null
        ? format.span(alert.started_at, alert.since, tz)
        : `since ${format.moment(alert.started_at ?? alert.since, tz)}`;
    return element(
      "li",
      {},
      element("span", { class: `state ${kind}` }, `${shape} ${words}`),
      " ",
      element("strong", {}, alert.name),
      ...(this.#state.customer === null ? [" ", this.#subject(alert)] : []),
      element("small", {}, `${when}, ${alert.severity}${alert.silenced_by === null ? "" : `, silenced (${alert.silenced_by})`}`),
      element("p", {}, sentence(alert.summary)),
    );
  }

  #subject({ kind, subject }) {
    if (OF_SOURCES.includes(kind)) return element("code", {}, subject);
    const changes = { customer: subject, page: 1, search: "", requests: "", bar: "" };
    return inPlace(element("a", { class: "customer", href: addressOf({ ...this.#state, ...changes }) }, subject), () => this.#go(changes));
  }
}
