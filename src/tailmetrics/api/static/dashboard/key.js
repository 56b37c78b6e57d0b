// Asks for a key of the service, only when the service asked for one.

import { byId, setText } from "./dom.js";

export function askForKey() {
  const dialog = byId("key");
  if (dialog.open) return Promise.resolve(false);
  dialog.showModal();
  return new Promise((resolve) => {
    byId("key-form").onsubmit = async (event) => {
      event.preventDefault();
      const response = await fetch("/session", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ key: byId("key-input").value }),
      }).catch(() => null);
      byId("key-input").value = "";
      if (response?.ok) {
        setText(byId("key-wrong"), "");
        resolve(true);
        dialog.close();
      } else {
        setText(byId("key-wrong"), reasonOf(response));
        byId("key-input").focus();
      }
    };
    dialog.addEventListener("close", () => resolve(false), { once: true });
  });
}

function reasonOf(response) {
  if (response === null) return "The service does not answer.";
  if (response.status === 429) {
    return `Many wrong keys were tried from here. Try again in ${response.headers.get("Retry-After")} seconds.`;
  }
  return "That is not the key.";
}
