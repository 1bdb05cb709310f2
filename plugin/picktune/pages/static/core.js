// What every page's script needs: the page's own strings, the API, the live region, dialogs.

const page = document.body.dataset;
const strings = JSON.parse(page.strings);

export const byId = (id) => document.getElementById(id);

/** The message of that key, with its {names} filled in. */
export function t(key, values = {}) {
  return strings[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Say something to screen readers. */
export function say(text) {
  const live = byId("live");
  live.textContent = "";
  // A change after a pause is announced even if the words are the same as before.
  setTimeout(() => { live.textContent = text; }, 60);
}

const EASY = /[\p{L}\p{N}\p{P}\p{Sm}\p{Sc}]/u;

/**
 * Show text as text. A word of thousands of letters takes a browser many seconds to lay out unless it may be
 * broken somewhere, so such words get breaks that are no part of the text; render.py does the same.
 */
export function write(element, text) {
  element.replaceChildren();
  let done = 0;
  for (const { 0: run, index } of text.matchAll(/\S{200,}/g)) {
    element.append(text.slice(done, index));
    let piece = "", length = 0, before = "";
    for (const character of run) {
      if (length >= 60 && EASY.test(character) && character < "\u2e80" && !/\p{Cf}/u.test(before)) {
        element.append(piece, document.createElement("wbr"));
        piece = "";
        length = 0;
      }
      piece += before = character;
      length += 1;
    }
    element.append(piece);
    done = index + run.length;
  }
  element.append(text.slice(done));
}

/** A key that no other decision has; randomUUID itself exists on https and localhost only. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The API said no, or nothing: `code` is the API's own, or "network" or "timeout". */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Call the server below our own prefix; answers the decoded JSON or throws an ApiError. */
export async function call(method, path, body, how = {}) {
  try {
    return await once(method, path, body, how);
  } catch (error) {
    // Whoever has signed in again in another tab has a new token; the page they come back to has the old one.
    if (error.status !== 403 || !(await renewed())) throw error;
    return once(method, path, body, how);
  }
}

async function renewed() {
  const session = await once("GET", "/session.json").catch(() => null);
  if (session === null || session.name !== page.viewer || session.csrf === page.csrf) return false;
  page.csrf = session.csrf;
  return true;
}

async function once(method, path, body, { seconds = 20, keepalive = false } = {}) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), seconds * 1000);
  let response, text;
  try {
    response = await fetch(page.base + path, {
      method,
      signal: abort.signal,
      credentials: "same-origin",
      keepalive,
      headers: { "Accept": "application/json", "Content-Type": "application/json", "X-Picktune-CSRF": page.csrf },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await response.text();
  } catch (error) {
    throw new ApiError(abort.signal.aborted ? "timeout" : "network", String(error));
  } finally {
    clearTimeout(timer);
  }
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    throw new ApiError("error", `HTTP ${response.status}`, response.status || 500);
  }
  if (response.ok) return answer;
  const { code = "error", message = `HTTP ${response.status}` } = answer.error ?? {};
  if (response.status === 401 && !document.querySelector("dialog[open]")) byId("signed-out").showModal();
  throw new ApiError(code, message, response.status);
}

const EXPLAINED = {
  network: "error_network",
  timeout: "error_unsure",
  engine_busy: "error_busy",
  rate_limited: "error_rate",
  engine_down: "error_down",
  engine_error: "error_down",
  log_unavailable: "error_log",
  already_decided: "error_taken",
  conflict: "error_taken",
  not_shown: "error_taken",
  conversation_not_found: "error_gone",
  slate_not_found: "error_gone",
};

/** An error in words for the person at the page. */
export function explain(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.code in EXPLAINED) return t(EXPLAINED[error.code]);
  return t(error.status >= 500 ? "error_server" : "error_refused", { message: error.message });
}

/** Whether keys belong to what has the focus: a field that takes text. */
export function isTyping(target) {
  return target.matches?.('textarea, select, input:not([type="checkbox"])') ?? false;
}

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
