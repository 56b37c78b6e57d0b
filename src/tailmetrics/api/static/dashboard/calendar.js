// The days of the last weeks of a customer, each held against the objective. A grid with one stop for the Tab key.

import { byId, element, replace, setText } from "./dom.js";
import * as format from "./format.js";
import { Part } from "./part.js";
import { figuresAddress } from "./state.js";
import { counted } from "./words.js";

const DAY_MS = 86_400_000;
const WEEKS = 6;
const MAX_AGE_MS = 300_000;
const USUAL_TARGET = 99; // per cent, where nothing else was promised
const KINDS = {
  kept: { shape: "✓", words: "kept" },
  partly: { shape: "◐", words: "missed, with up to twice as many failures as allowed" },
  broken: { shape: "✗", words: "missed by more" },
  none: { shape: "", words: "no requests" },
};
const MOVES = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

export class Calendar {
  #part;
  #zoom;
  #state = null;
  #days = [];
  #objective = { name: null, target: USUAL_TARGET };

  // `zoom` goes to a range.
  constructor(zoom) {
    this.#zoom = zoom;
    this.#part = new Part(byId("calendar"), MAX_AGE_MS, (answer) => this.#receive(answer));
    const grid = byId("days");
    grid.addEventListener("keydown", (event) => this.#press(event));
    grid.addEventListener("click", ({ target }) => this.#enter(target.closest("[data-day]")));
  }

  show(state) {
    byId("calendar").hidden = state.customer === null;
    if (state.customer === null) return;
    this.#state = state;
    const today = format.isoDay(Date.now(), state.tz);
    const from = plusDays(today, -weekdayOf(today) - 7 * (WEEKS - 1));
    const parameters = { every: "1d", fill: "true", from, to: plusDays(today, 1) };
    const address = figuresAddress(state, "stats", parameters);
    this.#part.want(address, address);
  }

  // What was promised: {name, target}, or null.
  promise(objective) {
    this.#objective = objective ?? { name: null, target: USUAL_TARGET };
    this.#fill();
  }

  #receive(answer) {
    this.#days = answer?.windows ?? [];
    setText(byId("calendar-note"), answer === null ? "cannot be counted now" : "");
    this.#fill();
  }

  #fill() {
    if (!this.#days.length) return;
    const { name, target } = this.#objective;
    setText(byId("calendar-note"), `against ${name === null ? "" : `${name}, `}${format.percent(target)} of the requests`);
    const { tz } = this.#state;
    const chosen = byId("days").querySelector("[tabindex='0']")?.dataset.day;
    const hasFocus = byId("days").contains(document.activeElement);
    const byDay = new Map(this.#days.map((day) => [format.isoDay(day.start, tz), day]));
    const first = [...byDay.keys()][0];
    const shown = byDay.has(chosen) ? chosen : [...byDay.keys()].at(-1);
    const rows = Array.from({ length: WEEKS }, (_, week) =>
      element("tr", { role: "row" }, ...Array.from({ length: 7 }, (_unused, weekday) => {
        const date = plusDays(first, 7 * week + weekday);
        return byDay.has(date) ? this.#cell(date, byDay.get(date), date === shown) : element("td", { role: "gridcell", class: "later" }, "\u00a0");
      })),
    );
    const head = Array.from({ length: 7 }, (_, weekday) => element("th", { scope: "col", role: "columnheader" }, format.weekday(plusDays(first, weekday))));
    replace(byId("days"), element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)), element("tbody", { role: "rowgroup" }, ...rows));
    if (hasFocus) byId("days").querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }

  #cell(date, day, isChosen) {
    const kind = kindOf(day, this.#objective.target);
    const { shape, words } = KINDS[kind];
    const said = day.total_requests
      ? `${format.count(day.failed_requests)} of ${counted(day.total_requests, "request")} failed, ${words}`
      : words;
    const [number, uptime] = [format.dayNumber(date), day.total_requests ? shortUptime(day.uptime) : "–"];
    return element(
      "td",
      // The name of the cell begins with what is seen of it.
      { role: "gridcell", class: kind, tabindex: isChosen ? "0" : "-1", "data-day": date, "aria-label": `${number} ${uptime}: ${format.longDay(date)}, ${said}` },
      element("span", { class: "date" }, number),
      element("span", { class: "shape", "aria-hidden": "true" }, shape),
      " ",
      element("span", { class: "uptime" }, uptime),
    );
  }

  #press(event) {
    const cells = [...byId("days").querySelectorAll("[data-day]")];
    const at = cells.indexOf(event.target.closest("[data-day]"));
    if (at < 0) return;
    const weekday = at % 7;
    const targets = { Home: at - weekday, End: Math.min(at - weekday + 6, cells.length - 1), PageUp: weekday, PageDown: cells.length - 1 };
    const { key } = event;
    if (key === "Enter" || key === " ") this.#enter(cells[at]);
    else if (key in MOVES || key in targets) choose(cells, cells[targets[key] ?? at + MOVES[key]]);
    else return;
    event.preventDefault();
  }

  #enter(cell) {
    if (cell === null) return;
    choose([...byId("days").querySelectorAll("[data-day]")], cell);
    const day = this.#days.find(({ start }) => format.isoDay(start, this.#state.tz) === cell.dataset.day);
    this.#zoom(day.start, day.end);
  }
}

function choose(cells, cell) {
  if (cell === undefined) return;
  for (const each of cells) each.tabIndex = each === cell ? 0 : -1;
  cell.focus();
}

function kindOf(day, target) {
  if (!day.total_requests) return "none";
  if (day.uptime >= target) return "kept";
  return 100 - day.uptime <= 2 * (100 - target) ? "partly" : "broken";
}

const shortUptime = (uptime) => (uptime === 100 ? format.percent(uptime) : format.uptime(uptime));

// Days by themselves, without a zone.
const plusDays = (date, days) => new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);
const weekdayOf = (date) => (new Date(date).getUTCDay() + 6) % 7; // Monday is 0
