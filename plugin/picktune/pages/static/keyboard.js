// Single keys, switched off while somebody types, and for good if the person wishes (WCAG 2.1.4).

import { byId, isTyping } from "./core.js";

const STORED = "picktune.keys";

function remembered() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true; // Storage may be forbidden; the keys then work and are simply not remembered.
  }
}

const box = byId("keys-on");
box.checked = remembered();
box.addEventListener("change", () => {
  try {
    localStorage.setItem(STORED, box.checked ? "on" : "off");
  } catch {
    // Not remembered, as above.
  }
});

/**
 * Listen to the keyboard. `keys` maps a key to what it does, which answers false if the key is not for it;
 * `typing` hears "send" and "cancel" out of a text field.
 */
export function listen(keys, typing) {
  document.addEventListener("keydown", (event) => {
    // An input method composes a character: Enter and digits belong to it.
    if (event.isComposing || event.keyCode === 229) return;
    if (document.querySelector("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    if (isTyping(event.target)) {
      if (event.key === "Enter" && control) take(event, () => typing("send", event.target));
      else if (event.key === "Escape") take(event, () => typing("cancel", event.target));
      return;
    }
    if (control && !event.shiftKey && event.key.toLowerCase() === "z") return take(event, keys.undo);
    if (control || event.altKey || (event.repeat && !event.key.startsWith("Arrow"))) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in keys) || (!box.checked && key !== "?" && key !== "Escape" && key !== "Enter")) return;
    take(event, keys[key]);
  });
  byId("help")?.addEventListener("click", help);
}

export function help() {
  byId("keys").showModal();
}

function take(event, action) {
  if (action(event) !== false) event.preventDefault();
}
