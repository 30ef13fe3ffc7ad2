// The table of sites. Only the rows that are in sight are in the document, so that thousands of
// sites take no longer than forty.

import { moving } from "./store.js";
import { STATES, bytes, make, number, put, short, siteLink, span } from "./words.js";

const SPARE = 8; // rows above and below those in sight

// key, heading, value to sort by, text, whether the first order is downwards
export const COLUMNS = [
  { key: "site", name: "Site", value: (row) => row.site },
  { key: "state", name: "State", value: (row) => STATES.indexOf(row.state), text: (row) => row.state },
  { key: "up", name: "Up", value: (row) => moving(row, "up_seconds"), text: (row) => span(moving(row, "up_seconds")), down: true },
  { key: "idle", name: "Idle", value: (row) => moving(row, "idle_seconds"), text: (row) => span(moving(row, "idle_seconds")), down: true },
  { key: "flight", name: "In flight", value: (row) => row.in_flight, text: (row) => number(row.in_flight), down: true },
  { key: "requests", name: "Requests", value: (row) => row.requests, text: (row) => number(row.requests), down: true },
  { key: "memory", name: "Memory", value: (row) => row.memory_bytes, text: (row) => bytes(row.memory_bytes), down: true },
  { key: "start", name: "Start", value: (row) => row.start_seconds, text: (row) => short(row.start_seconds), down: true },
  { key: "last", name: "Last exit", value: (row) => row.last_exit || null, text: (row) => (row.last_exit || "").replace(/^pid \d+ (was )?/, "") },
];
const FIGURES = new Set(["up", "idle", "flight", "requests", "memory", "start"]);

const compare = new Intl.Collator("en", { numeric: true }).compare;

export class Table {
  constructor(table, store) {
    this.table = table;
    this.store = store;
    this.heads = table.querySelector("#heads");
    this.body = table.querySelector("#rows");
    this.above = make("tr", { className: "spacer", "aria-hidden": "true" }, make("td", {}));
    this.below = make("tr", { className: "spacer", "aria-hidden": "true" }, make("td", {}));
    this.body.append(this.above, this.below);
    this.drawn = new Map(); // rows of the document by site
    this.order = [];
    this.sort = { column: COLUMNS[1], down: false };
    this.filter = [];
    this.states = new Set();
    this.buttons = COLUMNS.map((column) => this.head(column));
    this.show();
  }

  head(column) {
    const button = make("button", { type: "button" }, column.name);
    button.addEventListener("click", () => {
      const same = this.sort.column === column;
      this.by(column, same ? !this.sort.down : Boolean(column.down));
    });
    const figure = FIGURES.has(column.key) ? " number" : "";
    this.heads.append(make("th", { scope: "col", role: "columnheader", className: `c-${column.key}${figure}` }, button));
    return button;
  }

  by(column, down) {
    this.sort = { column, down };
    this.show();
    this.changed();
    this.table.dispatchEvent(new Event("sorted"));
  }

  show() {
    this.buttons.forEach((button, n) => {
      const head = button.parentElement;
      if (COLUMNS[n] === this.sort.column) head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  // Which sites are shown, and in what order.
  changed() {
    const { column, down } = this.sort;
    const found = [];
    for (const row of this.store.sites.values()) {
      if (this.states.size && !this.states.has(row.state)) continue;
      if (this.filter.every((word) => row.words.includes(word))) found.push([column.value(row), row.site]);
    }
    const sign = down ? -1 : 1;
    found.sort(([a, siteA], [b, siteB]) => {
      if (a === b) return compare(siteA, siteB);
      if (a === null || a === undefined) return 1; // what has no value comes last in either order
      if (b === null || b === undefined) return -1;
      return (sign * (typeof a === "number" ? a - b : compare(a, b))) || compare(siteA, siteB);
    });
    this.order = found.map(([, site]) => site);
    this.table.setAttribute("aria-rowcount", String(this.order.length + 1));
    this.draw();
  }

  // Puts the rows that are in sight into the document, each where it belongs.
  draw() {
    const height = parseFloat(getComputedStyle(this.table).getPropertyValue("--row")) || 36;
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - SPARE);
    const last = Math.min(this.order.length, Math.ceil((innerHeight - top) / height) + SPARE);
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const wanted = new Set(this.order.slice(first, Math.max(first, last)));
    for (const [site, row] of this.drawn) {
      if (!wanted.has(site) && !(focused && row.element.contains(focused) && this.store.sites.has(site))) {
        row.element.remove();
        this.drawn.delete(site);
      }
    }
    let next = this.above.nextSibling;
    let index = first;
    for (const site of wanted) {
      const row = this.drawn.get(site) || this.add(site);
      if (row.element === next) next = next.nextSibling;
      else this.body.insertBefore(row.element, next);
      row.element.setAttribute("aria-rowindex", String(index++ + 2));
      this.fill(row, this.store.sites.get(site));
    }
    this.above.style.height = `${Math.min(first, this.order.length) * height}px`;
    this.below.style.height = `${Math.max(0, this.order.length - last) * height}px`;
    this.above.hidden = first === 0;
    this.below.hidden = last >= this.order.length;
    if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  add(site) {
    const element = make("tr", { role: "row", "data-site": site });
    const cells = COLUMNS.map((column) => {
      const figure = FIGURES.has(column.key) ? " number" : "";
      const role = column.key === "site" ? "rowheader" : "cell";
      const cell = make("td", { role, className: `c-${column.key}${figure}`, "data-name": column.name });
      element.append(cell);
      return cell;
    });
    cells[0].append(make("a", { href: siteLink(site), title: site }, site));
    const state = make("span", {});
    cells[1].append(state);
    const row = { element, cells, state };
    this.drawn.set(site, row);
    return row;
  }

  fill(row, told) {
    if (row.state.textContent !== told.state) {
      row.state.textContent = told.state;
      row.state.className = `state s-${told.state}`;
    }
    for (let n = 2; n < COLUMNS.length; n++) put(row.cells[n], COLUMNS[n].text(told));
    const last = row.cells[COLUMNS.length - 1];
    if (last.title !== (told.last_exit || "")) last.title = told.last_exit || "";
  }

  // The clocks of the rows in sight.
  tick() {
    for (const [site, row] of this.drawn) {
      const told = this.store.sites.get(site);
      if (told) for (const n of [2, 3]) put(row.cells[n], COLUMNS[n].text(told));
    }
  }
}
