// The queue beside the conversation: kept up to date, and walked through with J and K.

import { byId, call } from "./core.js";

const EVERY_SECONDS = 10;
const aside = document.querySelector(".queue");
const list = byId("queue-list");
const base = document.body.dataset.base;

/** Ask for the queue again; answers how the open conversation stands, or null if that is not known. */
export async function refresh(conversationId = "") {
  const path = aside.dataset.queue.slice(base.length);
  const separator = path.includes("?") ? "&" : "?";
  const answer = await call("GET", `${path}${separator}current=${encodeURIComponent(conversationId)}`);
  show(answer.rows, conversationId);
  byId("queue-count").textContent = answer.total;
  return answer.current;
}

function show(rows, conversationId) {
  if (rows.length === 0 && list.querySelector(".queue-none")) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  list.replaceChildren(...rows.map((row) => {
    const item = byId("row-template").content.cloneNode(true);
    const link = item.querySelector("a");
    link.href = `${base}/workbench/${encodeURIComponent(row.id)}${aside.dataset.suffix}`;
    link.dataset.id = row.id;
    if (row.id === conversationId) link.setAttribute("aria-current", "page");
    const title = item.querySelector(".queue-title");
    title.textContent = row.title;
    const excerpt = item.querySelector(".queue-excerpt bdi");
    excerpt.textContent = row.excerpt;
    title.lang = excerpt.lang = row.lang;
    const time = item.querySelector("time");
    time.textContent = row.waiting;
    time.dateTime = row.updated;
    time.title = row.since;
    const campaign = item.querySelector(".campaign");
    campaign.textContent = row.campaign;
    campaign.hidden = !row.campaign;
    item.querySelector(".tags").replaceChildren(campaign, ...row.tags.map((text) => {
      const tag = document.createElement("bdi");
      tag.className = "tag";
      tag.textContent = text;
      return tag;
    }));
    return item;
  }));
  const links = links_();
  if (focused) (links.find((link) => link.dataset.id === focused) ?? links[0])?.focus();
}

/** Keep asking while the page is looked at; `changed` hears how the open conversation stands. */
export function watch(conversationId, changed) {
  setInterval(async () => {
    if (document.hidden || document.querySelector("dialog[open]")) return;
    try {
      const current = await refresh(conversationId);
      if (current) changed?.(current);
    } catch {
      // The next round asks again; what the person does meanwhile reports its own errors.
    }
  }, EVERY_SECONDS * 1000);
}

/** The address of the conversation after this one, going round; null if there is no other. */
export function after(conversationId) {
  const links = links_();
  const place = links.findIndex((link) => link.dataset.id === conversationId);
  const others = place < 0 ? links : [...links.slice(place + 1), ...links.slice(0, place)];
  return others[0]?.href ?? null;
}

/** Move the focus along the queue. */
export function move(step) {
  const links = links_();
  if (links.length === 0) return;
  const place = links.indexOf(document.activeElement);
  const next = place < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, place + step));
  links[next].focus();
}

function links_() {
  return [...list.querySelectorAll(".queue-row")];
}
