"""Sites whose servers have path prefixes: who is asked, for what, and what it is told."""

import pytest

from tests.core.directories import record
from tests.proxy.rig import OK


def get(target, more=b"", host=b"a.test"):
    return b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, host, more)


def mount(path, strip=True, **keys):
    return record(f"a.test{path}", mounted=path, strip=strip, **keys)


@pytest.fixture
def mounted(make):
    """A rig of a site with mounts; `asked` does one exchange, and returns what the server got."""

    def begin(*mounts, site=None, **names):
        rig = make(ALLOWED_HOSTS=["*"], **names)
        rig.directory.change([record("a.test", mounts=list(mounts), **(site or {}))])
        taken = []
        take = rig.gateway.take
        rig.gateway.take = lambda key: taken.append(key) or take(key)
        return rig, taken

    return begin


def asked(rig, client, app, request):
    """The request line, and the prefix that was told, and all of the head."""
    head = rig.exchange(client, app, request)
    lines = head.split(b"\r\n")
    prefix = [line for line in lines if line.lower().startswith(b"x-forwarded-prefix")]
    return lines[0], prefix, head


def test_two_paths_on_one_connection(mounted):
    """With the very same header lines: what the connection remembers is no mount's."""
    rig, taken = mounted(mount("/api"), mount("/keep", strip=False))
    client = rig.client()
    client.send(get(b"/"))
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    told = [b"X-Forwarded-Prefix: /api"]
    for target, passed, prefix in (
        (b"/", b"/", []),
        (b"/api/x%2Fy?q", b"/x%2Fy?q", told),
        (b"/api/x%2Fy?q", b"/x%2Fy?q", told),
        (b"/", b"/", []),
        (b"/keep/x", b"/keep/x", []),
        (b"/api", b"/", told),
        (b"/apix", b"/apix", []),
        (b"/apix", b"/apix", []),
    ):
        line, found, _ = asked(rig, client, app, get(target))
        assert (line, found) == (b"GET %s HTTP/1.1" % passed, prefix)
    keys = ["", "", "/api", "/api", "", "/keep", "/api", "", ""]
    assert taken == [f"a.test{key}" for key in keys]
    lines = rig.lines()
    assert [line["site"] for line in lines] == taken
    assert [line["target"] for line in lines][2:4] == ["/api/x%2Fy"] * 2


def test_another_host_on_the_same_connection(mounted):
    rig, taken = mounted(mount("/api"))
    client = rig.client()
    client.send(get(b"/api/x", host=b"b.test"))
    app = rig.accept()
    assert rig.head(app).startswith(b"GET /api/x ")
    app.send(OK)
    rig.expect(client, b"ok")
    for host, passed in ((b"a.test", b"/x"), (b"b.test", b"/api/x"), (b"a.test", b"/x")):
        line, _, _ = asked(rig, client, app, get(b"/api/x", host=host))
        assert line == b"GET %s HTTP/1.1" % passed
    assert taken == ["b.test", "a.test/api", "b.test", "a.test/api"]


def test_pipelined_and_changed_in_between(mounted):
    rig, taken = mounted(mount("/api"))
    client = rig.client()
    client.send(get(b"/api/1") + get(b"/2") + get(b"/api/3"))
    app = rig.accept()
    for line in (b"GET /1 ", b"GET /2 ", b"GET /3 "):
        assert rig.head(app).startswith(line)
        app.send(OK)
        rig.expect(client, b"ok")
    rig.directory.change([record("a.test")])
    line, prefix, _ = asked(rig, client, app, get(b"/api/4"))
    assert (line, prefix) == (b"GET /api/4 HTTP/1.1", [])
    line, _, _ = asked(rig, client, app, get(b"/api/4"))
    rig.directory.change([record("a.test", mounts=[mount("/api")])])
    line, prefix, _ = asked(rig, client, app, get(b"/api/4"))
    assert (line, len(prefix)) == (b"GET /4 HTTP/1.1", 1)
    assert taken[-3:] == ["a.test", "a.test", "a.test/api"]


SMUGGLED = (
    b"X-Forwarded-Prefix: /evil\r\nX_Forwarded_Prefix: /evil\r\nx-forwarded_prefix: /evil\r\n"
    b"SCRIPT_NAME: /evil\r\nScript-Name: /evil\r\nX-Script-Name: /evil\r\nX_SCRIPT_NAME: /evil\r\n"
    b"PATH_INFO: /evil\r\nPath-Info: /evil\r\nX-Forwarded-Script-Name: /evil\r\n"
)


@pytest.mark.parametrize("target", [b"/", b"/api/x", b"/keep/x"])
def test_a_prefix_of_a_client_never_arrives(mounted, target):
    rig, _ = mounted(mount("/api"), mount("/keep", strip=False), TRUSTED_PROXIES=[])
    client = rig.client(b"192.0.2.1")
    client.send(get(target, SMUGGLED))
    app = rig.accept()
    head = rig.head(app)
    assert b"evil" not in head
    assert head.count(b"X-Forwarded-Prefix: /api\r\n") == (target == b"/api/x")
    app.send(OK)
    rig.expect(client, b"ok")


def test_the_prefix_of_a_trusted_proxy_comes_first(mounted):
    rig, _ = mounted(mount("/api"), mount("/keep", strip=False), TRUSTED_PROXIES=["192.0.2.1"])
    client = rig.client(b"192.0.2.1")
    client.send(get(b"/"))
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    for target, told in ((b"/api/x", b"/out/api"), (b"/keep", b"/out"), (b"/", b"/out")):
        _, prefix, head = asked(rig, client, app, get(target, b"X-Forwarded-Prefix: /out/\r\n"))
        assert [line.rstrip(b"/") for line in prefix] == [b"X-Forwarded-Prefix: " + told]
        assert b"SCRIPT" not in head


def test_a_path_that_leaves_a_mount(mounted):
    rig, taken = mounted(mount("/api"))
    client = rig.client()
    client.send(get(b"/api/../x"))
    status, head, body = rig.page(client)
    assert (status, b"Connection: close" in head) == (400, True)
    assert b"the path leaves /api by" in body  # to an operator
    assert taken == []
    rig.until(lambda: client.over)


def test_terms_and_rules_of_a_mount_are_its_own(mounted):
    wake = [{"path": ["/api/healthz"], "answer": 200, "text": "asleep\n", "user_agent": [],
             "methods": [], "addresses": []}]  # fmt: skip
    rig, taken = mounted(mount("/api", wake=wake, limits={"max_body_size": 3}), site={"limits": {}})
    rig.pool.awake = False
    client = rig.client()
    client.send(get(b"/api/healthz"))
    assert rig.page(client)[::2] == (200, b"asleep\n")
    assert rig.pool.waiters == []
    client.send(b"POST /api/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nabcd")
    assert rig.page(client)[0] == 413
    assert set(taken) == {"a.test/api"}


def test_a_redirected_host_is_redirected_whole(mounted):
    rig, taken = mounted(mount("/api"), site={"redirects": ["old.test"]})
    client = rig.client()
    client.send(get(b"/api/x?y", host=b"old.test"))
    status, head, _ = rig.page(client)
    assert (status, b"\r\nLocation: http://a.test/api/x?y\r\n" in head) == (308, True)
    assert taken == []
