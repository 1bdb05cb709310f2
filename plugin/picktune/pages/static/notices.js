// One message above the replies, with what can be done about it.

import { byId, t } from "./core.js";

const box = byId("alert");

/** Show a message; each button is the key of its words, what it does, and the key-cap that does it too. */
export function show(text, buttons, tone = "") {
  box.classList.toggle("calm", tone === "calm");
  byId("alert-text").textContent = text;
  byId("alert-buttons").replaceChildren(...buttons.map(([words, action, cap], place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = place === 0 ? "small primary" : "small";
    button.append(t(words));
    if (cap) {
      const key = document.createElement("kbd");
      key.textContent = cap;
      button.append(" ", key);
      button.dataset.cap = cap;
    }
    button.addEventListener("click", () => action());
    return button;
  }));
  box.hidden = false;
  box.scrollIntoView({ block: "nearest" });
}

export function hide() {
  box.hidden = true;
}

export function focus() {
  byId("alert-buttons").querySelector("button")?.focus();
}

/** Press the button with that key-cap; answers whether there was one. */
export function press(cap) {
  const button = box.hidden ? null : byId("alert-buttons").querySelector(`[data-cap="${cap}"]`);
  button?.click();
  return button !== null;
}
