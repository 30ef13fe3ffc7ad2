"""`luisito top`: what a frame says, and a real terminal on which it goes on."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pty
import signal
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


class Terminal:
    """A terminal of so many lines, with `luisito top` on it."""

    def __init__(self, server, *options, lines=24, term="xterm", nohup=False):
        server.wait_for_log("Control socket: ")
        environ = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": term,
            "LUISITO_RUNTIME_DIR": str(server.runtime),
        }  # fmt: skip
        self.shown = b""
        self.pid, self._file = pty.fork()
        if not self.pid:
            if nohup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._resize(0, lines)
            argv = [sys.executable, "-m", "luisito.cli", "top", *options]
            os.execve(sys.executable, argv, environ)

    @staticmethod
    def _resize(file, lines):
        fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 100, 0, 0))

    def resize(self, lines):
        self._resize(self._file, lines)

    def shows(self, word):
        """Waits until it has been written since the last one."""

        def found():
            if word not in self.shown:
                self.shown += os.read(self._file, 65536)
            return word in self.shown

        processes.until(found, 20, word)
        self.shown = self.shown.partition(word)[2]

    def end(self):
        """Presses q; returns the exit status."""
        os.write(self._file, b"q")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self):
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


@pytest.fixture
def terminal():
    made = []

    def start(*args, **how):
        made.append(Terminal(*args, **how))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize("term", ["xterm", "vt100"])  # vt100 has no colours
def test_on_a_terminal_it_goes_on_until_q(serve, terminal, term):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost")
    top = terminal(server, "--every", "0.1", term=term)
    top.shows(b"a.localhost")
    server.warm("xyz.localhost")
    top.shows(b"xyz")  # curses writes no more than has changed
    assert top.end() == 0


@pytest.mark.parametrize("term", ["dumb", "none-such", ""])
def test_a_terminal_that_cannot_be_drawn_on_is_told(serve, terminal, term):
    server = serve({"MAX_SERVERS": 2})
    top = terminal(server, term=term)
    top.shows(b"luisito: TERM = '%s': " % term.encode())
    top.shows(b"; set it to the terminal's, such as xterm, or give -n 1")
    assert top.end() == 2


def test_the_keys_have_room_on_a_usual_terminal():
    assert len(top._HELP) < 80


def test_a_small_terminal_shows_that_there_is_more(serve, terminal):
    server = serve({"MAX_SERVERS": 3})
    server.warm("a.localhost", "b.localhost", "c.localhost")
    top = terminal(server, "--every", "3600", "--sort", "site", lines=6)
    top.shows(b"a.localhost")
    top.shows(b"2 more below; q ends")
    top.resize(7)  # which is no reason to wait for the next frame
    top.shows(b"b.localhost")
    top.shows(b"1 more below; q ends")
    top.resize(24)
    top.shows(b"c.localhost")
    assert b"more below" not in top.shown
    assert top.end() == 0


def test_it_ends_with_its_terminal(serve, terminal):
    server = serve({"MAX_SERVERS": 2})
    top = terminal(server, nohup=True)
    top.shows(b"REQ/S")
    top.close()
    try:
        processes.until(lambda: os.waitpid(top.pid, os.WNOHANG)[0], 20, "its end")
    except AssertionError:
        os.kill(top.pid, signal.SIGKILL)
        os.waitpid(top.pid, 0)
        raise


def test_a_key_or_another_size_is_no_reason_to_ask(serve, terminal):
    """What came within a moment would be told as a rate."""
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost")
    top = terminal(server, "--every", "3600")
    top.shows(b"REQ/S")
    server.warm("xyz.localhost")
    top.resize(30)
    os.write(top._file, b"s")
    assert top.end() == 0
    rest = b""
    with contextlib.suppress(OSError):  # its end
        while data := os.read(top._file, 65536):
            rest += data
    assert b"xyz" not in rest
