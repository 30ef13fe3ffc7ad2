// The page of one site.

import { ask, may } from "./ask.js";
import { spark } from "./draw.js";
import { Series, moving } from "./store.js";
import { byId, bytes, eventItem, make, number, plain, put, rate, short, span, stateOf, when } from "./words.js";

const HISTORY = 50;
const LINES = 200;
const SELDOM = 3; // s between two questions for the last words
const ASK = 2000; // ms between two questions for its servers
const KEPT = 2000; // lines that are shown at most
const AWAKE = ["awake", "hibernating", "waking"];

const ACTS = [
  { verb: "start", name: "Start", words: (site) => `A server of ${site} is started, as the next request would.`, when: (row) => !AWAKE.includes(row.state) },
  { verb: "restart", name: "Restart", words: (site) => `Another server of ${site} is started and takes the place of this one. No request is lost.`, when: (row) => AWAKE.includes(row.state) },
  { verb: "stop", name: "Stop", words: (site) => `The server of ${site} finishes what it has in flight and ends. The next request starts it again.`, when: (row) => AWAKE.includes(row.state) },
  { verb: "reload", name: "Read its file", words: (site) => `The site file of ${site} is read again now.`, when: (row) => Boolean(row.file) },
  { verb: "pin", name: "Keep awake", words: (site) => `${site} is kept awake from now on, whoever needs room.`, when: (row) => row.pinned === false, operator: true },
  { verb: "unpin", name: "Let sleep", words: (site) => `${site} may go for others again when it is idle.`, when: (row) => row.pinned === true, operator: true },
];

export class SitePage {
  constructor(main, store, site, me, say) {
    Object.assign(this, { store, site, me, say });
    this.path = `/sites/${encodeURIComponent(site)}`;
    main.replaceChildren(byId("site-page").content.cloneNode(true));
    put(byId("site"), site);
    this.stop = new AbortController();
    this.memory = new Series();
    this.traffic = new Series();
    this.before = null;
    this.asked = null;
    this.buttons = ACTS.map((act) => this.button(act));
    const { signal } = this.stop;
    store.addEventListener("sites", (event) => {
      if (event.detail === null || event.detail.includes(site)) this.now();
    }, { signal });
    store.addEventListener("events", (event) => {
      if (event.detail.some((one) => one.site === site)) this.history(event.detail);
    }, { signal });
    this.clock = setInterval(() => this.tick(), 1000);
    this.now();
    this.load();
  }

  close() {
    this.stop.abort();
    clearInterval(this.clock);
  }

  get closed() {
    return this.stop.signal.aborted;
  }

  async load() {
    const parts = [this.whole(), this.past(), this.stats(), this.config(), this.log()];
    await Promise.allSettled(parts);
  }

  get row() {
    return this.store.sites.get(this.site) || null;
  }

  now() {
    const row = this.row;
    const known = row !== null || this.store.sites.size === 0;
    byId("unknown").hidden = known;
    byId("known").hidden = row === null;
    if (row === null) return;
    const state = byId("state");
    if (state.textContent !== row.state) state.replaceChildren(stateOf(row.state));
    for (const [n, act] of ACTS.entries()) {
      const button = this.buttons[n];
      const focused = button === document.activeElement;
      button.hidden = !act.when(row) || Boolean(act.operator && !this.me.operator);
      if (focused && button.hidden) byId("site").focus();
    }
    byId("error-part").hidden = !row.error;
    put(byId("error"), row.error || "");
    this.facts();
    this.asked ??= setTimeout(() => {
      this.asked = null;
      if (!this.closed) this.whole().catch(() => {});
    }, ASK);
  }

  facts() {
    const row = this.row;
    if (row === null) return;
    const facts = [
      ["Process", row.pid ? `pid ${row.pid}` : ""], ["User", row.uid === null ? "" : `uid ${row.uid}`],
      ["Up", span(moving(row, "up_seconds"))], ["Idle", span(moving(row, "idle_seconds"))],
      ["In flight", number(row.in_flight)], ["Waiting", row.waiting ? number(row.waiting) : ""],
      ["Requests", number(row.requests)], ["Memory", bytes(row.memory_bytes)],
      ["Start took", short(row.start_seconds)], ["Kept", row.keep && row.keep !== "demand" ? row.keep : ""],
      ["Tried again in", row.retry_seconds ? span(Math.max(0, row.retry_seconds - performance.now() / 1000 + row.at)) : ""],
      ["Last exit", row.last_exit || "", true], ["File", row.file || "", true],
    ];
    fill(byId("facts"), facts.filter(([, value]) => value));
  }

  tick() {
    const row = this.row;
    if (row === null) return;
    this.facts();
    const at = performance.now() / 1000;
    if (row.memory_bytes !== null) this.memory.add(row.memory_bytes);
    if (this.before !== null) {
      const more = Math.max(0, (row.requests || 0) - this.before.requests);
      this.traffic.add(more / Math.max(0.1, at - this.before.at));
    }
    this.before = { requests: row.requests || 0, at };
    spark(byId("memory-spark"), this.memory, `memory, now ${bytes(this.memory.last) || "none"}`);
    spark(byId("traffic-spark"), this.traffic, `requests a second, now ${rate(this.traffic.last) || 0}`);
  }

  async whole() {
    const told = await may(this.path);
    if (told === null || this.closed) return;
    const part = byId("servers-part");
    const servers = told.servers || [];
    const workers = told.workers || [];
    part.hidden = servers.length + workers.length < 2;
    const rows = [...servers, ...workers].map((row) => [
      row.worker || row.site, row.state, String(row.pid ?? ""), span(row.up_seconds),
      row.in_flight, row.requests, bytes(row.memory_bytes),
    ]);
    part.replaceChildren(plain(["Server or worker", "State", "Pid", "Up", "In flight", "Requests", "Memory"], rows, "Its servers and workers"));
    const why = told.not_replaced || told.not_started;
    if (why && !this.row?.error) {
      byId("error-part").hidden = false;
      put(byId("error"), why);
    }
  }

