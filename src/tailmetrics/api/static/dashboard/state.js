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
export const MOST_EXPORTED = 100_000; // customers in one CSV file
export const ENOUGH_REQUESTS = 10; // of fewer an uptime or a latency says little

const UNITS = { s: ["second", 1], m: ["minute", 60], h: ["hour", 3600], d: ["day", 86_400] };
const LONGEST_SECONDS = 36_500 * 86_400;
const SORTS = ["customer_id", "requests", "failures", "uptime", "average", "median", "p99"];
const BY_SHARE = ["uptime", "average", "median", "p99"];

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
  min_requests: null,
  path: "",
  status: "",
  requests: "",
  bar: "",
  compare: true,
  paused: false,
};
export const REQUESTS = ["failed", "all", "slowest"];

export const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

// What each part of an address may be, where the service is not asked, and what is said of anything else.
const any = { is: () => true };
const whole = { is: (text) => /^[1-9]\d{0,5}$/.test(text), expected: "a whole number from 1 to 999999" };
const PARTS = {
  customer: any,
  from: any,
  to: any,
  search: any,
  range: {
    is: (text) => text !== "own" && rangeNamed(text) !== null,
    expected: "all, or a number and one of s, m, h and d, such as 5d, 36h or 90m, of at most 100 years",
  },
  tz: { is: isZone, expected: "a time zone such as UTC or Europe/Berlin" },
  failures: { is: (text) => ["4xx+5xx", "5xx", "5xx+429"].includes(text), expected: "4xx+5xx, 5xx or 5xx+429" },
  sort: { is: (text) => SORTS.includes(text.replace(/^-/, "")), expected: `one of ${SORTS.join(", ")}, or one of them after a -` },
  page: whole,
  min_requests: whole,
  path: any,
  status: { is: (text) => /^[0-9x,-]{1,40}$/.test(text), expected: "a status such as 500, or a class such as 5xx" },
  requests: { is: (text) => REQUESTS.includes(text), expected: `one of ${REQUESTS.join(", ")}` },
  bar: { is: (text) => text.split("/").length === 2 && !text.split("/").some((time) => Number.isNaN(Date.parse(time))), expected: "two times with a / between them" },
  compare: { is: (text) => text === "off", expected: "off, or nothing" },
  live: { is: (text) => text === "off", expected: "off, or nothing" },
};

// The state that an address asks for, and of each part that cannot be followed what is wrong with it.
export function readState(address) {
  const wrong = [];
  const given = new Map();
  for (const [name, value] of new URL(address).searchParams) {
    // A plus sign that was not percent-encoded arrives as a space.
    const text = name === "tz" || name === "failures" ? value.replaceAll(" ", "+") : value;
    if (!(name in PARTS)) wrong.push({ name, value, expected: `before the = one of ${Object.keys(PARTS).join(", ")}` });
    else if (text && !PARTS[name].is(text)) wrong.push({ name, value, expected: PARTS[name].expected });
    else if (text) given.set(name, text);
  }
  const state = { ...DEFAULTS, tz: localZone() };
  for (const name of ["customer", "from", "to", "range", "tz", "failures", "search", "sort", "path", "status", "requests", "bar"]) {
    if (given.has(name)) state[name] = given.get(name);
  }
  for (const name of ["page", "min_requests"]) if (given.has(name)) state[name] = Number(given.get(name));
  if (state.from || state.to) {
    if (state.range) wrong.push({ name: "range", value: state.range, expected: "nothing beside from and to" });
    state.range = "own";
  }
  state.compare = !given.has("compare");
  state.paused = given.has("live");
  return { state, wrong };
}

// Without what the service found wrong; null when that leaves the state as it was.
export function mended(state, wrong) {
  const next = { ...state };
  for (const name of wrong) {
    if (name === "from" || name === "to") Object.assign(next, { from: "", to: "", range: null });
    else if (name === "tz") next.tz = state.tz === localZone() ? "UTC" : localZone();
    else if (name in DEFAULTS) next[name] = DEFAULTS[name];
  }
  return addressOf(next) === addressOf(state) ? null : next;
}

