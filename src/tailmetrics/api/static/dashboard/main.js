// The page: what is shown follows the address, and the figures follow the service.

import { Breakdown } from "./breakdown.js";
import { makeControls, showControls } from "./controls.js";
import { Customers } from "./customers.js";
import { byId, element, followsInPlace, setText } from "./dom.js";
import { Comparison } from "./compare.js";
import { Feed } from "./feed.js";
import * as format from "./format.js";
import { Figures, emptyOf, showEmpty, showLogs, showRejects, showWarnings, unknownCustomer } from "./panels.js";
import { MOST_EXPORTED, addressOf, exportAddress, figuresAddress, leastOf, mended, rangeOf, readState, viewParameters } from "./state.js";
import { faultOf, sentence, summaryOf, titleOf, wrongOf } from "./words.js";
import { depth, listenForBack, showFilters } from "./zoom.js";

const TYPING_MS = 250;

const SHORTEST_MS = 1000; // of a range that is zoomed into

const NOTHING = { text: "", kind: "note" };
const CLOSED = { requests: "", bar: "" };
const LEAVES = ["customer", "range", "from", "to"]; // a change of these leaves the requests of a bar behind

let state;
let remark; // what is said beside the figures until something else is chosen
let view = null; // what was shown last
let announced = ""; // the address that was announced last

const statsExports = element("p", { class: "exports" });
const figures = new Figures();
const breakdown = new Breakdown();
let charts = null;
let requests = null;
let calendar = null;
let heat = null;
let promises = null;
const comparison = new Comparison((before) => {
  figures.compare(before);
  charts?.then((both) => both.forEach((chart) => chart.compare(before?.windows ?? [])));
});
const customers = new Customers((changes) => go(typeof changes === "function" ? changes(state) : changes));
const feed = new Feed({ view: receive, problem, refused, lost });

// With `deeper` the way back is one key.
function go(changes, { replaces = false, deeper = false } = {}) {
  const before = state;
  const isLeft = LEAVES.some((name) => name in changes && changes[name] !== state[name]);
  state = { ...state, ...(isLeft ? CLOSED : {}), ...changes };
  const address = addressOf(state);
  if (address !== addressOf(before)) {
    remark = NOTHING;
    if (replaces) history.replaceState(history.state, "", address);
    else history.pushState({ depth: deeper ? depth() + 1 : 0 }, "", address);
  }
  follow(before);
}

// From one state to another: what only opens or closes a panel asks for no other figures.
function follow(before) {
  if (viewAddress(before) !== viewAddress(state) || view === null) apply(before.customer !== state.customer);
  else showPanels();
  if (before.requests && !state.requests && viewAddress(before) === viewAddress(state)) focusCharts();
}

const viewAddress = (of) => addressOf({ ...of, ...CLOSED, compare: true });
const about = () => viewAddress({ ...state, search: "", sort: "", page: 1, paused: false });

function zoom(from, to) {
  if (Date.parse(to) - Date.parse(from) < SHORTEST_MS) return;
  go({ range: "own", from, to, page: 1 }, { deeper: true });
}

// The requests of a window: those that failed, or where time is looked at the slowest.
function openWindow(window, kind) {
  const isFailed = kind === "requests" && window.failed_requests > 0;
  const which = isFailed ? "failed" : kind === "latency" ? "slowest" : "all";
  go({ requests: which, bar: `${window.start}/${window.end}` }, { deeper: !state.requests, replaces: Boolean(state.requests) });
}

function zoomToDay(from, to) {
  zoom(from, to);
  focusCharts();
}

function focusCharts() {
  charts?.then(([first]) => first.focus());
}

function showPanels() {
  byId("zoom-out").hidden = !depth();
  showFilters(state, go);
  if (view === null || !byId("empty").hidden) return;
  if (state.requests || requests !== null) {
    requests ??= import("./requests.js").then(({ Requests }) => new Requests({ go, zoom, signIn }));
    requests.then((panel) => panel.show(state, view.stats), () => (requests = null));
  }
  comparison.show(state, view.stats, about());
  calendar ??= import("./calendar.js").then(({ Calendar }) => new Calendar(zoomToDay));
  calendar.then((panel) => panel.show(state), () => (calendar = null));
  heat ??= import("./heat.js").then(({ HeatMap }) => new HeatMap());
  heat.then((panel) => panel.show(state, view.stats, about()), () => (heat = null));
  if (view.looks.objectives) showPromises();
}