  async past() {
    const told = await may(`${this.path}/events?limit=${HISTORY}`);
    if (this.closed) return;
    this.events = told?.events || this.store.events.filter((event) => event.site === this.site);
    this.events.sort((a, b) => b.at - a.at);
    this.history([]);
  }

  history(more) {
    if (!this.events) return;
    const known = new Set(this.events.map(identity));
    const own = more.filter((event) => event.site === this.site && !known.has(identity(event)));
    this.events = [...own, ...this.events].sort((a, b) => b.at - a.at).slice(0, HISTORY);
    byId("history-part").hidden = this.events.length === 0;
    byId("history").replaceChildren(...this.events.map((event) => eventItem(event, false)));
  }

  async stats() {
    const found = (await may(`${this.path}/stats`))?.stats;
    if (!found || this.closed) return;
    const facts = [
      ["Seen since", found.first_at ? when(found.first_at) : ""],
      ["Requests", number(found.requests)], ["A day", rate(found.requests_a_day)],
      ["Awake in all", span(found.alive_seconds)], ["Stays in the pool", span(found.pool_seconds)],
      ["Starts", number(found.starts)], ["A start takes", short(found.start_seconds)],
      ["Failures", number(found.failures)], ["Gave way", number(found.evictions)],
      ["Refused", number(found.refused)],
      ["First byte, awake", pair(found.warm_p50_seconds, found.warm_p95_seconds)],
      ["First byte, asleep", pair(found.cold_p50_seconds, found.cold_p95_seconds)],
      ["Of them asleep", typeof found.cold_share === "number" ? `${(100 * found.cold_share).toFixed(1)} %` : ""],
    ];
    byId("stats-part").hidden = false;
    fill(byId("stats"), facts.filter(([, value]) => value));
  }

  async config() {
    const told = await may(`${this.path}/config`);
    if (told === null || this.closed || !told.values) return;
    const rows = told.values.map(({ name, value, from }) => [name, typeof value === "string" ? value : JSON.stringify(value), from]);
    byId("config-part").hidden = false;
    byId("config").replaceChildren(plain(["Name", "Value", "From"], rows, "What acts on the site, and where it is said"));
  }

  // Its log as it grows; without a log, the last words of the server that lives.
  async log() {
    const last = `${this.path}/log?lines=${LINES}`;
    let offset = null;
    let file = null;
    for (let turn = 0; !this.closed; turn++) {
      const follow = turn === 0 || (!document.hidden && byId("follow").checked);
      const grows = typeof offset === "number";
      if (follow && (grows || turn % SELDOM === 0)) {
        const told = await may(grows ? `${this.path}/log?after=${offset}&file=${file || ""}` : last).catch(() => null);
        if (this.closed) return;
        if (told !== null) {
          ({ offset, file } = told);
          this.write(told.lines, grows, told.path);
        } else if (turn === 0) return;
      }
      await new Promise((go) => setTimeout(go, 1000));
    }
  }

  write(lines, more, path) {
    const log = byId("log");
    byId("log-part").hidden = !path && lines.length === 0;
    put(byId("log-path"), path || "the last words; OUTPUT_LOG_DIR keeps all");
    const before = more && log.textContent ? log.textContent.split("\n") : [];
    if (more && lines.length === 0) return;
    const text = [...before, ...lines].slice(-KEPT).join("\n");
    if (text === log.textContent) return;
    log.textContent = text;
    log.scrollTop = log.scrollHeight;
  }

  button(act) {
    const button = make("button", { type: "button", "data-act": act.verb }, act.name);
    button.addEventListener("click", () => this.act(act, button));
    byId("acts").append(button);
    return button;
  }

  async act(act, button) {
    if (button.getAttribute("aria-disabled")) return;
    if (!(await confirmed(`${act.name}: ${this.site}?`, act.words(this.site), act.name))) return;
    button.setAttribute("aria-disabled", "true"); // one that is disabled would lose the focus
    this.say(`${this.site}: asked`);
    try {
      const told = await ask(`${this.path}/${act.verb}`, "POST");
      this.say(`${this.site}: ${told.words || told.state}`);
    } catch (error) {
      this.say(error.message.includes(this.site) ? error.message : `${this.site}: ${error.message}`);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }
}

const identity = (event) => `${event.at} ${event.kind} ${event.words}`;

// Half of all are faster than the first, and one of twenty is slower than the second.
function pair(half, most) {
  if (typeof half !== "number" || typeof most !== "number") return "";
  return `${milli(half)}, 95 % ${milli(most)}`;
}

const milli = (seconds) => (seconds < 1 ? `${rate(seconds * 1000)} ms` : short(seconds));

function fill(list, facts) {
  const before = [...list.children];
  if (before.length === facts.length && before.every((one, n) => one.firstChild.textContent === facts[n][0])) {
    facts.forEach(([, value], n) => put(before[n].lastChild, value));
    return;
  }
  list.replaceChildren(...facts.map(([name, value, long]) =>
    make("div", long ? { className: "long" } : {}, make("dt", {}, name), make("dd", {}, value))));
}

function confirmed(title, words, yes) {
  const dialog = byId("ask");
  put(byId("ask-title"), title);
  put(byId("ask-words"), words);
  put(byId("ask-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((tell) => {
    dialog.addEventListener("close", () => tell(dialog.returnValue === "yes"), { once: true });
  });
}
