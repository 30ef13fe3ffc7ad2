"""Requests for sites that are down for maintenance: answered here, whatever they are."""

import json

import pytest

from tests.core.directories import record
from tests.proxy.rig import OK


def get(target=b"/", more=b"", method=b"GET", host=b"a.test"):
    return b"%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, target, host, more)


@pytest.fixture
def rig(make):
    rig = make(ALLOWED_HOSTS=None)
    rig.directory.change([record("a.test", maintenance="Back at noon")])
    return rig


@pytest.mark.parametrize("peer", [b"127.0.0.1", b"192.0.2.1"])
def test_the_page(rig, peer):
    client = rig.client(peer=peer)
    for _ in range(2):  # the connection goes on
        client.send(get())
        status, head, body = rig.page(client)
        assert (status, b"\r\nRetry-After: 300\r\n" in head) == (503, True)
        assert b"<p>Back at noon</p>" in body
    client.send(get(more=b"Accept: application/json\r\n"))
    assert json.loads(rig.page(client)[2])["message"] == "Back at noon"
    assert not rig.pool.waiters
    said = [(line["status"], line["start"], line["reason"]) for line in rig.lines()]
    assert said == [(503, "", "maintenance")] * 3


def test_a_body_is_not_read_as_the_next_request(rig):
    client = rig.client()
    client.send(get(method=b"POST", more=b"Content-Length: 40\r\n") + b"GET / HTTP/1.1\r\n")
    status, head, _ = rig.page(client)
    assert (status, b"\r\nConnection: close\r\n" in head) == (503, True)
    client = rig.client()
    client.send(get(method=b"HEAD"))
    assert rig.head(client).startswith(b"HTTP/1.1 503")


def test_it_begins_and_ends_on_an_open_connection(rig):
    client = rig.client()
    rig.directory.change([record("a.test")])
    client.send(get())
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    rig.directory.change([record("a.test", maintenance=9)])
    client.send(get())
    assert b"\r\nRetry-After: 9\r\n" in rig.page(client)[1]
    rig.directory.change([record("a.test")])
    client.send(get())
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")


def test_mounts_are_down_by_themselves(rig):
    rig.pool.any_site = True
    up = record("a.test/up", mounted="/up", strip=True)
    down = record("a.test/down", mounted="/down", strip=True, maintenance="Not here")
    client = rig.client()
    rig.directory.change([record("a.test", maintenance="Nor here", mounts=[up, down])])
    for target, words in ((b"/", b"Nor here"), (b"/down/x", b"Not here"), (b"/", b"Nor here")):
        client.send(get(target))
        assert words in rig.page(client)[2]
    client.send(get(b"/up/x"))
    app = rig.accept()
    assert rig.head(app).startswith(b"GET /x ")
    app.send(OK)
    rig.expect(client, b"ok")
