// Answering one conversation: from the replies that are drawn to the one that is sent, and back.

import { byId, explain, isTyping, newKey, say, t } from "./core.js";
import * as cards from "./cards.js";
import * as desk from "./desk.js";
import * as notices from "./notices.js";
import * as own from "./own.js";
import * as queue from "./queue.js";
import * as signals from "./signals.js";
import * as thread from "./thread.js";
import * as toast from "./toast.js";

export const section = byId("slate");
export const id = section?.dataset.conversation ?? "";
// drawing, choosing, sending, unsent, recorded, failed or finished
export let phase = "drawing";
let slate = null;
let messages = Number(section?.dataset.messages ?? 0);
let abandoned = null;
let asked = 0;
let again = 0;
// What often mends itself: it is tried again without being asked.
const PASSING = ["engine_busy", "rate_limited", "engine_down", "engine_error", "network"];

function enter(next) {
  phase = next;
  section.dataset.phase = next;
  section.setAttribute("aria-busy", String(next === "drawing" || next === "sending"));
  const choosing = next === "choosing" || next === "sending" || next === "unsent";
  byId("drawing").hidden = next !== "drawing";
  byId("cards").hidden = !choosing;
  byId("verdicts").hidden = !choosing || own.isOpen();
  byId("slate-hint").hidden = !choosing && next !== "drawing";
  byId("finished").hidden = next !== "finished";
  byId("slate-title").hidden = next === "finished";
  for (const control of section.querySelectorAll("#verdicts button, #own button")) control.disabled = next === "sending";
  if (next !== "sending") cards.lock(null);
}

export async function draw({ quiet = false, instead = null } = {}) {
  if (phase === "sending") return;
  const mine = (asked += 1);
  clearTimeout(again);
  if (!quiet) {
    notices.hide();
    own.close();
    enter("drawing");
    byId("drawing-text").textContent = t("drawing_now");
    say(t("drawing_now"));
  }
  const patience = setTimeout(() => { byId("drawing-text").textContent = t("drawing_long"); }, 8000);
  try {
    const drawn = instead === null ? await desk.slate(id) : await desk.redraw(instead);
    // Whoever has begun to write meanwhile goes on writing; these replies wait on the server.
    if (mine !== asked || own.isOpen()) return;
    slate = drawn;
    notices.hide();
    clearReasons();
    cards.show(slate, act);
    enter("choosing");
    signals.begin(slate, cards.dwell);
    const total = slate.candidates.length;
    say(total === 1 ? t("ready_one") : t("ready", { total }));
    if (!isTyping(document.activeElement) && section.contains(document.activeElement)) cards.select(0);
    if (slate.kept === false) notices.show(t("error_log"), [], "calm");
  } catch (error) {
    if (mine !== asked) return;
    enter("failed");
    if (error.code === "conflict") return proceed();
    const passing = PASSING.includes(error.code);
    notices.show(explain(error), [["retry", () => draw(), "D"], ["write_own", writeOwn, "E"]], passing ? "calm" : "");
    if (passing) again = setTimeout(() => { if (phase === "failed" && !own.isOpen()) draw({ quiet: true }); }, 4000);
  } finally {
    clearTimeout(patience);
  }
}

export function act(what, place) {
  if (what === "send") decide("chosen", { place });
  else if (what === "edit") edit(place);
  else if (what === "send-edit") sendEdit();
  else if (what === "cancel-edit") cards.stopEditing();
  else if (what === "tie") decide("tie", { place: cards.chosen() });
  else if (what === "none") noneGood();
  else if (what === "skip") decide("skip");
  else if (what === "redraw") redraw();
}

/** Ask for other replies to the same turn. */
export function redraw() {
  if (phase !== "choosing" || cards.isEditing()) return false;
  signals.end("replaced");
  draw({ instead: slate.id });
}

export function edit(place) {
  if (phase !== "choosing") return false;
  own.close();
  byId("verdicts").hidden = false;
  cards.edit(place);
}

export function sendEdit() {
  const { place, text, changed } = cards.edited();
  if (!text.trim()) return notices.show(t("edit_empty"), [], "calm");
  decide("chosen", { place, text: changed ? text : null });
}

export function noneGood() {
  if (phase !== "choosing") return false;
  if (cards.isEditing()) cards.stopEditing();
  byId("verdicts").hidden = true;
  own.open({ alone: false });
}

export function writeOwn() {
  if (phase !== "failed" && phase !== "recorded") return false;
  own.open({ alone: true });
}

export function sendOwn() {
  const { alone, text, reasons } = own.read();
  if (alone && !text.trim()) return notices.show(t("alone_empty"), [], "calm");
  if (!alone) return decide("none_good", { text: text.trim() ? text : null, reasons });
  if (phase !== "failed" && phase !== "recorded") return;
  const body = { key: newKey(), conversation_id: id, text, messages };
  send(() => desk.own(body), text, "sent_own");
}

