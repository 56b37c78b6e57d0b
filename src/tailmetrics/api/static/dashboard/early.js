// Opens the stream for what the address asks, while the browser still reads the rest of the page: the service
// computes the first figures in that time.

import { readState, viewParameters } from "./state.js";

const { state } = readState(location.href);
let opened = state.paused || document.hidden ? null : open(String(viewParameters(state)));

function open(parameters) {
  const source = new EventSource(`/live?${parameters}`);
  const messages = [];
  const keep = (message) => messages.push(message);
  for (const type of ["view", "problem"]) source.addEventListener(type, keep);
  return { parameters, source, messages, keep };
}

// Hands over the stream and what it has said, once; null when it is for another view, or was refused.
export function takeEarly(parameters) {
  const early = opened;
  opened = null;
  if (early === null) return null;
  if (early.parameters !== String(parameters) || early.source.readyState === EventSource.CLOSED) {
    early.source.close();
    return null;
  }
  for (const type of ["view", "problem"]) early.source.removeEventListener(type, early.keep);
  return early;
}
