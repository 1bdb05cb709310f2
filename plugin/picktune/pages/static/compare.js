// Judging whole conversations: the next one is shown, a key or a button decides, and the one after it comes.

import { byId, call, explain, isTyping, newKey, say, t, write } from "./core.js";

const page = byId("compare");
const sides = byId("sides");
let comparison = null;
let last = null; // what was judged last, for an undo
let shownAt = 0;
let retry = next;

function enter(phase) {
  page.dataset.phase = phase;
  byId("compare-work").hidden = phase !== "judging" && phase !== "sending";
  byId("compare-empty").hidden = phase !== "empty";
  for (const control of page.querySelectorAll("#compare-work button")) control.disabled = phase === "sending";
}

function complain(error, again) {
  retry = again;
  byId("compare-alert-text").textContent = explain(error);
  byId("compare-alert").hidden = false;
}

async function next() {
  byId("compare-alert").hidden = true;
  let answer;
  try {
    answer = await call("POST", "/v1/comparisons/next", {});
  } catch (error) {
    enter("failed");
    return complain(error, next);
  }
  comparison = answer.comparison;
  if (comparison === null) {
    enter("empty");
    return say(t("compare_empty"));
  }
  byId("compare-name").textContent = comparison.title;
  byId("compare-left").textContent = t("compare_left", { n: answer.waiting });
  sides.replaceChildren(...comparison.sides.map(side));
  for (const box of page.querySelectorAll("#compare-chips input")) box.checked = false;
  shownAt = performance.now();
  enter("judging");
  say(t("compare_ready", { total: comparison.sides.length }));
}

function side(one, place) {
  const element = byId("side-template").content.cloneNode(true).firstElementChild;
  const number = place + 1;
  element.querySelector(".cap").textContent = number;
  element.setAttribute("aria-label", t("side", { n: number }));
  element.setAttribute("aria-keyshortcuts", String(number));
  const button = element.querySelector("button");
  button.setAttribute("aria-label", `${button.textContent.trim()} – ${t("side", { n: number })}`);
  button.addEventListener("click", () => judge("chosen", place));
  element.querySelector(".messages").append(...one.messages.map((message) => {
    const item = document.createElement("li");
    item.className = `message ${message.role}`;
    const speaker = document.createElement("span");
    speaker.className = "speaker";
    speaker.textContent = t(message.role);
    const text = document.createElement("div");
    text.className = "text";
    text.lang = comparison.locale;
    text.dir = "auto";
    write(text, message.content);
    item.append(speaker, text);
    return item;
  }));
  return element;
}

function judge(verdict, place = null) {
  if (page.dataset.phase !== "judging" || (place !== null && place >= comparison.sides.length)) return false;
  const reasons = [...page.querySelectorAll("#compare-chips input:checked")].map((box) => box.value);
  const body = { key: newKey(), verdict, reasons, dwell_ms: Math.round(performance.now() - shownAt) };
  if (place !== null) body.side_id = comparison.sides[place].id;
  const address = `/v1/comparisons/${encodeURIComponent(comparison.id)}`;
  const words = { tie: "compare_tie", none_good: "recorded", skip: "skipped" }[verdict] ?? "compare_chosen";
  send(address, body, t(words, { n: (place ?? 0) + 1 }));
}

async function send(address, body, words) {
  enter("sending");
  byId("compare-alert").hidden = true;
  try {
    await call("POST", `${address}/judgements`, body);
  } catch (error) {
    enter("judging");
    // The same key again: it is never recorded twice.
    const gone = ["already_decided", "comparison_not_found"].includes(error.code);
    return complain(error, gone ? next : () => send(address, body, words));
  }
  last = address;
  byId("compare-done").textContent = words;
  byId("compare-undo").hidden = false;
  say(words);
  await next();
}

async function undo() {
  if (last === null || page.dataset.undo === "no" || page.dataset.phase === "sending") return false;
  try {
    await call("POST", `${last}/undo`, { key: newKey() });
  } catch (error) {
    return complain(error, undo);
  }
  last = null;
  byId("compare-undo").hidden = true;
  say(t("undone"));
  await next();
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const keys = { t: () => judge("tie"), 0: () => judge("none_good"), s: () => judge("skip"), u: undo };
  const key = event.key.toLowerCase();
  if (/^[1-9]$/.test(key)) judge("chosen", Number(key) - 1);
  else if (key in keys) keys[key]();
  else return;
  event.preventDefault();
});
for (const button of page.querySelectorAll("[data-verdict]")) button.addEventListener("click", () => judge(button.dataset.verdict));
byId("compare-undo").querySelector("button")?.addEventListener("click", undo);
byId("compare-retry").addEventListener("click", () => retry());
next();
