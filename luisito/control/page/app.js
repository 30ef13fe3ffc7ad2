// What is shown, by the part of the address behind #, and who looks at it.

import { AdvicePage } from "./advice.js";
import { Stream, ask, hasKey, logIn, logOut, may } from "./ask.js";
import { SitePage } from "./site.js";
import { SitesPage } from "./sites.js";
import { Store } from "./store.js";
import { byId, placeOf, put } from "./words.js";

const HIDDEN = 30000; // ms after which a page that nobody sees asks for nothing
const AGAIN = 2000; // ms until what could not be asked for is asked for again
const main = byId("main");
const store = new Store();
const stream = new Stream(heard, changed);
const kept = {};
let me = null;
let page = null;
let hiding = null;
let saying = null;
let loading = null;

function say(words) {
  put(byId("said"), words);
  clearTimeout(saying);
  saying = setTimeout(() => put(byId("said"), ""), 8000);
}

function changed(how) {
  const words = { live: "live", lost: "not connected, trying again", out: "not connected" };
  const link = byId("link");
  link.className = `link ${how}`;
  put(link, words[how]);
  if (how === "out") begin();
}

async function load() {
  clearTimeout(loading);
  try {
    await store.load(ask("/sites").then((told) => told.sites));
  } catch {
    if (stream.wanted) loading = setTimeout(load, AGAIN); // the stream may go on all the same
    return;
  }
  const told = await may("/events?limit=50").catch(() => null);
  if (told?.events) {
    store.events = told.events.sort((a, b) => b.at - a.at);
    store.tell("events", []);
  }
}

function heard(kind, data) {
  if (kind === "hello" || kind === "missed") load();
  else if (kind === "rows") store.rows(data.sites);
  else if (kind === "events") store.happened(data.events);
  else if (kind === "status") store.whole(data);
}

function route() {
  if (me === null) return;
  page?.close();
  const [where, site] = placeOf(location.hash);
  const focus = page !== null;
  if (where === "site" && site) page = new SitePage(main, store, site, me, say);
  else if (where === "advice") page = new AdvicePage(main);
  else page = new SitesPage(main, store, kept);
  const title = main.querySelector("h1").textContent;
  document.title = `${title} - Luisito`;
  for (const [id, here] of [["to-sites", !where], ["to-advice", where === "advice"]]) {
    if (here) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  if (focus) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function showLogin(why) {
  page?.close();
  page = null;
  main.replaceChildren(byId("login-page").content.cloneNode(true));
  const form = main.querySelector("form");
  const [label, input, button] = ["label", "input", "button"].map((tag) => form.querySelector(tag));
  put(form.querySelector(".why"), why.words);
  for (const part of [label, input, button]) part.hidden = !why.login;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await logIn(input.value);
      begin();
    } catch (error) {
      put(form.querySelector(".error"), error.message);
      input.select();
    }
  });
  if (why.login) input.focus();
}

async function begin() {
  try {
    me = await ask("/whoami");
  } catch (error) {
    me = null;
    if (error.said === undefined) {
      setTimeout(begin, AGAIN);
      return;
    }
    showLogin({ words: error.message, login: Boolean(error.said?.login) });
    return;
  }
  byId("to-advice").hidden = !me.operator;
  byId("log-out").hidden = !(hasKey() && me.uid === null);
  byId("log-in").hidden = !(me.token && !me.operator);
  route();
  stream.start();
}

byId("log-out").addEventListener("click", async () => {
  stream.stop();
  await logOut();
  location.reload();
});
byId("log-in").addEventListener("click", () => showLogin({ words: "You see your own sites; the token shows all.", login: true }));
store.addEventListener("failed", (event) => say(`${event.detail.join(", ")} failed`));
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => stream.stop(), HIDDEN);
  else if (me !== null) stream.start();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // what is behind # says which page is shown
  main.focus();
});
begin();
