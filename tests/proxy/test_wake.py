"""What wakes a site, what does not, and what counts as use of one that is awake."""

import pytest

from tests.core.directories import record
from tests.proxy.rig import OK

BOT = b"User-Agent: Bot/1\r\n"
RULES = [{"user_agent": "bot"}, {"path": "/healthz", "methods": ["GET", "HEAD"], "answer": 200}]


def get(target=b"/", more=b"", method=b"GET"):
    return b"%s %s HTTP/1.1\r\nHost: a.test\r\n%s\r\n" % (method, target, more)


def said(rig):
    return [(line["status"], line["start"], line["reason"]) for line in rig.lines()]


def test_a_site_that_sleeps_is_not_woken(make):
    rig = make(WAKE=RULES)
    rig.pool.awake = False
    client = rig.client()
    client.send(get(more=BOT))
    status, head, body = rig.page(client)
    assert (status, b"\r\nRetry-After: 60\r\n" in head) == (503, True)
    assert b"WAKE does not let this request wake it (user_agent=bot)" in body  # to an operator
    client.send(get(b"/healthz?x"))
    assert rig.page(client)[::2] == (200, b"asleep\n")
    client.send(get(b"/healthz", method=b"HEAD"))
    assert b"\r\nContent-Length: 7\r\n" in rig.head(client)
    client.send(get(b"/healthz", b"Content-Length: 3\r\n"))  # whose body never comes
    status, head, _ = rig.page(client)
    assert (status, b"\r\nConnection: close\r\n" in head) == (200, True)
    assert rig.pool.waiters == []
    assert said(rig) == [(503, "", "asleep")] + [(200, "", "asleep")] * 3
    assert rig.counters.asleep == 4


def test_others_wake_it(make):
    rig = make(WAKE=RULES)
    rig.pool.awake = False
    client = rig.client()
    client.send(get(b"/healthz", method=b"OPTIONS"))
    rig.until(lambda: rig.pool.waiters)
    rig.pool.grant()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    assert said(rig) == [(200, "cold", "")]


def test_what_matches_is_no_use_of_a_server(make):
    """On one connection, where the header lines are the same and the path is not."""
    rig = make(WAKE=RULES)
    client, app, _ = rig.opened()
    for target, unnoticed in ((b"/", 0), (b"/healthz", 1), (b"/", 1), (b"/healthz", 2)):
        rig.exchange(client, app, get(target))
        assert rig.pool.unnoticed == unnoticed
    rig.exchange(client, app, get(more=BOT))
    assert rig.pool.unnoticed == 3
    reasons = [line["reason"] for line in rig.lines()]
    assert reasons == ["", "", "unnoticed", "", "unnoticed", "unnoticed"]


def test_its_server_goes_while_it_is_asked(make):
    rig = make(WAKE=RULES)
    client = rig.client()
    client.send(get(b"/healthz"))
    app = rig.accept()
    rig.head(app)
    rig.pool.awake = False
    app.close()
    rig.after(0.1)
    assert rig.page(client)[::2] == (200, b"asleep\n")
    assert rig.pool.waiters == []
    assert rig.pool.unnoticed == 1


def test_who_cannot_be_meant_is_asked_no_more(make):
    """The header lines of a browser fit no rule: its next requests go the short way."""
    rig = make(WAKE=RULES[:1])
    client, app, _ = rig.opened()
    (down,) = rig.gateway._clients
    rig.exchange(client, app)
    rig.exchange(client, app)
    assert (down.spare is None, down._block == b"") == (False, False)
    rig.exchange(client, app, get(more=BOT))
    assert (down.spare is None, down._block == b"") == (True, True)
    rig.exchange(client, app, get(more=BOT))
    assert rig.pool.unnoticed == 2


