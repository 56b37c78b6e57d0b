// The period before the one that is shown, which is as long.

import { byId } from "./dom.js";
import { Part } from "./part.js";
import { figuresAddress } from "./state.js";

const MAX_AGE_MS = 60_000;
const ENDLESS = "all"; // before all that was logged is nothing

export class Comparison {
  #part;
  #tell;
  #told = null;
  #about = "";

  // `tell` is given the statistics of the period before, null when there are none.
  constructor(tell) {
    this.#tell = tell;
    this.#part = new Part(byId("charts"), MAX_AGE_MS, (stats) => this.#say(stats?.total_requests ? stats : null));
  }

  #say(stats) {
    if (stats !== this.#told) this.#tell(stats);
    this.#told = stats;
  }

  show(state, stats, about) {
    const [from, to] = [stats.from, stats.to].map((time) => Date.parse(time));
    if (!state.compare || state.range === ENDLESS || !(to > from)) {
      this.#part.forget();
      this.#say(null);
      return;
    }
    const before = { from: new Date(2 * from - to).toISOString(), to: stats.from, every: stats.every, fill: "true" };
    const key = `${about} ${stats.every}`;
    if (key !== this.#about) this.#say(null);
    this.#about = key;
    this.#part.want(key, figuresAddress(state, "stats", before));
  }
}
