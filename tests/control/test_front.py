"""Who is let in at ADMIN_LISTEN, and what they are told, over real connections."""

import json
import os
import socket

import pytest

from luisito.control import connections, roles
from luisito.control.front import guests, sessions, stream
from luisito.control.front.front import bind
from luisito.errors import SettingsError
from luisito.settings import from_mapping
from tests.control.rig import OTHER, TOKEN, Rig

ME = os.getuid()
BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def rig():
    rigs = []

    def make(**how):
        rigs.append(Rig(**{"started_by": ME, **how}))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


# -- whose a connection is


def test_the_kernel_says_whose_a_loopback_connection_is(rig):
    assert rig().who() == ME


def test_likewise_of_a_unix_socket(rig, tmp_path):
    assert rig(at=f"unix:{tmp_path}/admin.sock").who() == ME


def test_likewise_of_ipv6(rig):
    assert rig(at=r"tcp6:0:interface=\:\:1").who(host="[::1]:80") == ME


@pytest.mark.root
@pytest.mark.parametrize("unix", [False, True])
def test_a_tenant_has_a_tenants_rights(rig, tmp_path, unix):
    made = rig(at=f"unix:{tmp_path}/s" if unix else "tcp:0:interface=127.0.0.1")
    if unix:
        tmp_path.chmod(0o755)
        for parent in list(tmp_path.parents)[:-2]:
            parent.chmod(0o755)
    assert made.who(sock=made.connect_as(OTHER)) == OTHER
    status, _, body = made.ask("/whoami", sock=made.connect_as(OTHER))
    assert (status, json.loads(body)["operator"]) == (200, False)


@pytest.mark.root
@pytest.mark.parametrize("which", ["serves_as", "servers_as"])
def test_of_users_that_many_things_run_as_it_does_not_do(rig, which):
    made = rig(**{which: OTHER})
    assert made.who(sock=made.connect_as(OTHER)) == -401


def test_who_has_gone_is_nobody(rig):
    """A socket that is closed is root's to kernels before 6.17."""
    made = rig()
    sock = made.connect()
    sock.sendall(b"GET /servers HTTP/1.1\r\nHost: localhost\r\n\r\n")
    seen = []
    made.front._door._connections.whose = lambda connection: (
        seen.append(  # it is asked late
            guests.Guests.whose(made.front._door._connections, connection)
        )
        or roles.STRANGER
    )
    sock.close()
    made.until(lambda: seen)
    assert set(seen) == {roles.STRANGER}


@pytest.mark.parametrize(
    "field", ["x_forwarded_for", "forwarded", "via", "x_forwarded_proto", "x_real_ip"]
)
def test_what_comes_through_a_proxy_is_not_the_proxys(rig, field):
    assert rig().who(**{field: "for=192.0.2.1"}) == -401


def test_http_1_0_is_taken_for_a_proxys(rig):
    assert rig().who(version="1.0") == -401


@pytest.mark.parametrize("host", ["localhost:81", "127.0.0.1:8081", "[::1]:80", "127.1.2.3"])
def test_names_that_are_ours(rig, host):
    assert rig().who(host=host) == ME


@pytest.mark.parametrize(
    "host", ["evil.test", "localhost.evil.test", "192.0.2.1", "", None, "[::2]", "x@localhost"]
)
def test_a_name_that_a_name_server_may_answer_for_is_not(rig, host):
    assert rig().who(host=host) == -403


def test_what_changes_something_takes_a_header(rig):
    made = rig()
    assert made.who(method="POST") == -403
    assert made.who(method="POST", x_luisito="1") == ME


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_origin_may_not_even_read(rig, site):
    made = rig()
    assert made.who(sec_fetch_site=site) == -403
    assert made.who(sec_fetch_site="same-origin") == ME
    for _ in range(10):  # nor does it use the attempts up that others have
        assert made.who(sec_fetch_site=site, authorization="Basic eDp5") == -403
    assert made.who(authorization=BEARER) == roles.TOKEN


# -- the token


