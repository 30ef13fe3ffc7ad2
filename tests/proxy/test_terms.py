"""Sites of files: which host goes where, on which terms, and what the log says of it."""

import pytest

from tests.core.directories import record
from tests.proxy.rig import OK


def get(host, more=b""):
    return b"GET /p?q=1 HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, more)


@pytest.fixture
def files(make):
    """Makes a rig without a template, with a.test as the site of a file."""

    def files(*records, **keys):
        rig = make(ALLOWED_HOSTS=None)
        rig.directory.change([record("a.test", **keys), *records])
        return rig

    return files


def test_an_alias_is_served_as_its_site(files):
    rig = files(aliases=["www.a.test"], hosts=["*.b.test"])
    client, app, _ = rig.opened()
    for host in (b"www.a.test", b"x.b.test", b"a.test"):
        head = rig.exchange(client, app, get(host))
        assert b"\r\nHost: %s\r\n" % host in head
    assert [line["site"] for line in rig.lines()] == ["a.test"] * 4


@pytest.mark.parametrize(
    ("peer", "scheme"), [(b"127.0.0.1", b"https"), (b"192.0.2.1", b"http")], ids=str
)
def test_a_redirect_goes_by_trusted_proxies(files, peer, scheme):
    rig = files(redirects=["old.test"])
    client = rig.client(peer=peer)
    for _ in range(2):  # on a connection that goes on
        client.send(get(b"old.test", b"X-Forwarded-Proto: https\r\n"))
        status, head, _ = rig.page(client)
        assert status == 308
        assert b"\r\nLocation: %s://a.test/p?q=1\r\n" % scheme in head
    assert rig.pool.waiters == []
    assert rig.no_connection()
    lines = [(line["site"], line["status"], line["start"]) for line in rig.lines()]
    assert lines == [("a.test", 308, "")] * 2


def test_a_redirect_of_a_body_and_of_head(files):
    rig = files(redirects=["old.test"], limits={"max_body_size": 5})
    client = rig.client()
    client.send(b"HEAD / HTTP/1.1\r\nHost: old.test:8080\r\n\r\n")
    head = rig.head(client)
    assert b"\r\nLocation: http://a.test:8080/\r\n" in head
    client.send(b"PUT / HTTP/1.1\r\nHost: old.test\r\nContent-Length: 5\r\n\r\n")
    status, head, _ = rig.page(client)
    assert (status, b"Connection: close" in head) == (308, True)
    client = rig.client()
    client.send(b"PUT / HTTP/1.1\r\nHost: old.test\r\nContent-Length: 6\r\n\r\n")
    assert rig.page(client)[0] == 413


def test_no_site(files):
    rig = files()
    client = rig.client()
    client.send(get(b"else.test"))
    status, _, body = rig.page(client)
    assert status == 404
    assert b"else.test is not a site here: see SITES_DIR" in body
    assert rig.pool.waiters == []
    (line,) = rig.lines()
    assert (line["site"], line["status"], line["start"]) == ("else.test", 404, "")


def test_a_change_counts_on_a_connection_that_is_kept(files):
    rig = files(aliases=["www.test"])
    client, app, _ = rig.opened()
    again = get(b"www.test")
    rig.exchange(client, app, again)
    rig.exchange(client, app, again)
    rig.directory.change([record("a.test", redirects=["www.test"])])
    client.send(again)
    assert rig.page(client)[0] == 308
    rig.directory.change([record("a.test")])
    client.send(again)
    assert rig.page(client)[0] == 404
    rig.directory.change([record("b.test", hosts=["*.test"])])
    client.send(again)
    rig.until(lambda: rig.pool.waiters)
    rig.pool.refuse(503, "asleep")
    assert rig.page(client)[0] == 503
    rig.directory.change([record("a.test", aliases=["www.test"])])
    rig.exchange(client, app, again)
    sites = [line["site"] for line in rig.lines()]
    assert sites == ["a.test"] * 4 + ["www.test", "b.test", "a.test"]


def test_a_site_of_a_file_needs_no_folder(make):
    rig = make(PROJECT_PATH="/srv/%HOST", ALLOWED_HOSTS=["*.test"])
    rig.directory.change([record("file.test")])
    rig.pool.folders = {"none.test": False, "some.test": True}
    for host in (b"none.test", b"some.test", b"file.test"):
        client = rig.client()
        client.send(get(host))
        if host == b"none.test":
            assert rig.page(client)[0] == 404
        else:
            rig.until(lambda: rig.pool.waiters)
            rig.pool.refuse(502, "x")
            assert rig.page(client)[0] == 502


def test_sites_are_told_from_other_hosts(files):
    rig = files(aliases=["www.test"], redirects=["old.test"])
    found = {
        host: [rig.gateway.refusal(host), rig.gateway.is_site(host).result]
        for host in ("a.test", "www.test", "old.test", "else.test")
    }
    assert found.pop("a.test") == [None, True]
    assert [one[0].status for one in found.values()] == [404] * 3
    assert [one[1] for one in found.values()] == [False] * 3
    assert found["www.test"][0].detail == "www.test is a.test here: see /sites/a.test.toml"


def test_response_timeout_of_a_site(files):
    rig = files(limits={"response_timeout": 2.0})
    client, _ = rig.asked()
    rig.after(1)
    assert client.got == b""
    rig.after(2.5)
    assert rig.page(client)[0] == 504


def test_body_timeout_of_a_site(files):
    rig = files(limits={"body_timeout": 2.0})
    client = rig.client()
    client.send(b"PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nx")
    rig.head(rig.accept())
    rig.after(1)
    assert client.got == b""
    rig.after(2.5)
    assert rig.page(client)[0] == 408


def test_upstream_keepalive_of_a_site(files):
    rig = files(limits={"upstream_keepalive": 2.0})
    _, app, _ = rig.opened()
    rig.after(1)
    assert not app.over
    rig.after(2.5)
    assert app.over


def test_upstream_max_and_queue_of_a_site(files):
    rig = files(limits={"upstream_max": 1, "queue_limit": 1, "queue_timeout": 3.0})
    first, app = rig.asked()
    second, third = rig.client(), rig.client()
    second.send(get(b"a.test"))
    rig.settle()
    third.send(get(b"a.test"))
    assert rig.page(third)[0] == 503
    rig.after(4.5)
    assert rig.page(second)[0] == 503
    app.send(OK)
    rig.expect(first, b"ok")
