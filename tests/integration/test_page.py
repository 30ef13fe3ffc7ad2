"""The page of ADMIN_LISTEN in a browser, of whole servers."""

import signal

import pytest

from tests.harness.browser import Browser
from tests.harness.server import free_port
from tests.integration.test_control import listed

pytestmark = pytest.mark.needs("chromium")
TOKEN = "a-token-of-many-letters"

# Of each text that is seen, how its colour stands out from what is behind it (WCAG 2.2, 1.4.3):
# those that do so too little.
CONTRAST = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map(
    (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  ).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".hidden, .skip, template, [disabled]")) continue;
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${e.tagName} ${e.textContent.trim()} ${ratio.toFixed(2)}`);
  }
  return found;
})()"""
# what a browser says of answers that are meant: to a wrong token, and of output that is not kept
UNHEARD = ("401 (Unauthorized)", "403 (Forbidden)", "404 (Not Found)")
STATE = "document.querySelector('tr[data-site=\"{}\"] .state').textContent"
SHOWN = "[...document.querySelectorAll('#rows tr[data-site]')].map(r => r.dataset.site)"
# what has no name for those who hear the page
NAMELESS = {"button", "link", "textbox", "searchbox", "combobox", "image", "table", "region"}


def label(site):
    return f"{site}.localhost"


@pytest.fixture
def look(serve):
    """Serves, and opens the page; the page has to be without a fault to the end."""
    browsers = []

    def look(settings=None, *, host="localhost", **how):
        port = free_port()
        at = {"ADMIN_LISTEN": f"tcp:{port}:interface=127.0.0.1", "ADMIN_TOKEN": TOKEN}
        server = serve({**at, **(settings or {})}, **how)
        server.wait_for_log("Page for operators: ")
        browsers.append(browser := Browser())
        browser.size(1280)
        server.unchecked |= {"conservation", "access lines", "matching"}
        return server, browser, f"http://{host}:{port}/"

    yield look
    for browser in browsers:
        browser.run("1")  # all that was said until now is heard
        meant = (*UNHEARD, *browser.meant)
        said = [one for one in browser.said if not any(word in one for word in meant)]
        browser.close()
        assert said == []


def test_from_the_login_to_a_stop(look):
    server, browser, url = look(host="admin.localhost")
    server.warm(label("a"))
    browser.go(url)
    browser.until("document.activeElement.id === 'token'")
    browser.type("wrong")
    browser.press("Enter", 13, "\r")
    browser.until("document.querySelector('.login .error').textContent === 'this is not the token'")
    browser.type(TOKEN)
    browser.press("Enter", 13, "\r")
    browser.until(f"{STATE.format(label('a'))} === 'awake'")
    assert browser.run("document.cookie") == ""
    browser.run("location.reload()")
    browser.until(f"{STATE.format(label('a'))} === 'awake'")
    browser.until("document.getElementById('servers').textContent === '1'")
    server.warm(label("b"))  # by which nobody asks the page for anything
    browser.until(f"{STATE.format(label('b'))} === 'awake'")
    browser.until("document.getElementById('recent').textContent.includes('b.localhost')")
    browser.run(f"document.querySelector('a[href$=\"{label('a')}\"]').focus()")
    browser.press("Enter", 13, "\r")
    browser.until("document.querySelector('h1').textContent === 'a.localhost'")
    stop = "document.querySelector('[data-act=stop]')"
    browser.until(f"!{stop}.hidden")
    browser.run(f"{stop}.focus()")
    browser.press("Enter", 13, "\r")
    browser.until("document.getElementById('ask').open && document.activeElement.value === 'no'")
    browser.press("Escape", 27)
    browser.until("!document.getElementById('ask').open")
    assert len(listed(server)) == 2
    browser.press("Enter", 13, "\r")
    browser.until("document.getElementById('ask').open")
    browser.run("document.getElementById('ask-yes').click()")
    browser.until("document.getElementById('state').textContent === 'asleep'")
    browser.until("document.activeElement.id === 'site'")  # as the button has gone
    browser.until("document.getElementById('said').textContent.startsWith('a.localhost: ')")
    assert list(listed(server)) == [label("b")]
    start = "document.querySelector('[data-act=start]')"
    browser.until(f"{stop}.hidden && !{start}.hidden")
    browser.run(f"{start}.click()")
    browser.until("document.getElementById('ask').open")
    browser.run("document.getElementById('ask-yes').click()")
    browser.until("document.getElementById('state').textContent === 'awake'")
    assert len(listed(server)) == 2
    browser.run("document.getElementById('log-out').click()")
    browser.until("document.activeElement.id === 'token'")


def test_what_could_not_be_asked_for_is_asked_for_again(look):
    """As while too many are connected, though the stream goes on."""
    server, browser, url = look({"ADMIN_TOKEN": None})
    server.warm(label("a"))
    browser.go(url)
    browser.until(f"{STATE.format(label('a'))} === 'awake'")
    browser.run("""(() => {
      const real = fetch;
      window.asked = 0;
      window.fetch = (path, more) => {
        const fails = path === "/sites" && ++window.asked === 1;
        return fails ? Promise.resolve(new Response("{}", { status: 503 })) : real(path, more);
      };
    })()""")
    server.send_signal(signal.SIGHUP)  # its stream begins anew
    browser.until("window.asked === 2")
    browser.run("location.hash = '#/site/%'")  # which nobody can read as it is meant
    browser.until("!document.getElementById('unknown').hidden")
    browser.meant += ("/events/stream", "400 (Bad Request)")


def test_it_is_for_all_widths_and_all_people(look):
    server, browser, url = look(origin={label("bad"): {"exit_early": 3, "say": "no such table"}})
    server.expect("502 for GET", "bad.localhost: .*exited with code 3")
    server.warm(label("b"), label("a"), label("shop"))
    server.request(host=label("bad"))
    browser.go(url)
    browser.until("document.getElementById('failed').textContent.includes('no such table')")
    assert browser.until(f"{SHOWN}.length === 4 && {SHOWN}")[0] == label("bad")
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        assert browser.run(CONTRAST) == []
    # sorted by the keyboard alone
    browser.run("document.querySelector('th.c-site button').focus()")
    browser.press("Enter", 13, "\r")
    browser.press("Enter", 13, "\r")
    assert browser.until(f"{SHOWN}[0] === 'shop.localhost' && {SHOWN}") == [
        label(site) for site in ("shop", "bad", "b", "a")
    ]
    sorted_by = "document.querySelector('[aria-sort]')"
    assert browser.run(f"{sorted_by}.ariaSort + {sorted_by}.textContent") == "descendingSite"
    tree = browser.tree()
    assert {("table", "Sites, with what each does now"), ("searchbox", "Filter")} <= set(tree)
    assert [name for role, name in tree if role == "columnheader"][:2] == ["Site", "State"]
    assert [role for role, name in tree if role in NAMELESS and not name] == []
    browser.run("document.getElementById('filter').focus()")
    browser.type("sho awake")
    assert browser.until(f"{SHOWN}.length === 1 && {SHOWN}") == [label("shop")]
    assert browser.run("document.getElementById('count').textContent") == "1 of 4 sites"
    for page in ("", f"#/site/{label('bad')}", "#/advice"):
        browser.run(f"location.hash = {page!r}")
        browser.until("document.querySelector('h1') && document.querySelector('main').innerText")
        for width in (320, 768, 1440):
            browser.size(width)
            assert browser.run("document.scrollingElement.scrollWidth") <= width
        assert browser.run(CONTRAST) == []
    browser.until("document.getElementById('curve').naturalWidth > 0")
    # of many sites those in sight are in the document
    browser.run("""(async () => {
      const { Store } = await import("/page/store.js");
      const { SitesPage } = await import("/page/sites.js");
      const store = new Store();
      window.page = new SitesPage(document.getElementById("main"), store, {});
      const row = (n) => ({ site: `site${n}.example`, state: "asleep", last_exit: null });
      await store.load(Promise.resolve(Array.from({ length: 2000 }, (_, n) => row(n))));
    })()""")
    few = browser.until(f"{SHOWN}.length > 10 && {SHOWN}")
    assert (few[0], len(few) < 100) == ("site0.example", True)
    table = "document.getElementById('table')"
    assert browser.run(f"{table}.getAttribute('aria-rowcount')") == "2001"
    browser.run("scrollTo(0, document.scrollingElement.scrollHeight)")
    assert len(browser.until(f"{SHOWN}.includes('site1999.example') && {SHOWN}")) < 100
