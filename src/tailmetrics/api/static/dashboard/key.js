// Asks for the key of the service, only when the service asked for it.

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
        dialog.close();
        resolve(true);
      } else {
        setText(byId("key-wrong"), response ? "That is not the key." : "The service does not answer.");
      }
    };
    dialog.addEventListener("close", () => resolve(false), { once: true });
  });
}
