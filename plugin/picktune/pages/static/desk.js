// What the workbench asks of the server about one conversation.

import { ApiError, call, newKey } from "./core.js";

const part = encodeURIComponent;
const DRAW_SECONDS = 180;

export const conversation = (id) => call("GET", `/conversation.json?id=${part(id)}`);

/** The waiting slate of the conversation, or a fresh one; the server records that we have seen it. */
export const slate = (id) => call("POST", `/v1/conversations/${part(id)}/slate`, {}, { seconds: DRAW_SECONDS });

/** Other replies to the same turn, in place of a slate that was shown. */
export const redraw = (slateId) =>
  call("POST", `/v1/slates/${part(slateId)}/regenerate`, { key: newKey() }, { seconds: DRAW_SECONDS });

/** Send a decision. The key makes repeating harmless, so a lost connection is tried once more at once. */
export const pick = (decision) => twice(() => call("POST", "/v1/picks", decision));

export const undo = (slateId) => {
  const body = { slate_id: slateId, key: newKey() };
  return twice(() => call("POST", "/v1/undo", body));
};

/** Send a reply that was written without any slate to choose from. */
export const own = (body) => twice(() => call("POST", "/reply", body));

async function twice(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "network")) throw error;
    await new Promise((resolve) => setTimeout(resolve, 800));
    return attempt();
  }
}