// Nothing is asked of a service to which nobody gave objectives.
function showPromises() {
  promises ??= Promise.all([import("./budgets.js"), import("./alerts.js")]).then(([{ Budgets }, { Alerts }]) => [
    new Budgets(go, (objective) => calendar?.then((panel) => panel.promise(objective))),
    new Alerts(go, (marks) => charts?.then((both) => both.forEach((chart) => chart.mark(marks)))),
  ]);
  promises.then((parts) => parts.forEach((part) => part.show(state)), () => (promises = null));
}

function apply(moved) {
  document.title = `${titleOf(state)} – tailmetrics`;
  setText(byId("title"), titleOf(state));
  byId("trail").hidden = state.customer === null;
  byId("back").href = addressOf({ ...state, customer: null });
  if (document.activeElement !== byId("search")) byId("search").value = state.search;
  showControls(state, rangeOf(state));
  byId("main").setAttribute("aria-busy", "true");
  if (moved) {
    byId("title").focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  setPaused();
  byId("zoom-out").hidden = !depth();
  showFilters(state, go);
  if (state.paused) {
    feed.stop();
    feed.once(viewParameters(state));
  } else {
    feed.follow(viewParameters(state));
  }
}

function receive(document) {
  if (state.range === null && document.span !== null && document.stats.total_requests === 0 && state.customer === null) {
    // Nobody chose the range and it holds nothing: what was logged before is of more use.
    const { text, kind } = remark;
    const widened = "Nothing was logged in the last hour, so all that was logged is shown.";
    go({ range: "all" }, { replaces: true });
    remark = { text: text ? `${text}\n${widened}` : widened, kind };
    return;
  }
  if (state.range === null) {
    state = { ...state, range: rangeOf(state).id };
    history.replaceState(history.state, "", addressOf(state));
  }
  const first = view === null;
  view = document;
  const { stats } = view;
  showWarnings(view.looks);
  showLogs(view.looks.sources);
  const empty = emptyOf(view, state, go);
  showEmpty(empty);
  if (empty === null) {
    figures.show(stats);
    drawCharts();
    showExports();
    byId("customers").hidden = view.customers === null;
    if (view.customers !== null) customers.show(view, state);
    breakdown.show(view, about(), figuresAddress(state, "breakdown", { from: stats.from, to: stats.to }), filterBy);
    showRejects(view.rejects, state.tz);
  }
  showPanels();
  const shown = stats.from === null ? "" : format.span(stats.from, stats.to, state.tz);
  setText(byId("range-text"), shown && `${shown} · ${state.tz.replaceAll("_", " ")}`);
  settled();
  if (first) {
    performance.mark("first-figures");
    byId("sign-in").hidden = true; // another page may have signed in
  }
  announceOnce(empty === null ? summaryOf(state, stats) : empty.title);
}

// What draws charts is read when there is something to draw: the figures need not wait for it.
function drawCharts() {
  charts ??= import("./charts.js").then(({ makeCharts }) => makeCharts(statsExports, { zoom, open: openWindow }));
  charts.then(
    (both) => both.forEach((chart) => chart.show(view.stats)),
    () => (charts = null), // the next figures try again
  );
}

function filterBy(changes) {
  return { href: addressOf({ ...state, ...changes }), follow: () => go(changes, { deeper: true }) };
}

function showExports() {
  renewExports(statsExports, "stats", ["CSV", "JSON"]);
  if (view.customers === null) return;
  const { customers: shown, total } = view.customers;
  const all = `${total > MOST_EXPORTED ? "first" : "all"} ${format.count(Math.min(total, MOST_EXPORTED))}`;
  renewExports(byId("customers-exports"), "customers", total > shown.length ? [`CSV of ${all}`, "JSON of this page"] : ["CSV", "JSON"]);
}

// Their addresses have the times of each new figures: the links stay, or a click that has begun would be lost.
function renewExports(node, what, labels) {
  if (!node.childElementCount) node.append(element("a"), " ", element("a"));
  ["csv", "json"].forEach((kind, place) => {
    const link = node.children[place];
    link.href = exportAddress(state, view, what, kind);
    link.download = `${what}.${kind}`;
    setText(link, labels[place]);
  });
}

function problem({ status, detail }) {
  if (status === 404) {
    showEmpty(unknownCustomer(state, go));
    setText(byId("range-text"), "");
    settled();
    announceOnce("No requests of this customer");
  } else {
    stale(`The service cannot answer now: ${detail}`);
  }
}

async function refused({ status, detail, errors }) {
  if (status === 404) problem({ status, detail });
  else if (status === 401) {
    // Whoever signed out, or may see it no longer, leaves nothing behind.
    if (view !== null) return location.reload();
    showSignOut();
    stale("What is here is shown to those with a key.");
    await signIn();
  } else if (!follows(errors ?? [])) stale(detail);
}

// What the service found wrong with the address is said, and the rest of it is shown; false when nothing is left.
function follows(errors) {
  const wrong = errors.map(({ parameter, ...found }) => ({ name: parameter === "customer_id" ? "customer" : parameter, ...found }));
  const next = mended(state, wrong.map(({ name }) => name));
  if (next === null) return false;
  const { text } = remark;
  go(next, { replaces: true });
  remark = { text: [text, wrongOf(wrong)].filter(Boolean).join("\n"), kind: "wrong" };
  return true;
}

// Whoever closes the form finds it again behind a button.
async function signIn() {
  byId("sign-in").hidden = true;
  const { askForKey } = await import("./key.js");
  const isSignedIn = await askForKey();
  if (isSignedIn) {
    showSignOut();
    apply(false);
  } else byId("sign-in").hidden = byId("key").open;
  return isSignedIn;
}

// The session itself is hidden from scripts; a cookie beside it says that there is one.
function showSignOut() {
  byId("sign-out").hidden = !document.cookie.includes("tailmetrics_signed_in=1");
}

function lost() {
  stale("The service does not answer. The page tries again by itself.");
}

// What is shown is of now.
function settled() {
  byId("main").setAttribute("aria-busy", "false");
  const fault = view === null ? "" : faultOf(view.looks.sources);
  document.body.dataset.feed = state.paused ? "paused" : fault ? "fault" : "live";
  setText(byId("feed-text"), state.paused ? `Paused at ${format.clock(Date.now(), state.tz)}` : fault || "Live");
  notice(remark.text, remark.kind);
}

function stale(why) {
  byId("main").setAttribute("aria-busy", "false");
  document.body.dataset.feed = "stale";
  setText(byId("feed-text"), "Not current");
  announced = "";
  notice(view === null ? sentence(why) : `${sentence(why)} What is shown is of ${format.clock(view.at, state.tz)}.`, "wrong");
}

function notice(text, kind) {
  byId("notice").className = `notice ${kind}`;
  setText(byId("notice"), text);
}

// Screen readers hear of a new view and of its return, not of every update.
function announceOnce(text) {
  if (announced === viewAddress(state)) return;
  announced = viewAddress(state);
  setText(byId("announcer"), text);
}

function setPaused() {
  setText(byId("pause"), state.paused ? "Resume" : "Pause");
}

byId("pause").addEventListener("click", () => {
  const paused = !state.paused;
  state = { ...state, paused };
  history.replaceState(history.state, "", addressOf(state));
  setPaused();
  if (paused) {
    feed.stop();
    settled();
    setText(byId("announcer"), "Paused. The figures stay as they are.");
  } else {
    feed.follow(viewParameters(state));
    setText(byId("announcer"), "Live again.");
  }
});

byId("show-requests").addEventListener("click", () => go({ requests: view.stats.failed_requests ? "failed" : "all", bar: "" }, { deeper: true }));

byId("sign-in").addEventListener("click", signIn);

byId("sign-out").addEventListener("click", async () => {
  await fetch("/session/end", { method: "POST" });
  location.assign("/");
});

let typing = 0;
byId("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  const search = event.target.value;
  typing = setTimeout(() => go({ search, page: 1 }, { replaces: true }), TYPING_MS);
});

byId("least").addEventListener("change", (event) => go({ min_requests: Number(event.target.value), page: 1 }));

byId("customers-table").addEventListener("click", (event) => {
  const link = event.target.closest("a[data-customer]");
  if (link === null || !followsInPlace(event)) return;
  event.preventDefault();
  go({ customer: link.dataset.customer });
});

for (const id of ["back", "home"]) {
  byId(id).addEventListener("click", (event) => {
    if (!followsInPlace(event)) return;
    event.preventDefault();
    go({ customer: null, ...(id === "home" ? { search: "", page: 1, min_requests: null, path: "", status: "" } : {}) });
  });
}

addEventListener("popstate", () => {
  const before = state;
  read();
  follow(before);
});

listenForBack(() => {
  if (!state.requests) return false;
  go(CLOSED, { replaces: true });
  return true;
});

function read() {
  const found = readState(location.href);
  state = found.state;
  remark = found.wrong.length ? { text: wrongOf(found.wrong), kind: "wrong" } : NOTHING;
}

read();
makeControls(go, () => state);
showSignOut();
history.replaceState(history.state, "", addressOf(state));
apply(false);
