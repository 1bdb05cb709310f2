// The conversation as it stands: customer and agent, always as text.

import { byId, t, write } from "./core.js";

const list = byId("messages");

/** Show these messages; system prompts stand apart and never change. */
export function show(messages) {
  const said = messages.filter((message) => message.role === "user" || message.role === "assistant");
  list.replaceChildren(...said.map(item));
  toEnd();
}

/** Show a reply that is on its way; `show` puts the real conversation in its place. */
export function sending(text) {
  const element = item({ role: "assistant", content: text });
  element.querySelector(".speaker").textContent = t("sending");
  element.classList.add("sending");
  list.append(element);
  toEnd();
}

/** Forget a reply that was on its way and did not arrive. */
export function notSent() {
  list.querySelector(".sending")?.remove();
}

export function toEnd() {
  list.scrollTop = list.scrollHeight;
}

function item(message) {
  const element = byId("message-template").content.cloneNode(true).firstElementChild;
  element.classList.add(message.role);
  element.querySelector(".speaker").textContent = t(message.role);
  write(element.querySelector(".text"), message.content);
  return element;
}
