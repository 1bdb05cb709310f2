// What is done with the replies beside deciding: copied, really in sight, for how long; and an expert's scores.
// None of it may ever disturb the person, so what cannot be sent is let go.

import { call, newKey } from "./core.js";

const box = document.getElementById("cards");
const inSight = new Map(); // candidate id → since when, while it is in sight and the page is looked at
const seen = new Map(); // candidate id → milliseconds in sight that have not been sent
let slate = null;
let dwell = () => 0;
let dwelt = 0;
let observer = null;

/** A slate is shown; `milliseconds` says for how long it has been looked at. */
export function begin(shown, milliseconds) {
  slate = shown;
  dwell = milliseconds;
  dwelt = 0;
  inSight.clear();
  seen.clear();
  observer?.disconnect();
  observer = new IntersectionObserver(look, { threshold: Array.from({ length: 21 }, (_, step) => step / 20) });
  for (const card of box.children) {
    seen.set(card.dataset.candidate, 0);
    observer.observe(card);
  }
}

function look(entries) {
  for (const entry of entries) {
    const id = entry.target.dataset.candidate;
    const half = entry.intersectionRatio >= 0.5 || entry.intersectionRect.height >= (entry.rootBounds?.height ?? Infinity) / 2;
    if (entry.isIntersecting && half) inSight.set(id, inSight.get(id) ?? now());
    else stop(id);
  }
}

const now = () => (document.hidden ? null : performance.now());

function stop(id) {
  count(id);
  inSight.delete(id);
}

function count(id) {
  const since = inSight.get(id);
  if (since === undefined || since === null) return;
  seen.set(id, (seen.get(id) ?? 0) + performance.now() - since);
  inSight.set(id, performance.now());
}

document.addEventListener("visibilitychange", () => {
  for (const id of inSight.keys()) {
    if (document.hidden) count(id);
    inSight.set(id, now());
  }
  if (document.hidden) flush("left"); // On a phone this may be the last that is heard of the page.
});
window.addEventListener("pagehide", () => flush("left"));

/** The slate is shown no more: it was decided on, left, or replaced by another. */
export function end(how) {
  flush(how);
  slate = null;
  observer?.disconnect();
}

function flush(ended) {
  if (slate === null) return;
  for (const id of inSight.keys()) count(id);
  const replies = [...seen].map(([id, time]) => ({ candidate_id: id, visible_ms: Math.round(time) }));
  const ms = dwell() - dwelt;
  if (ended === "left" && ms < 500) return; // nobody looked, or all of it was sent a moment ago
  for (const id of seen.keys()) seen.set(id, 0);
  dwelt += ms;
  const details = [{ kind: "dwell", ms, ended }];
  if (replies.length) details.unshift({ kind: "visible", replies });
  note(details);
}

function note(details) {
  const signals = details.map((detail) => ({ key: newKey(), detail }));
  call("POST", "/v1/signals", { slate_id: slate.id, signals }, { keepalive: true }).catch(() => {});
}

document.addEventListener("copy", () => {
  const selection = document.getSelection();
  if (slate === null || selection.rangeCount === 0 || selection.isCollapsed) return;
  const range = selection.getRangeAt(0);
  const details = [];
  for (const text of box.querySelectorAll(".card-text")) {
    if (!range.intersectsNode(text)) continue;
    const part = document.createRange();
    part.selectNodeContents(text);
    if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) part.setStart(range.startContainer, range.startOffset);
    if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) part.setEnd(range.endContainer, range.endOffset);
    const copied = part.toString();
    const characters = [...copied].length;
    const whole = copied.trim() === text.textContent.trim();
    if (characters) details.push({ kind: "copied", candidate_id: text.closest(".card").dataset.candidate, characters, whole });
  }
  if (details.length) note(details.slice(0, 20));
});

/** An expert's score for one reply; throws what the server says. */
export const score = (candidateId, scale, value) =>
  call("POST", "/v1/scores", { key: newKey(), candidate_id: candidateId, scale, value });
