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
export async function call(method, path, body, { seconds = 20 } = {}) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), seconds * 1000);
  let response, text;
  try {
    response = await fetch(page.base + path, {
      method,
      signal: abort.signal,
      credentials: "same-origin",
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
  if (response.status === 401) byId("signed-out").showModal();
  throw new ApiError(code, message, response.status);
}

const EXPLAINED = {
  network: "error_network",
  timeout: "error_unsure",
  engine_busy: "error_busy",
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
