"""Sites with several servers: which one each request asks for."""

import re

import pytest

from tests.core.directories import record
from tests.proxy.rig import OK

ONE, TWO, THREE = "a.test", "a.test#2", "a.test#3"


def get(target=b"/", more=b""):
    return b"GET %s HTTP/1.1\r\nHost: a.test\r\n%s\r\n" % (target, more)


@pytest.fixture
def several(make):
    """A rig of such a site, and the keys of the servers that were asked for."""

    def begin(**keys):
        rig = make(ALLOWED_HOSTS=["*"], TRUSTED_PROXIES=["127.0.0.1"])
        rig.directory.change([record("a.test", members=3, **keys)])
        taken = []
        take = rig.gateway.take
        rig.gateway.take = lambda key: taken.append(key) or take(key)
        return rig, taken

    return begin


def test_each_request_of_a_connection_is_decided_anew(several):
    rig, taken = several()
    rig.pool.chosen = [TWO, ONE, ONE, THREE]
    client = rig.client()
    client.send(get())
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    for _ in range(3):
        rig.exchange(client, app, get())
    assert taken == [TWO, ONE, ONE, THREE]
    assert {line["site"] for line in rig.lines()} == {"a.test"}


def test_who_waits_asks_for_whichever_is_ready_by_then(several):
    """As a request does that goes on after the end of the server that it was on."""
    rig, taken = several()
    rig.pool.chosen = [TWO, THREE]
    client = rig.client()
    client.send(get())
    app = rig.accept()
    rig.head(app)
    rig.pool.awake = False
    app.close()
    rig.until(lambda: rig.counters.retries == 1)
    rig.pool.chosen = [THREE]
    take = rig.gateway.take

    def wakes(key):
        rig.pool.awake = key == THREE
        return take(key)

    rig.gateway.take = wakes
    rig.after(0.5)
    app = rig.accept()
    assert rig.head(app).startswith(b"GET / ")
    assert taken == [TWO, TWO, THREE]
    app.send(OK)
    rig.expect(client, b"ok")


def test_one_whose_file_has_another_number_by_now(several):
    rig, taken = several()
    rig.pool.awake = False
    rig.pool.chosen = [TWO, "a.test#9"]
    client = rig.client()
    client.send(get())
    rig.until(lambda: rig.pool.waiters)
    assert taken == [TWO, TWO]
    rig.pool.grant()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")


def test_a_mount_with_rules_and_several(several):
    wake = [{"path": ["/api/healthz"], "answer": 200, "text": "asleep\n", "user_agent": [],
             "methods": [], "addresses": []}]  # fmt: skip
    mount = record("a.test/api", mounted="/api", strip=True, members=2, wake=wake)
    rig, taken = several(mounts=[mount])
    rig.pool.chosen = ["a.test/api#2", "a.test/api", "a.test#3", "a.test/api#2"]
    client = rig.client()
    client.send(get(b"/api/x"))
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    rig.exchange(client, app, get(b"/api/healthz"))
    rig.exchange(client, app, get(b"/x"))
    assert taken == ["a.test/api#2", "a.test/api", "a.test#3"]
    assert rig.pool.unnoticed == 1
    rig.pool.awake = False
    client.send(get(b"/api/healthz"))
    assert rig.page(client)[::2] == (200, b"asleep\n")


# sticky


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
COOKIE = re.compile(rb"\r\nSet-Cookie: luisito_server=([0-9a-f]{12}); ([^\r\n]*)\r\n")


class Sticky:
    """A connection to a site whose clients are led to the same server."""

    def __init__(self, rig):
        self.rig, self.client, self.app = rig, rig.client(), None

    def ask(self, more=b"", server=ONE, head=HEAD):
        """The head that the app server got, what the client did, and the cookie in that."""
        self.rig.pool.server.site = server
        self.client.send(get(more=more))
        if self.app is None:
            self.app = self.rig.accept()
        asked = self.rig.head(self.app)
        self.app.send(head + b"\r\nok")
        got = self.rig.expect(self.client, b"\r\n\r\nok")
        assert got.startswith(head)
        match = COOKIE.search(got)
        assert got.count(b"Set-Cookie") == (match is not None) + head.count(b"Set-Cookie")
        return asked, got, match and match[1]


