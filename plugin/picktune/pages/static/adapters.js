// Promote and roll back: asked once more, with a reason.

import { byId, call, explain, newKey, t } from "./core.js";

const dialog = byId("move");
let asked = null;

function ask(button) {
  asked = { move: button.dataset.move, name: button.dataset.name ?? null, key: newKey() };
  byId("move-title").textContent = t(`${asked.move}_title`, { name: asked.name });
  byId("move-text").textContent = t(`${asked.move}_text`);
  byId("move-confirm").textContent = t(`${asked.move}_confirm`);
  byId("move-alert").hidden = true;
  byId("move-reason").value = "";
  dialog.showModal();
  byId("move-reason").focus();
}

async function confirm(event) {
  event.preventDefault();
  const reason = byId("move-reason").value.trim();
  if (!reason) return complain(t("reason_empty"));
  byId("move-confirm").disabled = true;
  try {
    await call("POST", "/adapters/move", { move: asked.move, name: asked.name, reason, champion: dialog.dataset.champion });
    window.location.reload();
  } catch (error) {
    complain(explain(error));
  } finally {
    byId("move-confirm").disabled = false;
  }
}

function complain(text) {
  byId("move-alert").textContent = text;
  byId("move-alert").hidden = false;
  byId("move-reason").focus();
}

if (dialog) {
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => ask(button));
  byId("move-form").addEventListener("submit", confirm);
}