/** Send a decision on the slate; what is not given is read from the page. */
export function decide(verdict, { place = null, text = null, reasons = checkedReasons() } = {}) {
  if (phase !== "choosing") return false;
  if (place !== null && place >= cards.count()) return false;
  const candidate = place === null ? null : cards.candidate(place);
  const body = { key: newKey(), slate_id: slate.id, verdict, dwell_ms: cards.dwell() };
  if (candidate) body.candidate_id = candidate.id;
  if (text !== null) body.edited_text = text;
  const comment = byId("comment").value.trim();
  if (comment) body.comment = comment;
  if (reasons.length) body.reasons = reasons;
  const sent = verdict === "skip" ? null : (text ?? candidate?.text ?? null);
  const done = { tie: "sent_tie", skip: "skipped", none_good: sent === null ? "recorded" : "sent_own" }[verdict] ?? "sent";
  send(() => desk.pick(body), sent, done, place);
}

/** Do it; say that it is done only after the server has said so; if it says nothing, offer the same again. */
async function send(attempt, text, done, place = null) {
  const before = phase === "unsent" ? abandoned : phase;
  const retry = () => send(attempt, text, done, place);
  notices.hide();
  enter("sending");
  cards.lock(place ?? -1, t("sending"));
  if (text !== null) thread.sending(text);
  try {
    const pick = await attempt();
    signals.end("decided");
    const words = t(done, { n: (place ?? 0) + 1 });
    // Where the arms are revealed after the decision, it cannot be taken back.
    if (section.dataset.undo === "no") toast.tell(words);
    else toast.offer({ conversation: id, slate: pick.slate_id, text: words });
  } catch (error) {
    thread.notSent();
    abandoned = before;
    const repeatable = ["network", "timeout", "log_unavailable", "error"].includes(error.code) || error.status >= 500;
    const taken = ["conflict", "already_decided", "not_shown", "slate_not_found"].includes(error.code);
    enter(repeatable ? "unsent" : before);
    if (taken) notices.show(explain(error), [["reload", reload, ""]], "calm");
    else notices.show(explain(error), repeatable ? [["retry", retry, "D"], ["back", giveUp, "Esc"]] : []);
    return;
  }
  own.clear();
  if (done === "skipped") return leave(queue.after(id));
  await proceed({ sent: text, recorded: done === "recorded" });
}

/** Back to choosing, with an unsent decision left behind. */
export function giveUp() {
  if (phase !== "unsent") return;
  notices.hide();
  enter(abandoned);
}

/** Show the conversation as it now stands, and what is to be done about it. */
async function proceed({ sent = null, recorded = false } = {}) {
  phase = "drawing";
  let now;
  try {
    now = await desk.conversation(id);
  } catch (error) {
    enter("failed");
    notices.show(explain(error), [["reload", reload, ""]]);
    return;
  }
  const mine = now.messages[messages];
  const overtaken = sent !== null && !(mine?.role === "assistant" && mine.content === sent);
  messages = now.messages.length;
  thread.show(now.messages);
  byId("thread-waiting").textContent = t(now.status === "open" ? "waiting_now" : "answered");
  queue.refresh(id).catch(() => {});
  cards.show({ candidates: [] }, act);
  own.close();
  if (overtaken) {
    toast.hide();
    enter("failed");
    notices.show(t("overtaken"), [["reload", reload, ""]], "calm");
  } else if (now.status === "closed") finish();
  else if (recorded) {
    enter("recorded");
    notices.show(t("none_next"), [["draw_new", () => draw(), "D"], ["write_own", writeOwn, "E"]], "calm");
    notices.focus();
  } else {
    byId("slate-title").focus({ preventScroll: true });
    await draw();
  }
}

export function finish() {
  enter("finished");
  say(t("finished"));
  const next = queue.after(id);
  const link = byId("finished-next");
  if (link) {
    link.hidden = next === null;
    if (next) link.href = next;
  }
  (link && next ? link : byId("finished-list")).focus({ preventScroll: true });
}

export async function undo() {
  const last = toast.last();
  if (!last) return say(t("nothing_to_undo"));
  if (phase === "sending" || last.busy) return;
  last.busy = true;
  try {
    await desk.undo(last.slate);
  } catch (error) {
    last.busy = false;
    if (!["network", "timeout"].includes(error.code)) toast.forget();
    if (section) notices.show(explain(error), [["reload", reload, ""]], "calm");
    else say(explain(error));
    return;
  }
  toast.forget();
  toast.tell(t("undone"));
  if (last.conversation !== id) return leave(`${document.body.dataset.base}/workbench/${encodeURIComponent(last.conversation)}`);
  notices.hide();
  phase = "recorded";
  await proceed();
}

function checkedReasons() {
  return [...document.querySelectorAll("#chips input:checked")].map((box) => box.value);
}

function clearReasons() {
  for (const box of document.querySelectorAll("#chips input")) box.checked = false;
  byId("comment").value = "";
}

export function leave(address) {
  window.location.assign(address ?? section?.dataset.list ?? `${document.body.dataset.base}/workbench`);
}

function reload() {
  window.location.reload();
}

export function closeOwn() {
  own.close();
  if (phase === "choosing") {
    byId("verdicts").hidden = false;
    cards.select(cards.chosen());
  }
}

/** Begin where the conversation stands. */
export function start() {
  thread.toEnd();
  if (section.dataset.status === "closed") finish();
  else draw();
}

/** Somebody may have answered elsewhere: `current` is how the server says that the conversation stands. */
export function compare(current) {
  if (phase !== "choosing" || (current.status === "open" && current.messages === messages)) return;
  notices.show(t("error_taken"), [["reload", reload, ""]], "calm");
}
