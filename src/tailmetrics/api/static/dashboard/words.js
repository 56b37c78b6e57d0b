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
  rotated: "rotated, read to its end",
  waiting: "waiting for its turn",
  done: "read to its end",
  missing: "not there yet",
  unreadable: "cannot be read",
  undecided: "of a format that is not known yet",
};
export const stateOf = (source) => STATES[source.state] ?? source.state;

export const FIGURES = [
  { key: "total_requests", label: "Requests", show: format.count },
  { key: "successful_requests", label: "Succeeded", show: format.count },
  { key: "failed_requests", label: "Failed", show: format.count },
  { key: "uptime", label: "Uptime", show: format.uptime },
  { key: "average_latency", label: "Mean", show: format.seconds },
  { key: "median_latency", label: "Median", show: format.seconds },
  { key: "p99_latency", label: "p99", show: format.seconds },
];