def test_the_token_makes_an_operator_of_anybody(rig):
    made = rig(started_by=77)
    assert made.roles.is_operator(roles.TOKEN)
    assert made.who(authorization=BEARER, host="x.test", x_forwarded_for="1") == roles.TOKEN
    assert made.who(authorization=f"bearer  {TOKEN} ", method="POST") == roles.TOKEN


@pytest.mark.parametrize("said", ["Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}"])
def test_a_wrong_token_is_refused_whoever_tells_it(rig, said):
    status, head, body = rig().ask(authorization=said)
    assert (status, head["www-authenticate"]) == (401, "bearer")
    assert json.loads(body) == {"error": "this is not the token", "login": True}


def test_without_a_token_there_is_none_to_tell(rig):
    made = rig(token=None)
    assert made.who() == ME
    for said in ("Bearer ", "Bearer None", "Bearer"):
        assert made.who(authorization=said) == -401
    status, _, body = made.ask(x_forwarded_for="1")
    assert (status, json.loads(body)["login"]) == (401, False)
    assert b"set ADMIN_TOKEN" in body


def test_few_attempts_a_second(rig, monkeypatch):
    monkeypatch.setattr(sessions, "FAILURES", 0.001)
    made = rig()
    assert [made.who(authorization="Bearer x") for _ in range(3)] == [-401, -429, -429]
    assert made.who(authorization=BEARER) == -429  # nobody learns that it is right
    assert made.who() == ME


@pytest.mark.root
def test_nobody_uses_up_the_attempts_of_other_users(rig, monkeypatch):
    """All of them have the loopback addresses."""
    monkeypatch.setattr(sessions, "FAILURES", 0.001)
    made = rig()
    for source in ("127.0.0.1", "127.0.0.2"):
        his = made.connect_as(OTHER, source)
        assert made.who(sock=his, authorization="Bearer x") in (-401, -429)
    assert made.who(sock=made.connect_as(OTHER), authorization=BEARER) == -429
    assert made.who(sock=made.connect_as(OTHER + 1), authorization=BEARER) == roles.TOKEN


def test_failures_are_counted_by_address_and_pass():
    secrets = sessions.Secrets(TOKEN)
    for _ in range(10):
        secrets.failed("192.0.2.1", 0.0)
    assert not secrets.may_try("192.0.2.1", 0.0)
    assert secrets.may_try("192.0.2.2", 0.0)
    assert secrets.may_try("192.0.2.1", 10 / sessions.FAILURES)


# -- sessions


def logged_in(made, **how):
    status, head, body = made.ask("/login", "POST", authorization=BEARER, x_luisito="1", **how)
    assert status == 200
    return head["set-cookie"], json.loads(body)["key"]


def test_a_session_is_a_cookie_and_a_key(rig):
    made = rig(started_by=77)
    stranger = {"x_forwarded_for": "1", "host": "admin.test"}
    cookie, key = logged_in(made, **stranger)
    assert cookie.endswith("; path=/; max-age=43200; httponly; samesite=strict")
    cookie = "a=b; " + cookie.partition(";")[0]
    assert made.who(cookie=cookie, x_luisito=key, **stranger) == roles.TOKEN
    assert made.who(method="POST", cookie=cookie, x_luisito=key, **stranger) == roles.TOKEN
    # a site on another port of this name is sent the cookie, and nothing else
    assert made.who(cookie=cookie, **stranger) == -401
    assert made.who(cookie=cookie, x_luisito="1", **stranger) == -401
    assert made.who(x_luisito=key, **stranger) == -401
    assert made.who(cookie=f"{cookie}0", x_luisito=key, **stranger) == -401
    assert made.who(cookie=cookie, x_luisito=key, sec_fetch_site="same-site") == -403


def test_where_a_front_server_has_tls_the_cookie_is_for_that_alone(rig):
    cookie, _ = logged_in(rig(), x_forwarded_proto="https")
    assert cookie.endswith("; secure")


def test_another_site_logs_nobody_in_or_out(rig):
    made = rig()
    assert made.ask("/login", "POST", authorization=BEARER)[0] == 403
    assert made.ask("/logout", "POST")[0] == 403
    status, head, _ = made.ask("/logout", "POST", x_luisito="1")
    assert (status, "max-age=0" in head["set-cookie"]) == (200, True)


