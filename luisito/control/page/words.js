// Figures in words, and small helpers for elements.

export const STATES = ["failed", "waking", "awake", "draining", "hibernating", "asleep"];

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.round((s % 86400) / 3600)} h`;
}

export function short(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 10 ? `${seconds.toFixed(2)} s` : span(seconds);
}

export function bytes(size) {
  if (size === null || size === undefined) return "";
  if (size >= 1 << 30) return `${(size / (1 << 30)).toFixed(1)} GB`;
  if (size >= 1 << 20) return `${Math.round(size / (1 << 20))} MB`;
  return `${Math.round(size / 1024)} kB`;
}

export function number(value) {
  return value === null || value === undefined ? "" : value.toLocaleString("en");
}

export function rate(value) {
  if (value === null || value === undefined) return "";
  return value > 0 && value < 10 ? value.toFixed(1) : number(Math.round(value));
}

export function when(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour12: false });
  const day = date.toLocaleDateString([], { day: "numeric", month: "short" });
  return today ? time : `${day} ${time}`;
}

// Why something failed, in one line: of a server's last output, the last line.
export function inOneLine(text) {
  const lines = (text || "").split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length < 2) return lines[0] || "";
  return `${lines[0].replace(/; its last output:$/, "")}: ${lines[lines.length - 1]}`;
}

export const byId = (id) => document.getElementById(id);

// An element with properties, and children that are elements or text.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && typeof value !== "string") element[name] = value;
    else if (name === "className" || name === "textContent") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Sets a text only where it is another: the rest of the page stays as it was.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function stateOf(word) {
  return make("span", { className: `state s-${word}` }, word);
}

export function siteLink(site) {
  return `#/site/${encodeURIComponent(site)}`;
}

// What the part of an address behind # leads to: the kind of page, and a site.
export function placeOf(hash) {
  const [, where, site] = hash.split("/", 3);
  try {
    return [where || "", decodeURIComponent(site || "")];
  } catch {
    return [where, site]; // a % that somebody has typed
  }
}

// A table of plain rows; what is a number stands at the right.
export function plain(heads, rows, caption) {
  const figures = heads.map((_, n) => rows.some((row) => typeof row[n] === "number"));
  const head = make("tr", {}, ...heads.map((text, n) =>
    make("th", { scope: "col", className: figures[n] ? "number" : "" }, text)));
  const body = rows.map((row) =>
    make("tr", {}, ...row.map((value) => {
      const figure = typeof value === "number";
      return make("td", figure ? { className: "number" } : {}, figure ? number(value) : value ?? "");
    })));
  return make("table", { className: "plain" },
    make("caption", { className: "hidden" }, caption),
    make("thead", {}, head), make("tbody", {}, ...body));
}

// The history of a site, or of all.
export function eventItem(event, withSite) {
  const bad = ["failed", "killed", "refused"].includes(event.kind);
  const words = make("span", { className: "words" });
  if (withSite) words.append(make("a", { href: siteLink(event.site) }, event.site), " ");
  words.append(withSite ? inOneLine(event.words) : event.words);
  return make("li", {},
    make("time", { dateTime: new Date(event.at * 1000).toISOString() }, when(event.at)),
    make("span", { className: bad ? "bad" : "" }, event.kind), words);
}
