"""FAULTS G: hosts that are none, and hosts that would be something else in a command or a path."""

import contextlib
import os
import pwd
import signal

import pytest

from tests.harness import processes

BAD = [
    b"", b".", b"..", b"../x", b"/etc/x", b"%2e%2e", b"a\0.localhost", b"a\\b.localhost",
    b"a..localhost", b"a/../b.localhost", b"a.localhost/x",
    b"[::1", b"::1", b"[::1]x", b"[::1%25lo]", b"a.localhost:", b"a.localhost:0",
    b"a.localhost:65536", b"a.localhost:+80", b"a.localhost:80:80", b"a.localhost:http",
    b"u@a.localhost", b"u:p@a.localhost", b"1.2.3", b"a.0x7f",
    "b\u00fccher.localhost".encode(), b"b\xfccher.localhost", "a\u3002localhost".encode(),
    b"a" * 64 + b".localhost", b".".join([b"a" * 60] * 5), b"a" * 5000,
    b"a;id.localhost", b"$(id).localhost", b"`id`.localhost", b"-x.localhost", b"--help",
    b"a.-x.localhost", b"%PORT.localhost", b"%HOST", b"%%.localhost", b"a b.localhost",
    b"a,b.localhost", b"*.localhost", b"'a'.localhost",
]  # fmt: skip


def prepare(folder):
    """A folder for the site a.localhost alone."""
    site = folder / "sites" / "a.localhost"
    site.mkdir(parents=True)
    owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    os.chown(site, owner.pw_uid, owner.pw_gid)


@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def everything(folder):
    return {path for path in folder.rglob("*") if path.suffix != ".log"}


def raw(server, *lines, timeout=10.0):
    """A GET with these lines on a connection of its own; its answer, behind which it has ended."""
    with server.client(timeout) as connection:
        connection.send(b"\r\n".join([*lines, b"", b""]))
        response = connection.response()
        assert response.status != 400 or connection.at_end() == b""
        return response


def test_49_what_is_no_host_is_looked_for_nowhere(serve):
    """FAULTS 49, 51, 52, 53, 55: 400, with no stat, no start and no file.

    Whoever would look at a folder or start a program is the spawner, and that is stopped.
    """
    server = serve({"PROJECT_PATH": "<folder>/sites/%HOST"}, prepare=prepare)
    server.wait_for_log("Control socket: ")
    before = everything(server.folder)
    with stopped(server.spawner()):
        for host in BAD:
            response = raw(server, b"GET / HTTP/1.1", b"Host: " + host)
            assert response.status in (400, 431), host
        with server.client() as good:
            good.ask("/", host="b.localhost")
            assert good.quiet(0.3)  # there is no telling without a look
            for pid in server.spawner():
                os.kill(pid, signal.SIGCONT)
            assert good.response().status == 404
    assert server.seen("boot") == []
    assert everything(server.folder) == before
    assert server.request().status == 200


def test_50_one_site_however_it_is_written(serve):
    server = serve()
    hosts = ["a.localhost", "A.LocalHost", "a.localhost.", "a.localhost:8080", "A.LOCALHOST.:1"]
    with server.client() as connection:
        for host in hosts:
            assert connection.request(host=host).get("x-site") == "a.localhost"
    assert len(server.seen("boot")) == 1


def test_51_addresses(serve):
    """FAULTS 51: one key for each way to write an IPv6 address."""
    server = serve({"ALLOWED_HOSTS": ["[::1]", "127.0.0.1"]})
    for host in ("[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]:65535"):
        assert server.request(host=host).get("x-site") == "[::1]"
    assert server.request(host="127.0.0.1:1").get("x-site") == "127.0.0.1"
    assert len(server.seen("boot")) == 2


def test_52_a_labels(serve):
    server = serve()
    host = "xn--bcher-kva.localhost"
    assert server.request(host=host).get("x-site") == host


def test_53_the_longest_host_and_label(serve):
    """FAULTS 53: of 253 and of 63 characters."""
    server = serve()
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 51, "localhost"])
    assert len(longest) == 253
    assert server.request(host=longest).get("x-site") == longest
    assert server.request(host=f"{longest}.:80").get("x-site") == longest


@pytest.mark.parametrize(
    "lines",
    [
        [b"GET / HTTP/1.1"],
        [b"GET / HTTP/1.1", b"Host: a.localhost", b"Host: a.localhost"],
        [b"GET / HTTP/1.1", b"Host: a.localhost", b"host: b.localhost"],
        [b"GET / HTTP/1.1", b"Host: a.localhost, b.localhost"],
        [b"GET http://../x HTTP/1.1", b"Host: a.localhost"],
        [b"GET http://a.localhost/ HTTP/1.1"],
        [b"GET http://a.localhost/ HTTP/1.1", b"Host: ../etc"],
        [b"\0"],
    ],
)
def test_54_bad_requests(serve, lines):
    """FAULTS 54: 400, and no spawn."""
    server = serve()
    assert raw(server, *lines).status == 400
    assert server.seen("boot") == []


def test_54_the_target_wins(serve):
    """FAULTS 54: and the app sees its host alone."""
    server = serve()
    with server.client() as connection:
        response = connection.request("http://A.localhost:81/head?x", host="b.localhost")
    head = response.body.lower()
    assert response.get("x-site") == "a.localhost"
    assert head.startswith(b"get /head?x http/1.1\r\n")
    assert head.count(b"\r\nhost: ") == 1
    assert b"\r\nhost: a.localhost:81\r\n" in head
    assert b"b.localhost" not in head


def test_55_a_host_is_one_word_of_a_command(serve):
    """FAULTS 55: as it is written, with all that a host may contain."""
    server = serve()
    host = "a_b--c.0.port.localhost"
    server.warm(host)
    assert f" --site {host} " in processes.command(server.pid(host))
