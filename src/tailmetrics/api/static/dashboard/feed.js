// The one stream of a page: opened for a view, closed while nobody looks, opened again when it breaks.

import { takeEarly } from "./early.js";

const SILENT_MS = 60_000; // a stream is never that quiet, so the connection is dead
const RETRY_MS = [500, 1000, 2000, 5000];

export class Feed {
  #source = null;
  #timer = 0;
  #failures = 0;
  #heard = 0;
  #parameters = null;
  #asked = null;
  #tell;

  // `tell` has view(document), problem({status, detail}), lost() and refused({status, detail, errors}).
  constructor(tell) {
    this.#tell = tell;
    setInterval(() => this.#checkSilence(), 5000);
    // A hidden page holds no connection: a browser allows only few of them to one service.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#disconnect() : this.#connect()));
  }

  follow(parameters) {
    this.#asked = null;
    this.#parameters = parameters;
    this.#failures = 0;
    this.#connect();
  }

  stop() {
    this.#parameters = null;
    this.#disconnect();
  }

  // One answer without a stream; an answer that came too late is dropped.
  async once(parameters) {
    this.#asked = parameters;
    try {
      const response = await fetch(`/view?${parameters}`, { cache: "no-store" });
      const answer = await response.json();
      if (this.#asked !== parameters) return response.status;
      if (response.ok) this.#tell.view(answer);
      else this.#tell.refused({ ...answer, status: response.status });
      return response.status;
    } catch {
      this.#tell.lost();
      return 0;
    }
  }

  #connect() {
    this.#disconnect();
    if (this.#parameters === null || document.hidden) return;
    const { source, messages } = takeEarly(this.#parameters) ?? {
      source: new EventSource(`/live?${this.#parameters}`),
      messages: [],
    };
    this.#source = source;
    this.#heard = performance.now();
    const hear = (message) => {
      this.#heard = performance.now();
      this.#failures = 0;
      this.#tell[message.type](JSON.parse(message.data));
    };
    for (const type of ["view", "problem"]) source.addEventListener(type, hear);
    source.addEventListener("error", () => this.#broken(source));
    messages.forEach(hear);
  }

  #disconnect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  async #broken(source) {
    if (source !== this.#source) return;
    const refused = source.readyState === EventSource.CLOSED;
    const parameters = this.#parameters;
    this.#disconnect();
    // A refused stream does not say why; a plain request for the same does.
    const status = refused ? await this.once(parameters) : 0;
    if (this.#parameters !== parameters || this.#source !== null) return;
    if (!refused) this.#tell.lost();
    if (status === 401 || status === 422) return;
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #checkSilence() {
    if (this.#source !== null && performance.now() - this.#heard > SILENT_MS) {
      this.#tell.lost();
      this.#connect();
    }
  }
}
