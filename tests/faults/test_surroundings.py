"""FAULTS D: disks that are full, clocks that jump, look-ups that hang."""

import glob
import json
import mmap
import pwd
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.harness import client, processes
from tests.harness.server import ROOT


@pytest.mark.root
def test_39_the_disk_of_the_access_log_is_full(serve, small_disk):
    """FAULTS 39: each line is in the file, or counted as dropped."""
    server = serve({"ACCESS_LOG": str(small_disk / "access.log")})
    server.expect("Cannot write the access log: .*No space left on device")
    server.unchecked |= {"access lines"}  # one is torn
    results = server.load(client.gets(["a.localhost"] * 1000), 10)
    server.wait_for_log("Cannot write the access log")
    results += server.load(client.gets(["a.localhost"] * 100), 10)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    results += server.load(client.gets(["b.localhost"] * 10), 10)
    assert client.statuses(results) == {200: 1110}
    assert server.stop() == 0
    *lines, end = (small_disk / "access.log").read_text().split("\n")
    assert end == ""
    whole = [line for line in lines if line.endswith("}")]
    assert len(lines) - len(whole) <= 1
    assert [json.loads(line)["site"] for line in whole][-10:] == ["b.localhost"] * 10
    counters = json.loads(re.findall(r"counters: (\{.*\})", server.log())[-1])
    assert counters["lines"] == 1110
    assert counters["dropped_lines"] == 1110 - len(whole)
    assert 0 < counters["dropped_lines"] < 1000


@pytest.mark.root
def test_39_the_disk_of_our_own_log_is_full(serve, small_disk):
    """FAULTS 39: it starts, serves and ends, and goes on to log when there is room."""
    (small_disk / "other").write_bytes(bytes(64 * 1024))
    own = small_disk / "own.log"
    server = serve({"MAX_SERVERS": 1}, options=[f"--logfile={own}"])
    server.allow("No space left on device|Traceback|Logging error|error")
    server.unchecked |= {"conservation"}  # its counters are in its own log
    for host in ("a.localhost", "b.localhost", "a.localhost"):
        assert server.request(host=host).status == 200
    assert own.read_bytes() == b""
    (small_disk / "other").unlink()
    assert server.request(host="b.localhost").status == 200
    processes.until(lambda: b"b.localhost: started as pid" in own.read_bytes(), 5, "a line")
    assert server.stop() == 0
    assert b"counters: " in own.read_bytes()


@pytest.fixture
def compiled():
    """Compiles a library of tests/apps; returns its path, which all may read."""
    folder = Path(tempfile.mkdtemp(prefix="lt-lib-"))
    folder.chmod(0o755)

    def compiled(name, *flags):
        path = folder / f"{name}.so"
        source = str(ROOT / "tests" / "apps" / f"{name}.c")
        warnings = ["-Wall", "-Wextra", "-Werror"]
        subprocess.run(
            ["gcc", "-shared", "-fPIC", *warnings, *flags, "-o", path, source], check=True
        )
        return path

    yield compiled
    shutil.rmtree(folder)


DAY = 86400


class WallClock:
    """That of a server, to be moved while it runs."""

    def __init__(self, path):
        path.write_bytes(bytes(8))
        path.chmod(0o644)
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def jump(self, seconds):
        self._map[:] = struct.pack("q", struct.unpack("q", self._map[:])[0] + seconds)


