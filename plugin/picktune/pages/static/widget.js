// A slate in somebody else's page:
//
//   <script src="https://chat.example.com/picktune/static/widget.js" defer></script>
//   <picktune-slate slate="ID" token="pv_…" lang="en"></picktune-slate>
//
// The page's own server draws the slate and asks for the token. Everything is in a shadow root, without inline
// styles or scripts, so that it works under a strict Content-Security-Policy. It tells the page what happens by
// events that bubble: picktune-shown, picktune-picked, picktune-undone, picktune-reacted, picktune-failed.

(() => {
  const HERE = document.currentScript?.src.replace(/\/static\/widget\.js.*$/, "") ?? "";

  const WORDS = {
    en: {
      title: "Which reply is better?", one: "Was this reply helpful?", loading: "Loading the replies …",
      reply: "Reply {n}", pick: "This one", tie: "Both are good", ties: "Equally good", none: "None is good",
      picked: "Thank you. Reply {n} is your choice.", tied: "Thank you. You found them equally good.",
      refused: "Thank you. You found none of them good.", undo: "Undo", up: "Helpful", down: "Not helpful",
      reacted: "Thank you.", again: "Try again", network: "The connection failed. Nothing is lost: try again.",
      later: "Too much at once. Try again in a moment.", over: "This page has been open for too long. Load it again.",
      decided: "This has been decided already.", missing: "Nothing to choose from here.", failed: "That did not work: {message}",
    },
    zh: {
      title: "哪个回复更好？", one: "这个回复有帮助吗？", loading: "正在载入回复……",
      reply: "回复 {n}", pick: "选这个", tie: "两个都好", ties: "一样好", none: "都不好",
      picked: "谢谢！您选择了回复 {n}。", tied: "谢谢！您认为它们一样好。",
      refused: "谢谢！您认为都不好。", undo: "撤销", up: "有帮助", down: "没有帮助",
      reacted: "谢谢！", again: "重试", network: "连接失败，内容没有丢失，请重试。",
      later: "请求过于频繁，请稍后重试。", over: "页面打开时间过长，请重新载入。",
      decided: "这里已经选过了。", missing: "这里没有可选的内容。", failed: "操作没有成功：{message}",
    },
  };

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { display: block; font: inherit; color: inherit; container-type: inline-size; }
    :host([hidden]) { display: none; }
    h3 { font-size: 1em; margin: 0 0 .6em; }
    .cards { display: grid; gap: .75em; grid-template-columns: 1fr; }
    @container (min-width: 36em) { .cards.many { grid-template-columns: 1fr 1fr; } }
    .card { display: flex; flex-direction: column; gap: .6em; padding: .8em 1em; min-width: 0;
      border: 1px solid color-mix(in srgb, currentColor 22%, transparent); border-radius: .6em; }
    .card.chosen { border-color: #15803d; box-shadow: 0 0 0 1px #15803d; }
    .text { white-space: pre-wrap; overflow-wrap: anywhere; flex: 1; }
    .row { display: flex; flex-wrap: wrap; gap: .5em; align-items: center; margin-top: .7em; }
    .card .row { margin: 0; }
    button { font: inherit; color: inherit; background: transparent; padding: .45em .9em; min-height: 2.75em;
      border: 1px solid color-mix(in srgb, currentColor 35%, transparent); border-radius: .45em; cursor: pointer; }
    button:hover:enabled { background: color-mix(in srgb, currentColor 9%, transparent); }
    button:focus-visible { outline: 3px solid #2563eb; outline-offset: 2px; }
    button:disabled { opacity: .5; cursor: default; }
    .said { min-height: 1.5em; }
    .alert { color: #b91c1c; }
    @media (prefers-color-scheme: dark) { .alert { color: #fca5a5; } }
  `);

  const newKey = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  function make(tag, className = "", text = "") {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  }

  class PicktuneSlate extends HTMLElement {
    static observedAttributes = ["slate", "token", "base", "lang"];

    #root = this.attachShadow({ mode: "open" });
    #slate = null;
    #shownAt = 0;
    #loading = 0;

    constructor() {
      super();
      this.#root.adoptedStyleSheets = [sheet];
    }

    connectedCallback() { this.#soon(); }

    attributeChangedCallback(name, before, now) {
      // A new token takes the place of one that ends, without loading anything again.
      if (before !== now && this.isConnected && (name !== "token" || this.#slate === null)) this.#soon();
    }

    // Attributes are set one after the other; the slate is loaded once.
    #soon() {
      const mine = ++this.#loading;
      queueMicrotask(() => { if (mine === this.#loading && this.isConnected) this.#load(mine); });
    }

    #t(key, values = {}) {
      const lang = (this.lang || this.closest("[lang]")?.lang || document.documentElement.lang || navigator.language).toLowerCase();
      const text = WORDS[lang.startsWith("zh") ? "zh" : "en"][key];
      return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
    }

    async #call(method, path, body) {
      let response;
      try {
        response = await fetch(`${this.getAttribute("base") ?? HERE}/v1${path}`, {
          method,
          credentials: "omit",
          headers: { "Authorization": `Bearer ${this.getAttribute("token") ?? ""}`, "Content-Type": "application/json" },
          body: body === undefined ? undefined : JSON.stringify(body),
        });
      } catch {
        throw Object.assign(new Error(this.#t("network")), { code: "network" });
      }
      const answer = await response.json().catch(() => ({}));
      if (response.ok) return answer;
      const { code = "error", message = `HTTP ${response.status}` } = answer.error ?? {};
      const words = { 401: "over", 429: "later" }[response.status] ?? (code === "already_decided" ? "decided" : "failed");
      throw Object.assign(new Error(this.#t(words, { message })), { code });
    }

    async #load(mine) {
      this.#slate = null;
      const id = this.getAttribute("slate");
      if (!id || !this.getAttribute("token")) return this.#root.replaceChildren(make("p", "said", this.#t("missing")));
      const waiting = make("p", "said", this.#t("loading"));
      waiting.setAttribute("role", "status");
      this.#root.replaceChildren(waiting);
      try {
        const slate = await this.#call("GET", `/slates/${encodeURIComponent(id)}`);
        // What is seen may be decided on: not before.
        await this.#call("POST", `/slates/${encodeURIComponent(id)}/exposures`, {});
        if (mine !== this.#loading) return;
        this.#slate = slate;
        this.#show();
        this.#tell("shown", { candidates: slate.candidates.length });
      } catch (error) {
        if (mine === this.#loading) this.#fail(error, () => this.#load(mine));
      }
    }

    #show() {
      const { candidates } = this.#slate;
      const alone = candidates.length === 1;
      const group = make("section");
      const title = make("h3", "", this.#t(alone ? "one" : "title"));
      title.id = "title";
      group.setAttribute("aria-labelledby", "title");
      const cards = make("div", candidates.length > 1 ? "cards many" : "cards");
      candidates.forEach((candidate, place) => {
        const card = make("article", "card");
        const name = this.#t("reply", { n: place + 1 });
        card.setAttribute("aria-label", name);
        const text = make("div", "text", candidate.text);
        text.dir = "auto";
        card.append(text);
        if (!alone) {
          const button = this.#button("pick", () => this.#decide("chosen", place));
          button.setAttribute("aria-label", `${this.#t("pick")} – ${name}`);
          card.append(button);
        }
        cards.append(card);
      });
      const row = make("div", "row");
      if (alone) row.append(this.#button("up", () => this.#react("up")), this.#button("down", () => this.#react("down")));
      else {
        row.append(
          this.#button(candidates.length === 2 ? "tie" : "ties", () => this.#decide("tie")),
          this.#button("none", () => this.#decide("none_good")),
        );
      }
      const said = make("div", "row said");
      said.setAttribute("role", "status");
      group.append(title, cards, row, said);
      this.#root.replaceChildren(group);
      this.#shownAt = performance.now();
    }

    #button(word, act) {
      const button = make("button", "", this.#t(word));
      button.type = "button";
      button.addEventListener("click", act);
      return button;
    }

    #lock(locked) {
      for (const button of this.#root.querySelectorAll(".card button, section > .row:not(.said) button")) button.disabled = locked;
    }

    async #decide(verdict, place = null) {
      const candidate = place === null ? null : this.#slate.candidates[place];
      const decision = {
        key: newKey(), slate_id: this.#slate.id, verdict, candidate_id: candidate?.id ?? null,
        dwell_ms: Math.round(performance.now() - this.#shownAt),
      };
      const send = async () => {
        this.#lock(true);
        try {
          await this.#call("POST", "/picks", decision);
        } catch (error) {
          this.#lock(false);
          return this.#fail(error, send);  // under the same key, so that nothing is counted twice
        }
        if (place !== null) this.#root.querySelectorAll(".card")[place].classList.add("chosen");
        const words = { chosen: "picked", tie: "tied", none_good: "refused" }[verdict];
        this.#say(this.#t(words, { n: (place ?? 0) + 1 }), this.#button("undo", () => this.#undo()));
        this.#tell("picked", { verdict, candidate: candidate?.id ?? null, text: candidate?.text ?? null });
      };
      await send();
    }

    async #undo() {
      const body = { key: newKey(), slate_id: this.#slate.id };
      const send = async () => {
        try {
          await this.#call("POST", "/undo", body);
        } catch (error) {
          return this.#fail(error, send);
        }
        this.#show();
        this.#root.querySelector("button")?.focus();
        this.#tell("undone", {});
      };
      await send();
    }

    async #react(value) {
      const body = { key: newKey(), candidate_id: this.#slate.candidates[0].id, value };
      const send = async () => {
        this.#lock(true);
        try {
          await this.#call("POST", "/reactions", body);
        } catch (error) {
          return this.#fail(error, send);
        } finally {
          this.#lock(false);
        }
        this.#say(this.#t("reacted"));
        this.#tell("reacted", { value, candidate: body.candidate_id });
      };
      await send();
    }

    #say(text, ...more) {
      const said = this.#root.querySelector(".said");
      said.classList.remove("alert");
      said.replaceChildren(make("span", "", text), ...more);
      more[0]?.focus();
    }

    #fail(error, retry) {
      const alert = make("p", "alert", error.message);
      alert.setAttribute("role", "alert");
      const said = this.#root.querySelector("section .said");
      const row = [alert, this.#button("again", retry)];
      if (said) said.replaceChildren(...row);
      else this.#root.replaceChildren(...row);
      this.#tell("failed", { code: error.code, message: error.message });
    }

    #tell(what, detail) {
      const slate = this.getAttribute("slate");
      this.dispatchEvent(new CustomEvent(`picktune-${what}`, { bubbles: true, composed: true, detail: { slate, ...detail } }));
    }
  }

  if (!customElements.get("picktune-slate")) customElements.define("picktune-slate", PicktuneSlate);
})();
