"""`luisito top`: what a frame says, and a real terminal on which it goes on."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import struct
import sys
import termios

import pytest

from luisito.commands import top
from luisito.commands.top import Frame, Frames
from tests.harness import processes
from tests.harness.server import ROOT
from tests.integration.test_control import luisito

STATUS = {
    "version": "1", "uptime_seconds": 65.0, "waiting": 2, "memory_bytes": 3 << 20,
    "servers": {"waking": 0, "awake": 1}, "max_servers": 4,
}  # fmt: skip


def row(site, number, requests, **more):
    values = {
        "site": site, "worker": None, "id": number, "state": "awake", "pid": number, "in_flight": 0,
        "up_seconds": 5.0, "idle_seconds": None, "requests": requests, "memory_bytes": None,
    }  # fmt: skip
    return {**values, **more}


class Asked:
    """A Luisito that has been asked before: gives one list of rows after another."""

    def __init__(self, *lists, code=200):
        self.lists, self.code = iter(lists), code

    def ask(self, method, target):
        return self.code, STATUS

    def get(self, target):
        return {"servers": next(self.lists)}


def test_rates_are_of_the_time_between_two_frames(monkeypatch):
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(top.time, "monotonic", lambda: next(clock))
    frames = Frames(Asked(
        [row("a", 1, 50)], [row("a", 1, 56), row("b", 2, 4), row("c", None, 0)], [row("a", 3, 2)],
    ))  # fmt: skip
    rates = [
        {one["site"]: one["rate"] for one in frames.next().as_dict("site")["servers"]}
        for _ in range(3)
    ]
    assert rates == [{"a": 0.0}, {"a": 3.0, "b": 2.0, "c": 0.0}, {"a": 1.0}]


def test_a_frame_in_words():
    rows = [
        row("a", 1, 50, rate=1.0),
        row("b", 2, 9, rate=2.5, worker="jobs", memory_bytes=1 << 20),
    ]
    lines = Frame(STATUS, rows).lines("rate")
    assert lines[0] == "luisito 1, up 1 min 5 s: 3.5 requests/s, 2 wait, about 3 MiB"
    assert lines[1] == "0 waking, 1 awake (MAX_SERVERS = 4)"
    assert [line.split()[0] for line in lines[3:]] == ["SITE", "b", "a"]
    assert Frame(STATUS, rows).lines("requests")[4].startswith("a ")
    assert [line.split()[0] for line in Frame(None, rows).lines("site")] == ["SITE", "a", "b"]


@pytest.mark.parametrize("sort", list(top.SORTS))
def test_whatever_is_not_known_sorts_too(sort):
    rows = [row("b", 1, 0, rate=0.0, up_seconds=None), row("a", None, 0, rate=0.0)]
    assert len(Frame(None, rows).as_dict(sort)["servers"]) == 2


@pytest.mark.parametrize(
    ("check", "text"), [(top._every, "0"), (top._every, "x"), (top._times, "0"), (top._times, "-1")]
)
def test_a_number_that_is_none_is_told(check, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"not '{text}'"):
        check(text)


def test_without_a_terminal_it_ends(serve):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost")
    done = luisito(server, "top")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("a.localhost") == 1
    done = luisito(server, "top", "--json", "-n", "2", "--every", "0.1")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["servers"][0]["site"] for frame in frames] == ["a.localhost"] * 2
    assert luisito(server, "top", environ={"LUISITO_RUNTIME_DIR": "/nowhere"}).returncode == 3


def test_on_a_terminal_it_goes_on_until_q(serve):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost")
    server.wait_for_log("Control socket: ")
    environ = {"PYTHONPATH": str(ROOT), "LUISITO_RUNTIME_DIR": str(server.runtime), "TERM": "xterm"}
    pid, terminal = pty.fork()
    if not pid:
        argv = [sys.executable, "-m", "luisito.cli", "top", "--every", "0.1"]
        os.execve(sys.executable, argv, {"PATH": os.environ["PATH"], **environ})
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        shown = [b""]

        def shows(word):
            def found():
                shown[0] += os.read(terminal, 65536)
                return word in shown[0]

            processes.until(found, 20, word)

        shows(b"a.localhost")
        server.warm("xyz.localhost")
        shows(b"xyz")  # curses writes no more than has changed
        os.write(terminal, b"sq")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)
