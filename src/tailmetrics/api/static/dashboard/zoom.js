// Into a range and back by one key. How deep the reader is stands in the history, beside the address.

import { byId, element, followsInPlace, replace } from "./dom.js";

const TYPED_IN = "input, select, textarea, dialog, summary";

export const depth = () => history.state?.depth ?? 0;

// `close` closes what is open where nothing led in; false when nothing is.
export function listenForBack(close) {
  const back = () => {
    if (depth()) history.back();
    else return close();
    return true;
  };
  byId("zoom-out").addEventListener("click", back);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Escape" && event.key !== "Backspace") return;
    if (event.target.closest(TYPED_IN) && event.target.type !== "radio") return;
    if (back()) event.preventDefault();
  });
}

// A link that changes parts of the state where it stands, and can be opened elsewhere.
export function inPlace(link, follow) {
  link.addEventListener("click", (event) => {
    if (!followsInPlace(event)) return;
    event.preventDefault();
    follow();
  });
  return link;
}

const FILTERS = { path: "Path", status: "Status" };

// What the figures are limited to, and a way out of each.
export function showFilters(state, go) {
  const shown = Object.entries(FILTERS).filter(([name]) => state[name]);
  const key = shown.map(([name]) => `${name}=${state[name]}`).join("\n");
  const list = byId("filters");
  list.hidden = !shown.length;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  replace(
    list,
    ...shown.map(([name, label]) => {
      const button = element("button", { type: "button", "aria-label": `Leave out the filter by ${label.toLowerCase()} ${state[name]}` }, element("span", { "aria-hidden": "true" }, "✕"));
      button.addEventListener("click", () => {
        go({ [name]: "", page: 1 });
        byId("title").focus({ preventScroll: true });
      });
      return element("li", {}, `${label} `, element("code", {}, state[name]), " ", button);
    }),
  );
}
