// The box for a reply of one's own: when none of the replies is good, or when none could be drawn.

import { byId, t } from "./core.js";

const box = byId("own");
const area = byId("own-text");
let alone = false;

export const isOpen = () => box !== null && !box.hidden;
export const isDirty = () => isOpen() && area.value.trim() !== "";

export function open(how) {
  alone = how.alone;
  byId("own-title").textContent = t(alone ? "alone_title" : "own_title");
  byId("own-hint").textContent = t(alone ? "alone_hint" : "own_hint");
  byId("own-chips").hidden = alone;
  box.hidden = false;
  label();
  area.focus({ preventScroll: true });
  box.scrollIntoView({ block: "nearest" });
}

/** Close the box; its text stays for the next time. */
export function close() {
  if (box) box.hidden = true;
}

export function clear() {
  area.value = "";
  for (const chip of box.querySelectorAll("input")) chip.checked = false;
}

export function read() {
  const reasons = [...box.querySelectorAll("input:checked")].map((chip) => chip.value);
  return { alone, text: area.value, reasons };
}

export function listen(send, cancel) {
  area.addEventListener("input", label);
  byId("own-send").addEventListener("click", send);
  byId("own-cancel").addEventListener("click", cancel);
}

function label() {
  byId("own-send-text").textContent = t(alone || area.value.trim() ? "own_send" : "own_record");
}
