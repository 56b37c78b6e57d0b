// Elements from their parts. Text is only ever set as text, so what logs hold stays text.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// A figure with its exact value beside what is shown of it.
export function figure(value, shown) {
  return element("data", { value: value === null ? "" : String(value) }, shown);
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setFigure(node, value, shown) {
  const exact = value === null ? "" : String(value);
  if (node.value !== exact) node.value = exact;
  setText(node, shown);
}

export function replace(node, ...children) {
  node.replaceChildren(...children);
}

// The same for what is replaced while somebody may be in it: the focus goes to what says the same. What is as it
// was stays, or a click that has begun would be lost.
export function renew(node, ...children) {
  if (node.innerHTML === children.map((child) => child.outerHTML).join("")) return;
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  node.replaceChildren(...children);
  if (focused === null) return;
  const { tagName, textContent } = focused;
  [...node.querySelectorAll(tagName)].find((each) => each.textContent === textContent)?.focus({ preventScroll: true });
}

// A link within the page: the address is a real one, so it can be opened elsewhere, too.
export function followsInPlace(event) {
  return event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
}
