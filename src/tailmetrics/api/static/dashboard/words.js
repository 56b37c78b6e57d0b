// What the page says in words.

import * as format from "./format.js";
import { rangeOf } from "./state.js";

export const titleOf = (state) => (state.customer === null ? "All customers" : state.customer);

export function counted(number, noun) {
  return `${format.count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// What somebody else wrote, as a sentence among others.
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;

// What cannot be followed of an address, a sentence each.
export function wrongOf(wrong) {
  const found = wrong.map(({ name, value, expected }) => `The address has ${name}=${value}; expected ${expected}.`);
  return [...found, "What is shown leaves that out."].join("\n");
}

// One sentence with what a reader of the page would look at first.
export function summaryOf(state, stats) {
  const begin = `${titleOf(state)}, ${rangeOf(state).words}: ${counted(stats.total_requests, "request")}`;
  if (!stats.total_requests) return `${begin}.`;
  return (
    `${begin}, ${format.count(stats.failed_requests)} failed, uptime ${format.uptime(stats.uptime)}, ` +
    `median ${format.seconds(stats.median_latency)}.`
  );
}

const CLASSES = { 0: "no answer", 1: "informational", 2: "success", 3: "redirect", 4: "client error", 5: "server error" };
export const classOf = (status) => CLASSES[Math.floor(status / 100)];

const STATES = {
  live: "being read",
  rotated: "rotated, being read to its end",
  loading: "being loaded",
  done: "read to its end",
  stored: "in the store, and nobody reads it now",
  empty: "there, and empty so far",
  awaited: "not there now",
  missing: "there is no such log, and there never was one",
  unreadable: "cannot be read",
  undecided: "of a format that is not known yet",
};
export const stateOf = (source) => STATES[source.state] ?? source.state;

const FAULTS = { missing: "No log", unreadable: "Cannot read", undecided: "Unknown format" };

// What is wrong with the logs, in a few words; the empty text when nothing is.
export function faultOf(sources) {
  for (const [state, words] of Object.entries(FAULTS)) {
    const paths = sources.filter((source) => source.state === state).map((source) => source.path);
    if (paths.length) return `${words}: ${paths[0]}${paths.length > 1 ? ` and ${paths.length - 1} more` : ""}`;
  }
  return "";
}

export const FIGURES = [
  { key: "total_requests", label: "Requests", show: format.count },
  { key: "successful_requests", label: "Succeeded", show: format.count },
  { key: "failed_requests", label: "Failed", show: format.count },
  { key: "uptime", label: "Uptime", show: format.uptime, isPercent: true },
  { key: "average_latency", label: "Mean", show: format.seconds },
  { key: "median_latency", label: "Median", show: format.seconds },
  { key: "p99_latency", label: "p99", show: format.seconds },
];
