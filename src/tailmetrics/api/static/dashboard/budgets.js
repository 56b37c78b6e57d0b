// What was promised: compliance, what is left of the budget and how fast it burns. Of a customer all of it, of all
// customers what stands worst. A service without objectives shows nothing here.

import { byId, element, renew, replace, setText } from "./dom.js";
import * as format from "./format.js";
import { Part } from "./part.js";
import { addressOf, customerAddress } from "./state.js";
import { inPlace } from "./zoom.js";

const MAX_AGE_MS = 60_000;
const COURSE_AGE_MS = 600_000;
const WORST = 3;
const POINTS = 16; // of the course of a budget
const STATES = { kept: ["✓", "kept", "kept"], at_risk: ["◐", "partly", "at risk"], broken: ["✗", "broken", "broken"] };
const BURN_RATES = ["5m", "1h", "6h", "3d"];
const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 48];

export class Budgets {
  #part;
  #go;
  #promise;
  #state = null;
  #course = { customer: null, at: -Infinity, points: [] };

  // `go` changes parts of the state, `promise` is told the availability that days are held against.
  constructor(go, promise) {
    this.#go = go;
    this.#promise = promise;
    this.#part = new Part(byId("charts"), MAX_AGE_MS, (answer) => this.#receive(answer));
  }

  show(state) {
    if (this.#state !== null && this.#state.customer !== state.customer) byId("budgets").hidden = true;
    this.#state = state;
    const { customer } = state;
    this.#part.want(`${customer} ${state.failures}`, customer === null ? `/objectives?limit=${WORST}` : customerAddress(customer, "objectives", {}, "customer"));
  }

  #receive(answer) {
    const budgets = answer?.objectives ?? [];
    byId("budgets").hidden = !budgets.length;
    const { customer, failures } = this.#state;
    const promised = budgets.filter((budget) => budget.kind === "availability" && budget.failures === failures);
    const [strictest] = promised.toSorted((one, other) => other.target - one.target);
    this.#promise(customer === null || !strictest ? null : { name: strictest.objective, target: strictest.target });
    if (!budgets.length) return;
    const isCut = customer === null && answer.total > budgets.length;
    setText(byId("budgets-note"), isCut ? `the ${budgets.length} with the least left of ${format.count(answer.total)}` : "");
    renew(byId("budgets-list"), ...budgets.map((budget) => this.#card(budget)));
    if (customer !== null) this.#follow(budgets, customer);
  }

  #card(budget) {
    const [shape, kind, words] = STATES[budget.state];
    const { tz } = this.#state;
    const left = budget.left_percent;
    const rates = BURN_RATES.map((window) => [window, budget[`burn_rate_${window}`]]);
    return element(
      "li",
      { class: "budget", "data-objective": budget.objective },
      element("h3", {}, element("span", { class: `state ${kind}` }, `${shape} ${words}`), " ", budget.objective, ...(this.#state.customer === null ? [" ", this.#link(budget.customer_id)] : [])),
      element("p", { class: "note" }, promiseOf(budget)),
      element(
        "dl",
        {},
        ...pair("Compliance", budget.compliance === null ? "–" : format.exactUptime(budget.compliance)),
        ...pair("Budget left", left === null ? "–" : `${format.wholePercent(left)}, ${format.amount(budget.left_requests)} of ${format.amount(budget.allowed_requests)} requests`),
        element("div", { class: "wide" }, meter(left)),
        ...pair("Burn rate", rates.map(([window, rate]) => `${window} ${rate === null ? "–" : `${format.rate(rate)}×`}`).join(" · ")),
        ...pair("Runs out", budget.runs_out_at === null ? (left !== null && left <= 0 ? "it has" : "not at the present rate") : format.moment(budget.runs_out_at, tz)),
      ),
      element("div", { class: "course" }),
    );
  }

  #link(customer) {
    const changes = { customer, page: 1, search: "", requests: "", bar: "" };
    return inPlace(element("a", { class: "customer", href: addressOf({ ...this.#state, ...changes }) }, customer), () => this.#go(changes));
  }

  // What was left at some moments of the period, asked for one after another, as each takes as long as all of it.
  async #follow(budgets, customer) {
    const isKnown = this.#course.customer === customer && performance.now() - this.#course.at < COURSE_AGE_MS;
    if (!isKnown) {
      const points = [];
      this.#course = { customer, at: performance.now(), points };
      const begin = Math.min(...budgets.map((budget) => Date.parse(budget.from)));
      const step = (Date.now() - begin) / POINTS;
      for (let number = 1; number <= POINTS; number += 1) {
        const at = new Date(begin + number * step).toISOString();
        const answer = await fetch(customerAddress(customer, "objectives", { at }, "customer")).then((response) => (response.ok ? response.json() : null)).catch(() => null);
        if (this.#state.customer !== customer) return;
        if (answer !== null) points.push(answer);
      }
    }
    for (const card of byId("budgets-list").children) this.#drawCourse(card, budgets);
  }

  #drawCourse(card, budgets) {
    const name = card.dataset.objective;
    const budget = budgets.find(({ objective }) => objective === name);
    const points = this.#course.points
      .map(({ at, objectives }) => ({ at: Date.parse(at), left: objectives.find(({ objective }) => objective === name)?.left_percent ?? null }))
      .filter(({ at, left }) => left !== null && at >= Date.parse(budget.from));
    if (points.length > 1) replace(card.querySelector(".course"), courseOf(points, this.#state.tz));
  }
}

function promiseOf({ kind, target, limit_seconds: limit, period }) {
  const what = kind === "latency" ? `take less than ${format.roundSeconds(limit)}` : "do not fail";
  const days = /^(\d+)d$/.exec(period);
  const span = days ? `over ${days[1]} days` : `in a ${period}`;
  return `${format.percent(target)} ${what} ${span}`;
}

const pair = (name, value) => [element("dt", {}, name), element("dd", {}, value)];

function drawing(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function meter(left) {
  const bar = drawing("svg", { class: "meter", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const width = Math.max(0, Math.min(100, left ?? 0));
  bar.append(drawing("rect", { class: "good", width, height: 1 }), drawing("rect", { class: "spent", x: width, width: 100 - width, height: 1 }));
  return bar;
}

// What was left over time: below the line of zero the promise is broken.
function courseOf(points, tz) {
  const shares = points.map(({ left }) => Math.max(left, -100));
  const [low, high] = [Math.min(0, ...shares), 100];
  const [begin, end] = [points[0].at, points.at(-1).at];
  const x = (at) => ((at - begin) / (end - begin || 1)) * WIDTH;
  const y = (share) => 2 + ((high - share) / (high - low)) * (HEIGHT - 4);
  const path = points.map(({ at }, place) => `${x(at).toFixed(1)} ${y(shares[place]).toFixed(1)}`).join("L");
  const said = `Budget left, ${format.span(begin, end, tz)}: from ${format.wholePercent(points[0].left)} to ${format.wholePercent(points.at(-1).left)}, least ${format.wholePercent(Math.min(...points.map(({ left }) => left)))}`;
  const svg = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said });
  svg.append(
    drawing("path", { class: "zero", d: `M0 ${y(0)}H${WIDTH}` }),
    drawing("path", { class: "area", d: `M${x(begin)} ${y(0)}L${path}L${WIDTH} ${y(0)}Z` }),
    drawing("path", { class: "left", d: `M${path}` }),
  );
  const figure = element("div", {}, element("p", { class: "note" }, `Left over time: ${format.dayOf(begin / 1000, tz)} – ${format.dayOf(end / 1000, tz)}`));
  figure.prepend(svg);
  return figure;
}