def test_a_session_ends():
    secrets = sessions.Secrets(TOKEN)
    cookie, key = secrets.session(1000.0)
    end = 1000.0 + sessions.LIFETIME
    assert secrets.is_session(cookie, key, end - 1)
    assert not secrets.is_session(cookie, key, end)
    _, rest = cookie.split(".", 1)
    assert not secrets.is_session(f"{int(end) + 1}.{rest}", key, end)
    assert not sessions.Secrets("another-token-of-letters").is_session(cookie, key, 1000.0)
    assert not sessions.Secrets(None).is_session(*sessions.Secrets(None).session(0), 0)
    assert sessions.Secrets(TOKEN).is_session(cookie, key, 1000.0)  # another process


# -- files


def test_the_page_is_for_everybody(rig):
    made = rig()
    status, head, body = made.ask("/", x_forwarded_for="1", host="x.test")
    assert (status, head["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>Luisito</title>" in body
    assert head["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert made.ask("/", if_none_match=head["etag"])[::2] == (304, b"")
    status, packed, body = made.ask("/", "HEAD", accept_encoding="gzip, br")
    assert (status, packed["content-encoding"], body) == (200, "gzip", b"")
    assert packed["etag"] != head["etag"]
    assert made.ask("/", "POST", x_luisito="1")[0] == 200  # which is the resources' to refuse


# -- bounds


def test_connections_of_one_user_are_bounded(rig, monkeypatch):
    monkeypatch.setattr(guests, "PER_ADDRESS", 3)
    made = rig()
    held = [made.connect() for _ in range(3)]
    protocols = made.front._door._connections.protocols
    made.until(lambda: len(protocols) == 3)
    assert made.ask()[0] == 503
    held.pop().close()
    made.until(lambda: len(protocols) == 2)
    assert made.who() == ME


def test_a_user_has_no_more_by_other_addresses(rig, monkeypatch):
    monkeypatch.setattr(guests, "PER_ADDRESS", 3)
    made = rig()
    for number in range(1, 4):
        made.connect(f"127.0.0.{number}")
    protocols = made.front._door._connections.protocols
    made.until(lambda: len(protocols) == 3)
    assert made.ask(sock=made.connect("127.0.0.9"))[0] == 503


def test_addresses_of_ipv6_are_told_as_the_network_that_a_client_has(rig):
    made = rig(at=r"tcp6:0:interface=\:\:1")
    made.connect()
    (guest,) = made.until(lambda: list(made.front._door._connections.protocols))
    assert guest.address == "::/64"


@pytest.mark.root
@pytest.mark.usefixtures("quick")
def test_strangers_do_not_keep_operators_out(rig, monkeypatch):
    """Nor who has the token: of those who have not asked for anything yet, one goes for him."""
    monkeypatch.setattr(guests, "OF_STRANGERS", 2)
    made = rig()
    for uid in (OTHER, OTHER + 1):
        made.connect_as(uid)
    made.until(lambda: len(made.front._door._connections.protocols) == 2)
    for uid in (OTHER + 2, OTHER + 3):
        Follower(made, made.connect_as(uid), authorization=BEARER).wait("event: hello")
    assert len(made.front._door._connections.protocols) == 2
    assert made.ask(sock=made.connect_as(OTHER + 4))[0] == 503
    assert made.who() == ME


def test_a_fault_with_one_connection_is_none_with_others(rig, monkeypatch):
    made = rig()
    seen = []

    def broken(_guests, _uid):
        seen.append(1)
        raise ValueError("broken")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(guests.Guests, "welcomes", broken)
        made.connect()
        made.until(lambda: seen)
    assert made.who() == ME


# -- streams


class Follower:
    """Reads a stream."""

    def __init__(self, made, sock=None, authorization=None):
        self.made, self.sock, self.read = made, sock or made.connect(), b""
        head = "GET /events/stream HTTP/1.1\r\nHost: localhost\r\n"
        if authorization is not None:
            head += f"Authorization: {authorization}\r\n"
        self.sock.sendall(f"{head}\r\n".encode())
        self.sock.setblocking(False)

    def come(self):
        try:
            while data := self.sock.recv(65536):
                self.read += data
        except BlockingIOError:
            pass
        return self.read

    def wait(self, *words):
        self.made.until(lambda: all(word.encode() in self.come() for word in words))


class Happened:
    def __init__(self, number, uid):
        self.number, self.uid = number, uid

    def as_dict(self):
        return {"number": self.number, "other": "secret.test", "words": "goes for secret.test"}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(stream, "TICK", 0.01)


def row(site, uid=OTHER, **more):
    return {"site": site, "uid": uid, "state": "awake", "up_seconds": 1.0, **more}


@pytest.mark.usefixtures("quick")
def test_rows_are_told_as_they_change(rig):
    made = rig()
    made.shown.sites = {"a": row("a"), "b": row("b")}
    made.shown.whole = {"waiting": 7}
    follower = Follower(made)
    follower.wait("event: hello", '{"waiting": 7}')
    made.shown.sites["a"] = row("a", up_seconds=2.0)
    made.shown.sites["b"] = row("b", in_flight=1)
    follower.wait('"in_flight": 1')
    del made.shown.sites["a"]
    follower.wait('{"site": "a", "state": "gone"}')
    assert follower.read.count(b"event: rows") == 2
    follower.sock.close()
    made.until(lambda: made.front.streams._timer is None)  # nobody looks, and nothing is looked at
    assert made.front.streams._seen == {}


@pytest.mark.root
@pytest.mark.usefixtures("quick")
def test_a_tenant_is_told_of_his_own(rig):
    made = rig()
    his = Follower(made, made.connect_as(OTHER))
    everything = Follower(made)
    for each in (his, everything):
        each.wait("event: hello")
    made.turn(0.05)
    for number, uid in ((1, OTHER), (2, 0), (3, None)):
        made.front.streams.heard(Happened(number, uid))
    made.shown.sites = {"his": row("his"), "another": row("another", uid=1)}
    everything.wait('"number": 3', "another")
    his.wait('"number": 1', '"site": "his"')
    made.turn(0.1)
    assert not any(word in his.come() for word in (b'"number": 2', b'"number": 3', b'another"'))
    assert b"secret.test" in everything.read
    assert b"secret.test" not in his.read
    assert b"goes for another site" in his.read
    assert b"event: status" not in his.read


@pytest.mark.usefixtures("quick")
def test_who_reads_slowly_is_told_that_he_missed_something(rig):
    made = rig()
    follower, other = Follower(made), Follower(made)
    for each in (follower, other):
        each.wait("event: hello")
    made.shown.whole = {"long": "x" * 2_000_000}
    slow, _ = made.front.streams._streams
    made.until(lambda: other.come() and slow.missed)
    made.shown.whole = {}
    follower.wait("event: missed")
    follower.wait("event: status\ndata: {}")


@pytest.mark.usefixtures("quick")
def test_who_reads_nothing_is_cut_off(rig, monkeypatch):
    monkeypatch.setattr(stream, "_PAUSE", 0.1)
    made = rig()
    made.shown.whole = {"long": "x" * 2_000_000}
    follower = Follower(made)
    made.until(lambda: made.front.streams._streams)
    made.until(lambda: not made.front.streams._streams)
    assert not follower.read


@pytest.mark.usefixtures("quick")
def test_a_stream_ends_so_that_its_client_is_judged_anew(rig, monkeypatch):
    monkeypatch.setattr(stream, "_LONGEST", 0.2)
    made = rig()
    follower = Follower(made)
    follower.wait("event: hello")
    made.until(lambda: not made.front.streams._streams)


@pytest.mark.usefixtures("quick")
def test_a_stream_outlives_all_else(rig, monkeypatch):
    monkeypatch.setattr(connections, "LIFETIME", 2.0)
    made = rig()
    follower = Follower(made)
    follower.wait("event: hello")
    held = made.front._door._connections.protocols
    made.connect()  # and says nothing
    made.until(lambda: len(held) == 2)
    made.until(lambda: len(held) == 1)
    made.shown.whole = {"still": "here"}
    follower.wait('{"still": "here"}')


@pytest.mark.usefixtures("quick")
def test_of_too_many_events_it_is_said_that_some_were_missed(rig):
    made = rig()
    follower = Follower(made)
    follower.wait("event: hello")
    for number in range(stream._UNSENT + 1):
        made.front.streams.heard(Happened(number, None))
    follower.wait("event: missed", f'"number": {stream._UNSENT - 1},')
    assert f'"number": {stream._UNSENT},'.encode() not in follower.read


@pytest.mark.usefixtures("quick")
def test_streams_are_bounded(rig, monkeypatch):
    monkeypatch.setattr(stream, "MOST", 1)
    made = rig()
    Follower(made).wait("event: hello")
    status, _, body = made.ask("/events/stream")
    assert (status, b"too many" in body) == (503, True)


@pytest.mark.root
@pytest.mark.usefixtures("quick")
def test_streams_of_members_leave_room(rig, monkeypatch):
    """To operators, and to each other."""
    monkeypatch.setattr(stream, "OF_MEMBERS", 2)
    monkeypatch.setattr(stream, "OF_A_MEMBER", 1)
    made = rig()
    Follower(made, made.connect_as(OTHER)).wait("event: hello")
    assert made.ask("/events/stream", sock=made.connect_as(OTHER))[0] == 503
    Follower(made, made.connect_as(OTHER + 1)).wait("event: hello")
    assert made.ask("/events/stream", sock=made.connect_as(OTHER + 2))[0] == 503
    Follower(made).wait("event: hello")
    Follower(made).wait("event: hello")


@pytest.mark.root
@pytest.mark.usefixtures("quick")
def test_the_whole_is_not_looked_at_for_members(rig):
    made = rig()
    his = Follower(made, made.connect_as(OTHER))
    his.wait("event: hello")
    ticks = made.front.streams._ticks
    made.until(lambda: made.front.streams._ticks > ticks + 2 * stream._STATUS)
    assert made.shown.asked == 0


@pytest.mark.root
def test_what_happens_from_the_greeting_on_is_told(rig, monkeypatch):
    """Who is greeted asks for all rows; what is another after that must not be missed."""
    monkeypatch.setattr(stream, "TICK", 0.5)
    made = rig()
    made.shown.sites = {"his": row("his")}
    Follower(made).wait("event: hello")
    made.until(lambda: made.front.streams._ticks)
    his = Follower(made, made.connect_as(OTHER))
    his.wait("event: hello")
    made.shown.sites["his"] = row("his", in_flight=7)
    his.wait('"in_flight": 7')


@pytest.mark.root
@pytest.mark.usefixtures("quick")
def test_nothing_is_kept_for_who_goes_while_it_is_looked(rig):
    made = rig()
    everything, his = Follower(made), Follower(made, made.connect_as(OTHER))
    for each in (everything, his):
        each.wait("event: hello")
    streams = made.front.streams
    uids = lambda: {one.uid for one in streams._streams}  # noqa: E731

    def rows(uid, before=()):
        while uid == 0 and OTHER in uids():
            his.sock.close()
            yield row("another")

    made.shown.all = made.shown.busy = rows
    made.until(lambda: uids() == {0})
    made.turn(0.1)
    assert set(streams._seen) == {0}


@pytest.mark.root
def test_the_drawing_is_for_operators(rig):
    made = rig()
    assert json.loads(made.ask("/advice/drawing")[2]) == {"words": "enough"}
    # all else is the resources'
    assert json.loads(made.ask("/advice/drawing", sock=made.connect_as(OTHER))[2])["uid"] == OTHER


# -- where it listens


def test_an_endpoint_of_systemds_that_others_reach_takes_a_token():
    sock = socket.create_server(("0.0.0.0", 0))
    settings = from_mapping({"CMD_TPL": "x %FD", "ADMIN_LISTEN": "systemd:x"})
    kept = {"admin systemd:x": sock.detach()}
    with pytest.raises(SettingsError, match="ADMIN_TOKEN is not set"):
        bind(None, settings, kept)
    assert kept == {}
