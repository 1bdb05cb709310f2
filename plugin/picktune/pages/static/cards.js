// The replies of a slate as cards: shown together, selected, edited.

import { byId, explain, say, t, write } from "./core.js";
import { score } from "./signals.js";

const box = byId("cards");
let candidates = [];
let selected = -1;
let editing = -1;
let shownAt = 0;
let hiddenFor = 0;
let hiddenSince = 0;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSince = performance.now();
  else if (hiddenSince) {
    hiddenFor += performance.now() - hiddenSince;
    hiddenSince = 0;
  }
});

/** Show the candidates, all at once, in the order in which the server gave them. */
export function show(slate, act) {
  candidates = slate.candidates;
  selected = editing = -1;
  box.replaceChildren(...candidates.map((candidate, place) => card(candidate, place, act)));
  shownAt = performance.now();
  hiddenFor = 0;
  hiddenSince = document.hidden ? shownAt : 0;
}

function card(candidate, place, act) {
  const fragment = byId("card-template").content.cloneNode(true);
  const element = fragment.querySelector(".card");
  const number = place + 1;
  element.dataset.candidate = candidate.id;
  element.setAttribute("aria-label", t("reply_of", { n: number, total: candidates.length }));
  element.setAttribute("aria-keyshortcuts", String(number));
  element.querySelector(".cap").textContent = number;
  write(element.querySelector(".card-text"), candidate.text);
  for (const button of element.querySelectorAll(".card-head button")) {
    button.setAttribute("aria-label", `${button.firstChild.textContent.trim()} – ${t("reply", { n: number })}`);
  }
  element.querySelector("textarea").setAttribute("aria-label", t("edit_label", { n: number }));
  element.addEventListener("focusin", () => select(place, false));
  for (const button of element.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => act(button.dataset.do, place));
  }
  for (const group of element.querySelectorAll(".scores")) scores(group, candidate, number);
  return fragment;
}

/** An expert's scores: kept as they are given; another one is a new version. */
function scores(group, candidate, number) {
  const state = group.querySelector(".scores-state");
  group.setAttribute("aria-label", `${group.dataset.scale} – ${t("reply", { n: number })}`);
  for (const input of group.querySelectorAll("input")) {
    if (input.type === "radio") input.name = `${candidate.id}-${group.dataset.scale}`;
    input.addEventListener("change", async () => {
      if (!input.value || !input.checkValidity()) return;
      state.textContent = "…";
      try {
        await score(candidate.id, group.dataset.scale, Number(input.value));
        state.textContent = "✓";
        say(t("scored"));
      } catch (error) {
        if (input.type === "radio") input.checked = false;
        state.textContent = explain(error);
      }
    });
  }
}

export const count = () => candidates.length;
export const candidate = (place) => candidates[place];
export const chosen = () => (selected < 0 ? 0 : selected);
export const isEditing = () => editing >= 0;

/** Milliseconds that the replies have really been looked at: time in another tab does not count. */
export function dwell() {
  const now = performance.now();
  return Math.round(now - shownAt - hiddenFor - (hiddenSince ? now - hiddenSince : 0));
}

export function select(place, focus = true) {
  selected = place;
  [...box.children].forEach((element, index) => element.classList.toggle("selected", index === place));
  if (focus) box.children[place]?.focus();
}

/** Move the selection; `rows` moves by a whole row of the grid. */
export function move(step, rows = false) {
  const columns = getComputedStyle(box).gridTemplateColumns.split(" ").length;
  const from = selected < 0 ? (step > 0 ? -1 : candidates.length) : selected;
  const to = selected < 0 ? from + step : from + step * (rows ? columns : 1);
  if (to >= 0 && to < candidates.length) select(to);
}

export function edit(place) {
  if (editing >= 0) stopEditing();
  editing = place;
  select(place, false);
  const element = box.children[place];
  element.classList.add("editing");
  element.querySelector(".card-editor").hidden = false;
  const area = element.querySelector("textarea");
  area.value = candidates[place].text;
  area.rows = Math.min(14, Math.max(5, Math.ceil(area.value.length / 70) + area.value.split("\n").length));
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
}

export function stopEditing() {
  const element = box.children[editing];
  const place = editing;
  editing = -1;
  if (!element) return;
  element.classList.remove("editing");
  element.querySelector(".card-editor").hidden = true;
  select(place);
}

/** What is in the open editor: its place, its text, and whether that differs from the candidate. */
export function edited() {
  const text = box.children[editing].querySelector("textarea").value;
  return { place: editing, text, changed: text !== candidates[editing].text };
}

/** Mark one card as being sent (or none) and lock the others. */
export function lock(place, state = "") {
  box.classList.toggle("busy", place !== null);
  [...box.children].forEach((element, index) => {
    const sending = place === index;
    element.classList.toggle("sending", sending);
    element.querySelector(".card-state").textContent = sending ? state : "";
    for (const control of element.querySelectorAll("button, textarea")) control.disabled = place !== null;
  });
}
