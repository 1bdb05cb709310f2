// The workbench: its keys and buttons, and the queue beside the conversation.

import { byId } from "./core.js";
import * as answer from "./answering.js";
import * as cards from "./cards.js";
import * as keyboard from "./keyboard.js";
import * as notices from "./notices.js";
import * as own from "./own.js";
import * as queue from "./queue.js";
import * as toast from "./toast.js";

const { section, id } = answer;

function unsaved() {
  return own.isDirty() || (cards.isEditing() && cards.edited().changed);
}

function typing(what, field) {
  const card = field.matches("textarea") && field.closest(".card");
  if (card) what === "send" ? answer.sendEdit() : cards.stopEditing();
  else if (field.id === "own-text") what === "send" ? answer.sendOwn() : answer.closeOwn();
  else if (what === "cancel") field.blur();
  else return false;
}

function step(direction, event, rows = false) {
  const target = event.target;
  if (answer.phase !== "choosing" || queueHasFocus()) {
    if (event.key.startsWith("Arrow") && !queueHasFocus()) return false;
    return queue.move(direction);
  }
  if (event.key.startsWith("Arrow") && target !== document.body && !target.matches(".card, #slate-title, #main")) return false;
  cards.move(direction, rows);
}

const queueHasFocus = () => byId("queue-list").contains(document.activeElement);

function go(address) {
  if (!address) return false;
  answer.leave(address);
}

const keys = {
  j: (event) => step(1, event), k: (event) => step(-1, event),
  ArrowRight: (event) => step(1, event), ArrowLeft: (event) => step(-1, event),
  ArrowDown: (event) => step(1, event, true), ArrowUp: (event) => step(-1, event, true),
  "/": () => byId("queue-search").focus(),
  "?": keyboard.help,
  n: () => go(queue.after(id)),
  l: () => go(section?.dataset.list),
  u: answer.undo, undo: answer.undo,
};

if (section) {
  for (let number = 1; number <= 9; number += 1) keys[number] = () => answer.decide("chosen", { place: number - 1 });
  Object.assign(keys, {
    0: answer.noneGood,
    t: () => answer.act("tie"),
    s: () => answer.decide("skip"),
    e: () => (answer.phase === "choosing" ? answer.edit(cards.chosen()) : answer.writeOwn()),
    d: () => notices.press("D") || (answer.phase === "choosing" ? answer.redraw() : ["recorded", "failed"].includes(answer.phase) ? answer.draw() : false),
    r: () => (answer.phase === "choosing" ? document.querySelector("#chips input").focus() : false),
    c: () => (answer.phase === "choosing" ? byId("comment").focus() : false),
    Enter: (event) => (event.target.matches(".card") ? answer.decide("chosen", { place: cards.chosen() }) : false),
    Escape: () => (answer.phase === "unsent" ? answer.giveUp() : cards.isEditing() ? cards.stopEditing() : own.isOpen() ? answer.closeOwn() : false),
  });
  for (const button of document.querySelectorAll("#verdicts [data-do]")) {
    button.addEventListener("click", () => answer.act(button.dataset.do));
  }
  own.listen(answer.sendOwn, answer.closeOwn);
  window.addEventListener("beforeunload", (event) => { if (unsaved()) event.preventDefault(); });
  answer.start();
}
toast.listen(answer.undo);
keyboard.listen(keys, typing);
queue.watch(id, answer.compare);
