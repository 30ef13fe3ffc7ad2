// What is known of sites, and of the whole: filled by answers and by the stream.

const KEPT = 150; // points of a sparkline

export class Series {
  constructor() {
    this.points = [];
  }

  add(value) {
    this.points.push(value);
    if (this.points.length > KEPT) this.points.shift();
  }

  get last() {
    return this.points.length ? this.points[this.points.length - 1] : null;
  }
}

export class Store extends EventTarget {
  constructor() {
    super();
    this.sites = new Map();
    this.events = [];
    this.status = null;
    this.memory = new Series();
    this.traffic = new Series();
    this.later = null; // rows that came while all were asked for
  }

  tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  // All sites anew. What the stream has told since they were asked for is newer.
  async load(asked) {
    const later = (this.later = []);
    const rows = await asked;
    if (this.later !== later) return; // they were asked for once more
    this.later = null;
    this.sites.clear();
    for (const row of [...rows, ...later]) this.set(row);
    this.tell("sites", null);
  }

  set(row) {
    if (row.state === "gone") {
      this.sites.delete(row.site);
      return;
    }
    row.at = performance.now() / 1000;
    const words = `${row.site} ${row.state} ${row.last_exit || ""}`;
    row.words = words.toLowerCase();
    this.sites.set(row.site, row);
  }

  rows(rows) {
    if (this.later) this.later.push(...rows);
    const told = [];
    for (const row of rows) {
      const before = this.sites.get(row.site);
      if (row.state === "failed" && before && before.state !== "failed") told.push(row.site);
      this.set(row);
    }
    if (told.length) this.tell("failed", told);
    this.tell("sites", rows.map((row) => row.site));
  }

  happened(events) {
    this.events = [...events.reverse(), ...this.events].slice(0, 200);
    this.tell("events", events);
  }

  whole(status) {
    const before = this.status;
    status.at = performance.now() / 1000;
    this.status = status;
    if (status.memory_bytes !== null) this.memory.add(status.memory_bytes);
    if (before && before.pid === status.pid) {
      const seconds = Math.max(0.1, status.at - before.at);
      this.traffic.add(Math.max(0, status.counters.heads - before.counters.heads) / seconds);
    }
    this.tell("status", status);
  }
}

// A time as it is now, of a row that has told it when it came.
export function moving(row, name) {
  const value = row[name];
  return value === null || value === undefined ? null : value + performance.now() / 1000 - row.at;
}
