// The page of all sites.

import { bar, spark } from "./draw.js";
import { COLUMNS, Table } from "./table.js";
import { STATES, byId, bytes, eventItem, inOneLine, make, number, put, rate, siteLink, span } from "./words.js";

const FAILED = 5; // that are named
const LATELY = 20; // events

export class SitesPage {
  constructor(main, store, kept) {
    this.store = store;
    this.kept = kept; // how it was left
    main.replaceChildren(byId("sites-page").content.cloneNode(true));
    this.table = new Table(byId("table"), store);
    this.chips = new Map();
    this.stop = new AbortController();
    this.due = false;
    this.restore();
    this.controls();
    const { signal } = this.stop;
    store.addEventListener("sites", () => this.later(), { signal });
    store.addEventListener("status", () => this.pool(), { signal });
    store.addEventListener("events", () => this.lately(), { signal });
    addEventListener("scroll", () => this.table.draw(), { signal, passive: true });
    addEventListener("resize", () => this.table.draw(), { signal });
    this.clock = setInterval(() => this.table.tick(), 1000);
    this.pool();
    this.lately();
    this.all();
  }

  close() {
    this.stop.abort();
    clearInterval(this.clock);
  }

  restore() {
    const { kept, table } = this;
    if (kept.sort) table.sort = kept.sort;
    table.states = kept.states = kept.states || new Set();
    byId("filter").value = kept.filter || "";
    table.filter = words(kept.filter);
    table.show();
  }

  controls() {
    const { table, kept } = this;
    const filter = byId("filter");
    filter.form.addEventListener("submit", (event) => event.preventDefault());
    filter.addEventListener("input", () => {
      kept.filter = filter.value;
      table.filter = words(filter.value);
      this.all();
    });
    const sort = byId("sort");
    const direction = byId("direction");
    sort.append(...COLUMNS.map((column) => make("option", { value: column.key }, column.name)));
    const shown = () => {
      kept.sort = table.sort;
      sort.value = table.sort.column.key;
      put(direction, table.sort.down ? "\u2193" : "\u2191");
      direction.setAttribute("aria-label", table.sort.down ? "downwards" : "upwards");
    };
    shown();
    table.table.addEventListener("sorted", shown);
    sort.addEventListener("change", () => {
      const column = COLUMNS.find((one) => one.key === sort.value);
      table.by(column, Boolean(column.down));
    });
    direction.addEventListener("click", () => table.by(table.sort.column, !table.sort.down));
    for (const state of STATES) {
      const chip = make("button", { type: "button", "aria-pressed": String(kept.states.has(state)) });
      chip.addEventListener("click", () => {
        if (!kept.states.delete(state)) kept.states.add(state);
        chip.setAttribute("aria-pressed", String(kept.states.has(state)));
        this.all();
      });
      byId("states").append(chip);
      this.chips.set(state, chip);
    }
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      if (!this.stop.signal.aborted) this.all();
    });
  }

  all() {
    this.table.changed();
    const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
    const failed = [];
    for (const row of this.store.sites.values()) {
      counts[row.state] += 1;
      if (row.state === "failed") failed.push(row);
    }
    for (const [state, chip] of this.chips) put(chip, `${state} ${number(counts[state])}`);
    const shown = this.table.order.length;
    const all = this.store.sites.size;
    const some = `${number(all)} ${all === 1 ? "site" : "sites"}`;
    put(byId("count"), shown === all ? some : `${number(shown)} of ${some}`);
    this.failed(failed);
  }

  failed(rows) {
    const part = byId("failed").parentElement;
    part.hidden = rows.length === 0;
    const key = rows.map((row) => row.site + row.error).join("\n");
    if (key === this.failedKey) return;
    this.failedKey = key;
    const items = rows.slice(0, FAILED).map((row) => make("li", {},
      make("a", { href: siteLink(row.site) }, row.site), " ",
      make("span", { className: "why" }, inOneLine(row.error) || "did not start"),
      row.retry_seconds ? ` (again in ${span(row.retry_seconds)})` : ""));
    if (rows.length > FAILED) items.push(make("li", {}, `and ${rows.length - FAILED} more: choose \u201cfailed\u201d below`));
    byId("failed").replaceChildren(...items);
  }

  pool() {
    const { status, memory, traffic } = this.store;
    if (!status) return;
    byId("pool-title").parentElement.hidden = false;
    const counts = status.servers;
    const held = counts.waking + counts.awake + (counts.hibernating || 0);
    put(byId("servers"), number(held));
    put(byId("of-servers"), `of ${number(status.max_servers)}`);
    const parts = ["awake", "waking", "hibernating", "draining"].filter((name) => counts[name]);
    const words = parts.map((name) => `${counts[name]} ${name}`).join(", ") || "none";
    bar(byId("bar"), counts, status.max_servers, `${words}, of ${status.max_servers} servers`);
    const waiting = status.waiting ? `${number(status.waiting)} waiting` : "nobody waits";
    put(byId("waiting"), `${words}; ${waiting}`);
    put(byId("memory"), bytes(status.memory_bytes) || "0 MB");
    put(byId("of-memory"), status.max_memory ? `of ${bytes(status.max_memory)}` : "of all servers");
    put(byId("traffic"), rate(traffic.last ?? 0));
    spark(byId("memory-spark"), memory, `memory, at most ${bytes(Math.max(0, ...memory.points)) || "0 MB"} lately`);
    spark(byId("traffic-spark"), traffic, `requests a second, at most ${rate(Math.max(0, ...traffic.points)) || 0} lately`);
    this.table.draw(); // it may have moved
  }

  lately() {
    const events = this.store.events.slice(0, LATELY);
    byId("recent-part").hidden = events.length === 0;
    byId("recent").replaceChildren(...events.map((event) => eventItem(event, true)));
  }
}

function words(text) {
  return (text || "").toLowerCase().split(/\s+/).filter(Boolean);
}
