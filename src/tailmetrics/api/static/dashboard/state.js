// What is shown, as it stands in the address: a link shows the same view.

export const RANGES = [
  { id: "15m", from: "-15m", label: "15 min", words: "the last 15 minutes" },
  { id: "1h", from: "-1h", label: "Hour", words: "the last hour" },
  { id: "24h", from: "-24h", label: "Day", words: "the last 24 hours" },
  { id: "7d", from: "-7d", label: "7 days", words: "the last 7 days" },
  { id: "30d", from: "-30d", label: "30 days", words: "the last 30 days" },
  { id: "all", label: "All", words: "all that was logged" },
  { id: "own", label: "Own", words: "the range of your own" },
];
export const PAGE_SIZE = 50;

const DEFAULTS = {
  customer: null,
  range: null,
  from: "",
  to: "",
  tz: null,
  failures: "4xx+5xx",
  search: "",
  sort: "-requests",
  page: 1,
  paused: false,
};

export const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function readState(address) {
  const given = new URL(address).searchParams;
  const state = { ...DEFAULTS };
  for (const name of ["customer", "from", "to", "tz", "failures", "search", "sort"]) {
    if (given.has(name)) state[name] = given.get(name);
  }
  if (state.from || state.to) state.range = "own";
  else if (RANGES.some((range) => range.id === given.get("range"))) state.range = given.get("range");
  state.page = Math.max(1, Math.trunc(Number(given.get("page"))) || 1);
  state.paused = given.get("live") === "off";
  state.tz = state.tz || localZone();
  return state;
}

// Range and zone always stand in the address, as their defaults depend on who looks.
export function addressOf(state) {
  const parts = new URLSearchParams();
  if (state.customer !== null) parts.set("customer", state.customer);
  if (state.range === "own") {
    if (state.from) parts.set("from", state.from);
    if (state.to) parts.set("to", state.to);
  }
  if (state.range && !parts.has("from") && !parts.has("to")) parts.set("range", state.range);
  parts.set("tz", state.tz);
  if (state.failures !== DEFAULTS.failures) parts.set("failures", state.failures);
  if (state.search) parts.set("search", state.search);
  if (state.sort !== DEFAULTS.sort) parts.set("sort", state.sort);
  if (state.page > 1) parts.set("page", String(state.page));
  if (state.paused) parts.set("live", "off");
  return `/?${parts}`;
}

export const rangeOf = (state) => RANGES.find((range) => range.id === (state.range || "1h"));

// The parameters of a range as the API takes them.
export function rangeParameters(state) {
  const range = rangeOf(state);
  const parameters = { tz: state.tz, failures: state.failures };
  if (range.id === "own") {
    if (state.from) parameters.from = state.from;
    if (state.to) parameters.to = state.to;
  } else if (range.from) {
    parameters.from = range.from;
    parameters.to = "now";
  }
  return parameters;
}

export function viewParameters(state) {
  const parameters = new URLSearchParams(rangeParameters(state));
  if (state.customer !== null) {
    parameters.set("customer_id", state.customer);
  } else {
    parameters.set("search", state.search);
    parameters.set("sort", state.sort);
    parameters.set("page", String(state.page));
    parameters.set("limit", String(PAGE_SIZE));
  }
  return parameters;
}

// Addresses of exactly what is shown, by the range that was answered.
export function exportAddress(state, view, what, format) {
  const { from, to, every } = view.stats;
  const parameters = new URLSearchParams({ tz: state.tz, failures: state.failures, format });
  if (from) parameters.set("from", from);
  if (to) parameters.set("to", to);
  if (what === "customers") {
    parameters.set("sort", state.sort);
    parameters.set("limit", String(PAGE_SIZE));
    if (state.search) parameters.set("search", state.search);
    if (view.cursor) parameters.set("cursor", view.cursor);
    return `/customers?${parameters}`;
  }
  parameters.set("every", every);
  if (state.customer !== null) parameters.set("customer_id", state.customer);
  return `/stats?${parameters}`;
}
