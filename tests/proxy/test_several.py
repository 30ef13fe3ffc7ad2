"""Sites with several servers: which one each request asks for."""

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
        rig = make(ALLOWED_HOSTS=["*"])
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
