// Range, time zone and what counts as failed.

import { byId, element } from "./dom.js";
import { RANGES, localZone } from "./state.js";

// `go` changes parts of the state.
export function makeControls(go, current) {
  for (const range of RANGES) addRange(range, null);
  byId("ranges").addEventListener("change", ({ target }) => {
    if (target.value === "own") openOwn(current());
    else go({ range: target.value, from: "", to: "", page: 1 });
  });
  byId("own").addEventListener("input", checkOwn);
  zones(current().tz);
  byId("tz").addEventListener("change", (event) => go({ tz: event.target.value }));
  byId("failures").addEventListener("change", (event) => go({ failures: event.target.value }));
  byId("compare").addEventListener("change", (event) => go({ compare: event.target.checked }, { replaces: true }));
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    const [from, to] = [byId("own-from").value, byId("own-to").value];
    if (from || to) go({ range: "own", from, to, page: 1 });
  });
}

export function showControls(state, range) {
  if (byId(`range-${range.id}`) === null) addRange(range, byId("range-all"));
  byId(`range-${range.id}`).checked = true;
  byId("own").hidden = range.id !== "own";
  if (range.id === "own") {
    byId("own-from").value = pickable(state.from, state.tz);
    byId("own-to").value = pickable(state.to, state.tz);
    checkOwn();
  }
  if (byId("tz").value !== state.tz) {
    if (![...byId("tz").options].some((option) => option.value === state.tz)) {
      byId("tz").prepend(element("option", { value: state.tz }, state.tz));
    }
    byId("tz").value = state.tz;
  }
  byId("failures").value = state.failures;
  byId("compare").checked = state.compare;
}

function addRange({ id, label }, before) {
  const radio = element("input", { type: "radio", name: "range", value: id, id: `range-${id}` });
  for (const part of [radio, element("label", { for: `range-${id}` }, label)]) byId("ranges").insertBefore(part, before);
  return radio;
}

function openOwn(state) {
  byId("own").hidden = false;
  if (!byId("own-to").value) {
    byId("own-to").value = wallClock(new Date(), state.tz).slice(0, 16);
    byId("own-from").value = wallClock(new Date(Date.now() - 3_600_000), state.tz).slice(0, 16);
    checkOwn();
  }
}

// The browser says it where it is, before anything is asked for.
function checkOwn() {
  const [from, to] = [byId("own-from").value, byId("own-to").value];
  byId("own-to").setCustomValidity(from && to && from > to ? "This is before the beginning of the range." : "");
}

// What a field for a time can show of a time in the address.
function pickable(time, tz) {
  if (/T.*(Z|[+-]\d{2}:\d{2})$/.test(time)) return wallClock(new Date(time), tz);
  if (/^\d{4}-\d{2}-\d{2}$/.test(time)) return `${time}T00:00`;
  return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$/.test(time) ? time : "";
}

function wallClock(time, tz) {
  const options = { timeZone: tz, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en", options).formatToParts(time).map(({ type, value }) => [type, value]));
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}`;
}

function zones(shown) {
  const near = [...new Set([shown, localZone(), "UTC"])];
  const option = (zone) => element("option", { value: zone }, zone.replaceAll("_", " "));
  const others = Intl.supportedValuesOf("timeZone").filter((zone) => !near.includes(zone));
  const all = element("optgroup", { label: "All" });
  byId("tz").append(...near.map(option), all);
  // Some four hundred, which can wait until the figures are there.
  requestIdleCallback(() => all.append(...others.map(option)), { timeout: 1000 });
}