def test_the_rules_of_a_site_take_the_place_of_all(make):
    rig = make(WAKE=RULES, ALLOWED_HOSTS=None)
    none, one = record("a.test", wake=[]), record("b.test", wake=None)
    rig.directory.change([none, one])
    rig.pool.awake = False
    client = rig.client()
    client.send(get(more=BOT).replace(b"a.test", b"b.test"))
    assert rig.page(client)[0] == 503
    client.send(get(more=BOT))
    rig.until(lambda: rig.pool.waiters)
    rig.pool.refuse(503, "no")
    assert rig.page(client)[0] == 503


def test_a_host_that_is_no_site_is_none_for_a_monitor_either(make):
    rig = make(WAKE=RULES, PROJECT_PATH="/srv/%HOST", ALLOWED_HOSTS=["*"])
    rig.pool.folders.update({"a.test": True, "b.test": False})
    rig.pool.awake = False
    client = rig.client()
    for host, status in ((b"b.test", 404), (b"a.test", 200)):
        client.send(get(b"/healthz").replace(b"a.test", host))
        assert rig.page(client)[0] == status


# -- WAKES_PER_ADDRESS


def wakes(rig, client, number, more=b""):
    """The statuses of so many requests, each for a site that sleeps."""
    found = []
    for _ in range(number):
        rig.pool.awake = False
        client.send(get(more=more))
        rig.until(lambda: rig.pool.waiters or b"\r\n\r\n" in client.got)
        rig.pool.refuse(502, "it was in vain")
        status, head, _ = rig.page(client)
        found.append(status)
        assert (status == 429) == (b"Retry-After" in head)
    return found


def test_one_address_wakes_so_many_and_no_more(make):
    rig = make(WAKES_PER_ADDRESS=2)
    client = rig.client(peer=b"192.0.2.1")
    assert wakes(rig, client, 4) == [502, 502, 429, 429]
    assert wakes(rig, rig.client(peer=b"192.0.2.2"), 1) == [502]
    rig.pool.awake = True  # a warm one is not counted
    other = rig.client(peer=b"192.0.2.1")
    other.send(get())
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(other, b"ok")
    rig.clock.advance(61)
    assert wakes(rig, rig.client(peer=b"192.0.2.1"), 1) == [502]
    assert rig.counters.over_wakes == 2
    lines = [line["reason"] for line in rig.lines() if line["status"] == 429]
    assert lines == ["wakes", "wakes"]


def test_who_waits_with_others_wakes_nobody(make):
    rig = make(WAKES_PER_ADDRESS=1)
    rig.pool.awake = False
    clients = [rig.client(peer=b"192.0.2.1") for _ in range(5)]
    for client in clients:
        client.send(get())
    rig.until(lambda: len(rig.pool.waiters) == 5)
    rig.pool.refuse(503, "no room")
    assert [rig.page(client)[0] for client in clients] == [503] * 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"2001:db8::1", b"2001:db8::2", True),
        (b"2001:db8::1", b"2001:db8:0:1::1", False),
        (b"::ffff:192.0.2.1", b"192.0.2.1", True),
        (b"::ffff:192.0.2.1", b"::ffff:192.0.2.2", False),
        (b"192.0.2.1", b"192.0.2.2", False),
        (b"no address", b"no address", True),
    ],
)
def test_what_a_proxy_tells_is_what_counts(make, one, other, same):
    rig = make(WAKES_PER_ADDRESS=1)
    proxy = rig.client()
    assert wakes(rig, proxy, 1, b"X-Forwarded-For: %s\r\n" % one) == [502]
    expected = 429 if same else 502
    assert wakes(rig, proxy, 1, b"X-Forwarded-For: %s\r\n" % other) == [expected]
    # nobody is punished for what they say of themselves
    stranger = rig.client(peer=b"192.0.2.9")
    assert wakes(rig, stranger, 1, b"X-Forwarded-For: %s\r\n" % one) == [502]


def test_a_trusted_proxy_may_wake_any_number(make):
    rig = make(WAKES_PER_ADDRESS=1)
    assert wakes(rig, rig.client(), 3) == [502] * 3


def test_there_may_be_no_limit(make):
    rig = make(WAKES_PER_ADDRESS=None)
    assert wakes(rig, rig.client(peer=b"192.0.2.1"), 30) == [502] * 30
