// A part of the page that asks for figures of its own: once it is about to be seen, and again when it is about
// something else or its answer is old, so that the first figures wait for none of it.

const NEAR = "400px";

export class Part {
  #isNear = false;
  #wanted = null;
  #answered = { key: null, at: 0 };
  #asking = null;
  #maxAge;
  #draw;

  // `draw` is given the answer, null without one, and its status, 0 for no answer at all.
  constructor(node, maxAge, draw) {
    this.#maxAge = maxAge;
    this.#draw = draw;
    const near = new IntersectionObserver((entries) => {
      this.#isNear = entries.at(-1).isIntersecting;
      this.#ask();
    }, { rootMargin: NEAR });
    near.observe(node);
  }

  // `key` tells one choice of customer, range and the like from another; `address` is where its figures are, and
  // may be another each moment.
  want(key, address) {
    this.#wanted = { key, address };
    this.#ask();
  }

  forget() {
    this.#wanted = this.#asking = null;
    this.#answered = { key: null, at: 0 };
  }

  async #ask() {
    if (!this.#isNear || this.#wanted === null) return;
    const { key, address } = this.#wanted;
    const isFresh = key === this.#answered.key && performance.now() - this.#answered.at < this.#maxAge;
    if (isFresh || this.#asking === key) return;
    this.#asking = key;
    const [answer, status] = await fetch(address).then(async (response) => [response.ok ? await response.json() : null, response.status]).catch(() => [null, 0]);
    if (this.#asking !== key) return;
    this.#asking = null;
    if (this.#wanted?.key !== key) return;
    this.#answered = { key, at: performance.now() };
    this.#draw(answer, status);
  }
}
