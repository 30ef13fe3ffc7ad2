"""What has come of an order to start, from what is told of the site."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios

import pytest

from luisito.commands.following import Progress, started, target
from luisito.control.client import ControlError


def site(state, servers=(), **more):
    return {
        "site": "a.x",
        "state": state,
        "servers": list(servers),
        "rolling": False,
        "ordered": False,
        "waiting": 0,
        "error": None,
        "not_started": None,
        "not_replaced": None,
        **more,
    }


def server(number, state="awake", took=0.41):
    return {"id": number, "pid": 100 + number, "state": state, "start_seconds": took}


OLD = frozenset({1})


@pytest.mark.parametrize(
    ("found", "but", "words"),
    [
        (site("asleep", ordered=True), (), None),
        (site("asleep", waiting=1), (), None),
        (site("waking", [server(1, "waking", None)]), (), None),
        (site("awake", [server(1)]), (), "awake after 0.41 s, pid 101"),
        (site("hibernating", [server(1, "hibernating", None)]), (), "hibernating, pid 101"),
        # another one takes its place
        (site("awake", [server(1)], rolling=True), OLD, None),
        (site("awake", [server(1), server(2, "waking")], rolling=True), OLD, None),
        (
            site("awake", [server(1, "draining"), server(2)]),
            OLD,
            "awake after 0.41 s, pid 102",
        ),
        (site("awake", [server(2)], rolling=True), OLD, None),  # it has several
    ],
)
def test_what_has_come_of_it(found, but, words):
    assert started(found, but=frozenset(but)) == words


@pytest.mark.parametrize(
    ("found", "but", "error"),
    [
        (site("failed", error="it exited\nno module"), (), "a.x: it exited no module"),
        (site("asleep", not_started="no room"), (), "a.x: no room"),
        (site("asleep"), (), "a.x: asleep; its start was called off"),
        (site("draining", [server(1, "draining")]), OLD, "a.x: draining; its start was called off"),
        (
            site("awake", [server(1)], not_replaced="it exited"),
            OLD,
            "a.x: a new server did not start, and the old one stays: it exited",
        ),
        (
            site("awake", [server(1)]),
            OLD,
            "a.x: a new server did not start, and the old one stays: it was called off",
        ),
    ],
)
def test_why_nothing_comes_of_it(found, but, error):
    with pytest.raises(ControlError) as raised:
        started(found, but=frozenset(but))
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("site", "resource"),
    [
        ("a.x", "/sites/a.x/stop"),
        ("a.x/api/v1", "/sites/a.x%2Fapi%2Fv1/stop"),
        ("b\u00fccher.localhost", "/sites/xn--bcher-kva.localhost/stop"),
        ("b\u00fccher.localhost/\u00fc", "/sites/xn--bcher-kva.localhost%2F%C3%BC/stop"),
        ("\u00fc..x", "/sites/%C3%BC..x/stop"),  # no host, which is told by who answers
        ("a\udcff.x", "/sites/a%FF.x/stop"),  # what was typed is no UTF-8
    ],
)
def test_a_site_is_named_as_it_is_in_its_host(site, resource):
    assert target(site, "stop") == resource


def test_progress_stays_in_one_line():
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with open(theirs, "w", encoding="utf-8") as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        with Progress() as progress:
            progress.say("x" * 100)
        stderr.write("END")
        stderr.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += os.read(ours, 1000).decode()
    os.close(ours)
    assert max(map(len, shown.split("\r"))) == 39


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_a_terminal_and_goes_again(monkeypatch, terminal):
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with open(theirs, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with Progress() as progress:
            progress.say("a.x: waking, for 1.2 s")
            progress.say("a.x: \x1b")
        stderr.write("END")
        stderr.flush()
        shown = ""
        while not shown.endswith("END"):  # a terminal passes it on in pieces
            shown += os.read(ours, 1000).decode()
        shown = shown.removesuffix("END")
    os.close(ours)
    assert bool(shown) is terminal
    assert "\x1b" not in shown
    assert shown.split("\r")[1:] == (
        ["a.x: waking, for 1.2 s", r"a.x: \x1b".ljust(22), " " * 9, ""] if terminal else []
    )