@pytest.fixture
def sticky(several):
    def begin(**keys):
        rig, _ = several(sticky="luisito_server", **keys)
        return rig, Sticky(rig)

    return begin


def test_a_cookie_leads_to_the_same_server(sticky):
    rig, at = sticky()
    _, got, token = at.ask(server=TWO)
    terms = COOKIE.search(got)[2]
    assert terms == b"Path=/; HttpOnly; SameSite=Lax"
    assert rig.pool.liked == [None]
    mine = b"Cookie: a=1; luisito_server=%s; b=2\r\n" % token
    asked, got, again = at.ask(mine, server=TWO)
    assert (rig.pool.liked[1:], again, got) == ([TWO], None, HEAD + b"\r\nok")
    assert b"\r\nCookie: a=1; b=2\r\n" in asked
    # Alone it is not passed on at all, whatever the case of the name of the line.
    asked, _, _ = at.ask(b"cOOKIE: luisito_server=%s\r\n" % token, server=TWO)
    assert b"ookie" not in asked
    # It has gone: another one answers, and is named from then on.
    _, _, other = at.ask(mine, server=THREE)
    assert other not in (None, token)
    assert rig.pool.liked[2:] == [TWO, TWO]


def test_no_client_is_given_what_another_was(sticky):
    """Answers with the very same head, on one connection to the app server."""
    rig, at = sticky()
    token = at.ask()[2]
    mine = b"Cookie: luisito_server=%s\r\n" % token
    for _ in range(3):
        assert at.ask(mine)[2] is None
    other = Sticky(rig)
    other.app = at.app
    assert other.ask()[2] == token
    assert at.ask(mine)[2] is None
    assert other.ask(mine)[2] is None
    assert at.ask(b"Cookie: luisito_server=000000000000\r\n")[2] == token


def test_what_the_app_sets_stays(sticky):
    _, at = sticky()
    own = HEAD + b"Set-Cookie: luisito_server=x\r\nset-cookie: a=b\r\n".replace(b"set-", b"Set-")
    asked, got, token = at.ask(b"Cookie: luisito_server=mine\r\n", head=own)
    assert token is not None
    assert got.startswith(own)
    assert b"Cookie: luisito_server=mine\r\n" in asked  # no token: it is the app's
    for public in (b"Cache-Control: max-age=60, public\r\n", b"cache-control: s-maxage=1\r\n"):
        assert at.ask(head=HEAD + public)[2] is None


def test_over_https_it_stays_there(several):
    rig, _ = several(sticky="luisito_server")
    app = None
    for peer, secure in ((b"127.0.0.1", True), (b"192.0.2.1", False)):
        client = rig.client(peer)
        client.send(get(more=b"X-Forwarded-Proto: https\r\n"))
        app = app or rig.accept()
        rig.head(app)
        app.send(OK)
        got = rig.expect(client, b"\r\n\r\nok")
        assert (b"; Secure\r\n" in got) is secure
        assert COOKIE.search(got)


def test_a_websocket_is_led_too(sticky):
    rig, at = sticky()
    at.client.send(get(more=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    app = rig.accept()
    rig.head(app)
    app.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert COOKIE.search(rig.head(at.client))
    app.send(b"x")
    rig.expect(at.client, b"x")


def test_what_is_no_answer_of_a_server_sets_none(sticky):
    rig, at = sticky(wake=[{"path": ["/healthz"], "answer": None, "text": "", "user_agent": [],
                            "methods": [], "addresses": []}])  # fmt: skip
    at.client.send(get(b"/healthz"))
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    assert b"Cookie" not in rig.expect(at.client, b"\r\n\r\nok")  # a monitor's
    at.client.send(get(b"/x"))
    rig.head(app)
    app.send(b"HTTP/1.1 nonsense\r\n\r\n")
    status, head, _ = rig.page(at.client)
    assert (status, b"Cookie" in head) == (502, False)
