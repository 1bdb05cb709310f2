// What was just done, with the offer to undo it: for some seconds, also on the next page.

import { byId, say } from "./core.js";

const STORED = "picktune.last";
const SECONDS = 12;
const box = document.getElementById("toast");
let decision = null;
let timer = 0;

/** Say that a decision was recorded, and offer to take it back. */
export function offer(done) {
  decision = { ...done, until: Date.now() + SECONDS * 1000 };
  store(decision);
  tell(done.text, true, SECONDS);
}

/** Say something in passing. */
export function tell(text, undoable = false, seconds = 4) {
  byId("toast-text").textContent = text;
  byId("toast-undo").hidden = !undoable;
  reveal(true);
  say(text);
  clearTimeout(timer);
  timer = setTimeout(hide, seconds * 1000);
}

export function hide() {
  // Not under somebody's focus: it would be lost.
  if (box.contains(document.activeElement)) timer = setTimeout(hide, 2000);
  else reveal(false);
}

/** The last decision of this tab, as long as this page knows it: the server says whether it can be undone. */
export const last = () => decision;

export function forget() {
  decision = null;
  store(null);
  clearTimeout(timer);
  if (box.contains(document.activeElement)) document.activeElement.blur();
  reveal(false);
}

export function listen(undo) {
  byId("toast-undo").addEventListener("click", undo);
  try {
    decision = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  } catch {
    decision = null;
  }
  const left = decision ? (decision.until - Date.now()) / 1000 : 0;
  if (left > 0) tell(decision.text, true, left);
  else decision = null;
}

function reveal(shown) {
  box.hidden = !shown;
  // The conversation makes room, so that its last words are never covered.
  document.body.classList.toggle("toasted", shown);
}

function store(value) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(value));
  } catch {
    // Without storage the offer ends with this page.
  }
}
