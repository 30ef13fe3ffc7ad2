"""Where hosts go, by site files and by the template."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import directory as module
from luisito.core.directory import BROKEN, REDIRECT, Directory
from luisito.core.routing import CANNOT_TELL, NO_SITE, Routes
from tests.core.directories import USUAL, record


def of(*records, routes=None):
    made = Directory(routes, USUAL, files=True)
    made.change(records)
    return made


SHOP = record("shop.x", aliases=["www.shop.x"], redirects=["old.x"])
WILD = record("wild.x", hosts=["*.x", "x", "!admin.x", "!*.y.x"])
NEAR = record("near.x", hosts=["*.near.x", "*.y.x"])
REST = record("rest.x", default=True, hosts=["!never.test"])


@pytest.mark.parametrize(
    ("host", "site", "status"),
    [
        ("shop.x", "shop.x", 0),
        ("www.shop.x", "shop.x", 0),
        ("old.x", "shop.x", REDIRECT),
        ("x", "wild.x", 0),
        ("a.b.x", "wild.x", 0),
        ("near.x", "near.x", 0),
        ("a.near.x", "near.x", 0),
        ("a.y.x", "near.x", 0),
        ("y.x", "wild.x", 0),
        ("admin.x", "rest.x", 0),
        ("else.test", "rest.x", 0),
        ("[::1]", "rest.x", 0),
        ("never.test", "never.test", NO_SITE),
    ],
)
def test_hosts_go_to(host, site, status):
    made = of(SHOP, WILD, NEAR, REST)
    found = made.find(host)
    assert (found.site, found.status) == (site, status)
    assert made.known.get(host) is (None if status else found)
    assert made.find(host) is found or status == NO_SITE
    assert (made.judge(host) is found) == (not status or status == REDIRECT)
    made.known.clear()
    assert (made.judge(host).site, made.judge(host).status) == (site, status)


def test_what_decided_it():
    made = of(SHOP, WILD, NEAR, REST)
    told = {
        host: made.explain(host)[1:]
        for host in ("shop.x", "old.x", "a.near.x", "admin.x", "never.test")
    }
    assert told == {
        "shop.x": ("", "shop.x", ()),
        "old.x": ("redirects", "old.x", ()),
        "a.near.x": ("hosts", "*.near.x", ()),
        "admin.x": ("default", "", (("wild.x", "!admin.x"),)),
        "never.test": (None, "", (("rest.x", "!never.test"),)),
    }
    assert made.find("never.test").why == "never.test is not a site here: see SITES_DIR"


def test_the_template_has_what_no_file_has_but_the_default():
    made = of(SHOP, REST, routes=Routes(["shop.x", "a.test", "*.b.test", "!c.b.test"]))
    assert made.explain("shop.x").key == ""
    assert made.explain("x.b.test")[1:] == ("ALLOWED_HOSTS", "*.b.test", ())
    a = made.find("a.test")
    assert (a.site, a.path, a.status) == ("a.test", "", 0)
    assert made.find("c.b.test").site == "rest.x"
    made.change([], ["rest.x"])
    why = "c.b.test is not a site here: see SITES_DIR and ALLOWED_HOSTS"
    assert made.find("c.b.test").why == why


def test_a_site_whose_file_was_never_right_is_not_anybody_elses():
    made = of(REST, WILD, routes=Routes(["a.test"]))
    assert [made.find(host).status for host in ("a.test", "a.x")] == [0, 0]
    made.withhold(["a.test", "a.x"])
    assert made.known == {}
    found = [made.find(host) for host in ("a.test", "a.x", "b.test")]
    assert [one.status for one in found] == [BROKEN, 0, 0]
    assert found[0].why == "the site file of a.test is wrong: see the log, or luisito status"
    made.withhold(["a.x", "a.test"])
    assert made.known.keys() == {"a.x", "b.test"}
    made.withhold([])
    assert made.find("a.test").status == 0


def test_without_files():
    made = Directory(Routes(["a.test"]), USUAL)
    assert made.find("a.test").site == "a.test"
    assert made.find("b.test").why == "b.test is not a site here: see ALLOWED_HOSTS"
    assert len(made) == 0


def test_a_function_is_asked_once_and_when_a_server_is_needed():
    asked = []

    def ask(host):
        asked.append(host)
        return False

    made = of(SHOP, routes=Routes(ask))
    assert made.find("shop.x").site == "shop.x"
    assert made.find("b.test").status == 0
    # the same object each time, by which a connection knows that nothing has changed
    assert made.find("b.test") is made.known["b.test"]
    assert asked == []
    assert made.explain("b.test").destination.status == NO_SITE
    assert made.judge("b.test").status == NO_SITE
    assert asked == ["b.test", "b.test"]
    # but where a file has all that is no site's, it has to be known at once
    assert of(REST, routes=Routes(ask)).find("b.test").site == "rest.x"
    assert Directory(Routes(ask), USUAL).find("b.test").site == "b.test"


def test_a_function_that_fails():
    def broken(host):
        raise KeyError(host)

    made = of(SHOP, REST, routes=Routes(broken))
    assert made.find("shop.x").status == 0
    assert made.find("a.test").status == CANNOT_TELL
    assert "KeyError" in made.find("a.test").why
    assert made.known.keys() == {"shop.x"}


def test_terms():
    limits = {"upstream_max": None, "max_body_size": 7, "memory_max": 5}
    made = of(
        record("a.x", way="port", handed_socket="tcp", limits=limits),
        record("b.x", handed_socket="unix", limits={"upstream_max": 2, "queue_limit": 3}),
    )
    a, b = made.of("a.x"), made.of("b.x")
    assert (a.way, a.tcp, a.upstream_max, a.max_body_size, a.queue_limit) == (
        "port", True, inf, 7, 100,
    )  # fmt: skip
    assert (b.way, b.tcp, b.upstream_max, b.queue_limit) == ("fd", False, 2, 3)
    assert a.limits == limits
    assert a.response_timeout == 60.0
    assert made.of("c.x") is None


def test_a_change_of_one_site():
    made = of(SHOP, WILD)
    wild = made.find("wild.x")
    made.find("www.shop.x")
    made.change([record("shop.x", aliases=["new.x"], limits={"body_timeout": 1.0})])
    assert made.known == {}
    assert made.find("www.shop.x") is wild
    assert made.find("new.x").body_timeout == 1.0
    assert made.find("wild.x") is wild
    made.change([], ["shop.x", "unknown.x"])
    assert len(made) == 1
    assert made.find("new.x") is wild
    made.change([], ["wild.x"])
    assert made.find("wild.x").status == NO_SITE


def test_what_two_have_the_first_file_has():
    """The file of the second is refused then, but its last good version may still be there."""
    b = record("b.x", aliases=["c.x"])
    made = of(b)
    assert made.find("c.x").site == "b.x"
    made.change([record("a.x", aliases=["c.x", "a.x"], hosts=["b.x"])])
    assert made.find("c.x").site == "a.x"
    assert made.find("b.x").site == "a.x"
    assert made.of("b.x").site == "b.x"
    made.change([], ["a.x"])
    assert made.find("c.x").site == "b.x"
    assert made.find("b.x").site == "b.x"


def test_what_is_known_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    made = of(REST)
    known = made.known
    for number in range(5):
        made.find(f"a{number}.test")
    assert known.keys() == {"a3.test", "a4.test"}
    assert made.known is known


NAMES = st.sampled_from(["a", "b", "a.b", "b.a", "c.a.b", "a.c.a.b", "c", "x.b.a"])
PATTERNS = st.builds(
    "{}{}{}".format, st.sampled_from(["", "!"]), st.sampled_from(["", "*."]), NAMES
)


@st.composite
def worlds(draw):
    records = {}
    for _ in range(draw(st.integers(1, 8))):
        name = draw(NAMES)
        records[name] = record(
            name,
            aliases=draw(st.lists(NAMES, max_size=2, unique=True)),
            redirects=draw(st.lists(NAMES, max_size=2, unique=True)),
            hosts=draw(st.lists(PATTERNS, max_size=4, unique=True)),
            default=draw(st.booleans()),
        )
    return records


def fits(pattern, host):
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def naive(records, host):
    """By looking through all."""
    found = []
    for name, one in records.items():
        excepted = any(fits(each[1:], host) for each in one["hosts"] if each[0] == "!")
        claims = [(name, "")] + [
            (each, key) for key in ("aliases", "redirects") for each in one[key]
        ]
        if not excepted:
            claims += [(each, "hosts") for each in one["hosts"] if each[0] != "!"]
            claims += [("", "default")] if one["default"] else []
        order = ["", "aliases", "redirects", "hosts", "default"]
        found += [
            (pattern.startswith("*.") or not pattern, -len(pattern), f"{name}.toml",
             order.index(key), name)
            for pattern, key in claims
            if not pattern or fits(pattern, host)
        ]  # fmt: skip
    if not found:
        return host, NO_SITE
    *_, key, name = min(found)
    return name, REDIRECT if key == 2 else 0


@given(worlds(), worlds(), NAMES, st.data())
def test_as_by_looking_through_all(before, now, host, data):
    made = of(*before.values())
    made.find(host)
    gone = [name for name in before if name not in now]
    made.change(data.draw(st.permutations(list(now.values()))), gone)
    for _ in range(2):
        found = made.known.get(host) or made.find(host)
        assert (found.site, found.status) == naive(now, host)
    made.change([], list(now))
    assert made.find(host).status == NO_SITE
    assert made._claims == {}


def test_mounts():
    mounts = [
        record("shop.x/api", mounted="/api", strip=True, way="port", limits={"queue_limit": 3}),
        record("shop.x/old", mounted="/old", strip=False),
    ]
    made = of(record("shop.x", redirects=["old.x"], mounts=mounts))
    shop = made.find("shop.x")
    assert not shop.plain
    (api, passed) = shop.mounts.find(b"/api/x")
    assert (api.to.site, api.to.way, api.to.queue_limit, passed) == ("shop.x/api", "port", 3, b"/x")
    assert api.to.plain
    assert made.of("shop.x/api") is api.to
    assert made.of("shop.x") is shop
    assert made.of("shop.x/else") is made.of("a.x/api") is None
    assert made.find("old.x").status == REDIRECT
    made.change([record("shop.x")])
    assert made.of("shop.x/api") is None
    assert made.find("shop.x").plain


def test_several():
    mounts = [record("shop.x/api", mounted="/api", strip=True, members=2)]
    made = of(record("shop.x", members=3, mounts=mounts, way="port", limits={"queue_limit": 3}))
    shop = made.find("shop.x")
    assert not shop.plain
    assert shop.several.site == shop.site == "shop.x"
    assert sorted(shop.several.to) == ["shop.x", "shop.x#2", "shop.x#3"]
    for key, to in shop.several.to.items():
        assert made.of(key) is to
        assert (to.site, to.way, to.queue_limit) == (key, "port", 3)
        assert to.several is shop.several
    (api, _) = shop.mounts.find(b"/api/x")
    assert api.to.several.to["shop.x/api#2"] is made.of("shop.x/api#2")
    assert made.of("shop.x#4") is made.of("shop.x/api#3") is made.of("a.x#2") is None
    made.change([record("shop.x")])
    assert made.of("shop.x#2") is None
    assert made.find("shop.x").several is None


def test_a_cookie_of_several():
    assert of(record("a.x", members=2)).find("a.x").several.sticky is None
    sticky = of(record("a.x", members=2, sticky="c")).find("a.x").several.sticky
    (cookie,) = sticky.told(b"", "a.x#2", secure=False).split(b"\r\n")[:1]
    pair = cookie.partition(b": ")[2].partition(b";")[0]
    assert sticky.liked(b"\r\nCookie: " + pair + b"\r\n") == "a.x#2"
    assert sticky.told(b"", "a.x#3", secure=False) == b""
    assert of(record("a.x", sticky="c")).find("a.x").several is None