function isZone(name) {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
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
  if (state.min_requests !== null) parts.set("min_requests", String(state.min_requests));
  if (state.page > 1) parts.set("page", String(state.page));
  for (const name of ["path", "status", "requests", "bar"]) if (state[name]) parts.set(name, state[name]);
  if (!state.compare) parts.set("compare", "off");
  if (state.paused) parts.set("live", "off");
  return `/?${parts}`;
}

export const rangeOf = (state) => rangeNamed(state.range || "1h");

function rangeNamed(id) {
  const known = RANGES.find((range) => range.id === id);
  if (known) return known;
  const [, number, unit] = /^([1-9]\d{0,9})([smhd])$/.exec(id) ?? [];
  if (!number || number * UNITS[unit][1] > LONGEST_SECONDS) return null;
  const words = number === "1" ? `the last ${UNITS[unit][0]}` : `the last ${number} ${UNITS[unit][0]}s`;
  return { id, from: `-${id}`, label: `${number} ${unit === "m" ? "min" : unit}`, words };
}

export const isByShare = (state) => BY_SHARE.includes(state.sort.replace("-", ""));

// How many requests a customer has to have to be listed.
export const leastOf = (state) => state.min_requests ?? (isByShare(state) ? ENOUGH_REQUESTS : 1);

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
  return { ...parameters, ...filterParameters(state) };
}

// Which requests every figure is about.
function filterParameters({ path, status }) {
  return { ...(path && { path }), ...(status && { status }) };
}

// The same figures of a time that is known, such as the one a view was answered for.
export function figuresAddress(state, what, parameters) {
  const { tz, failures, customer } = state;
  const all = new URLSearchParams({ tz, failures, ...filterParameters(state), ...parameters });
  if (what === "latencies") all.delete("failures");
  return customer === null ? `/${what}?${all}` : customerAddress(customer, what, all);
}

// What there is of one customer; `name` is that of the parameter for an id that no path can hold.
export function customerAddress(customer, what, parameters, name = "customer_id") {
  const all = new URLSearchParams(parameters);
  const isPath = !/^\.\.?$/.test(customer);
  if (!isPath) all.set(name, customer);
  return `${isPath ? `/customers/${encodeURIComponent(customer)}` : ""}/${what}?${all}`;
}

export function viewParameters(state) {
  const parameters = new URLSearchParams(rangeParameters(state));
  if (state.customer !== null) {
    parameters.set("customer_id", state.customer);
  } else {
    parameters.set("search", state.search);
    parameters.set("sort", state.sort);
    parameters.set("min_requests", String(leastOf(state)));
    parameters.set("page", String(state.page));
    parameters.set("limit", String(PAGE_SIZE));
  }
  return parameters;
}

// Addresses of exactly what is shown, by the range that was answered; customers as CSV are those of all pages.
export function exportAddress(state, view, what, format) {
  const { from, to, every } = view.stats;
  const parameters = new URLSearchParams({ tz: state.tz, failures: state.failures, ...filterParameters(state) });
  if (from) parameters.set("from", from);
  if (to) parameters.set("to", to);
  parameters.set("format", format);
  if (what === "customers") {
    const isCsv = format === "csv";
    parameters.set("sort", state.sort);
    parameters.set("min_requests", String(leastOf(state)));
    parameters.set("limit", String(isCsv ? MOST_EXPORTED : PAGE_SIZE));
    if (state.search) parameters.set("search", state.search);
    if (view.cursor && !isCsv) parameters.set("cursor", view.cursor);
    return `/customers?${parameters}`;
  }
  parameters.set("every", every);
  if (state.customer !== null) parameters.set("customer_id", state.customer);
  return `/stats?${parameters}`;
}