@pytest.mark.needs("gcc")
def test_40_the_wall_clock_jumps(serve, compiled, as_whom):
    """FAULTS 40: timeouts come when they are due, and the order of eviction is that of the uses.

    Luisito and its spawner see another time of day; what they wait for is the kernel's business.
    """
    library = compiled("walltime")
    wall = WallClock(library.parent / "offset")
    environ = {"LD_PRELOAD": str(library), "WALL_TIME_OFFSET": str(library.parent / "offset")}

    def prepare(folder):
        if not as_whom:  # with a function, the spawner has our environment, too
            with open(folder / "settings.py", "a") as file:
                file.write("def RUN_AS(site): return None\n")

    settings = {"MAX_SERVERS": 2, "IDLE_TIMEOUT": 30, "RESPONSE_TIMEOUT": 3, "HEAD_TIMEOUT": 2}
    server = serve(settings, ordinary=as_whom, environ=environ, prepare=prepare)
    server.expect("504 for GET /never")
    with server.client() as kept, server.client() as slow:
        assert kept.request().status == 200
        pid = server.pid()
        slow.ask("/sleep/2")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        wall.jump(DAY)
        assert slow.response().status == 200
        assert kept.request().status == 200
        server.warm("b.localhost")
        slow.ask("/never")
        with server.client() as dripping:
            dripping.send(b"GET / HTTP/1.1\r\n")
            # whoever had scheduled by the wall clock would sleep for two days now
            wall.jump(-2 * DAY)
            assert dripping.response().status == 408
        assert slow.response().status == 504
        wall.jump(DAY // 2)
        assert kept.request().status == 200
        assert server.pid() == pid
        # a.localhost was used last
        server.warm("c.localhost")
        wall.jump(-DAY // 4)
        server.warm("d.localhost")
    stopped = re.findall(r"(\S+): stopping pid \d+: room was needed for (\S+)", server.log())
    assert stopped == [("b.localhost", "c.localhost"), ("a.localhost", "d.localhost")]
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.access_path.read_text().splitlines()]
    days = {line["time"][:10] for line in lines}
    assert len(days) == 3  # it did see the jumps
    assert all(0 <= line["total"] < 5 for line in lines)


@pytest.mark.root
@pytest.mark.needs("gcc")
def test_43_passwd_hangs(serve, compiled):
    """FAULTS 43: one user's entry cannot be had; whoever needs it waits, and nobody else."""
    (compat,) = glob.glob("/lib/*/libnss_compat.so.2")
    user = pwd.getpwnam("games")
    library = compiled("slowpasswd", f"-DWHO_ID={user.pw_uid}", f'-DWHO_NAME="{user.pw_name}"')

    def prepare(folder):
        (folder / "nsswitch.conf").write_text("passwd: compat files\ngroup: files\n")
        for site, owner in (("a", "games"), ("b", "backup"), ("c", "daemon")):
            (folder / "sites" / f"{site}.localhost").mkdir(parents=True)
            shutil.chown(folder / "sites" / f"{site}.localhost", owner, owner)

    mounts = (
        f"mount --bind {library} {compat}; mount --bind <folder>/nsswitch.conf /etc/nsswitch.conf"
    )
    server = serve(
        {"PROJECT_PATH": "<folder>/sites/%HOST", "START_TIMEOUT": 3},
        prepare=prepare,
        within=["unshare", "-m", "sh", "-ec", f'{mounts}; exec "$@"', "sh"],
    )
    server.expect("not ready after 3 s", "504 for GET")
    server.warm("b.localhost")
    with server.client() as waiting:
        waiting.ask(host="a.localhost")
        processes.until(lambda: stuck(server), 5, "the look-up")
        for _ in range(20):
            assert server.request(host="b.localhost").status == 200
        server.warm("c.localhost")
        assert waiting.quiet(0.01)
        response = waiting.response()
        assert response.status == 504
        assert b"its command was not executed yet: does a look-up of its user in" in response.body
    processes.until(lambda: not stuck(server), 5, "its end")


def stuck(server):
    """Those below Luisito who wait for an entry for ever."""
    below = processes.descendants(server.process.pid)
    return [pid for pid in below if processes.status(pid).get("Name") == "hangs"]


@pytest.mark.root
def test_43_the_name_server_is_gone(serve):
    """FAULTS 43: nothing is ever looked up there: that would hold the reactor."""

    def prepare(folder):
        (folder / "resolv.conf").write_text("nameserver 127.0.0.77\noptions timeout:30\n")
        (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: dns\n")

    mounts = "; ".join(
        f"mount --bind <folder>/{name} $(readlink -f /etc/{name})"
        for name in ("resolv.conf", "nsswitch.conf")
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as black_hole:
        black_hole.bind(("127.0.0.77", 53))
        black_hole.setblocking(False)
        server = serve(
            {"MAX_SERVERS": 1, "TRUSTED_PROXIES": []},
            way="port",
            prepare=prepare,
            within=["unshare", "-m", "sh", "-ec", f'{mounts}; exec "$@"', "sh"],
        )
        fields = [("X-Forwarded-For", "some.example"), ("Referer", "http://other.example/")]
        for host in ("a.localhost", "b.localhost", "a.localhost"):
            assert server.request(host=host, fields=fields).status == 200
        assert server.request(host="unknown.example", fields=fields).status == 404
        assert server.request("http://else.example/", host="a.localhost").status == 404
        assert server.stop() == 0
        with pytest.raises(BlockingIOError):
            black_hole.recv(512)
