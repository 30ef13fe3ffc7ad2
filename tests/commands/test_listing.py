"""Rows of `luisito list`: in which order, and what a person reads."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys

import pytest

from luisito.commands import list as listing
from luisito.commands.list import SORTS, STATES
from tests.harness.server import ROOT
from tests.integration.test_control import luisito


def row(site, **more):
    return {
        "site": site,
        "state": "asleep",
        "keep": "demand",
        **dict.fromkeys(("pid", "uid", "up_seconds", "idle_seconds", "in_flight", "requests")),
        **dict.fromkeys(("memory_bytes", "start_seconds", "last_exit", "last_exit_seconds")),
        "error": None,
        **more,
    }


ASLEEP = row("asleep.x")
BUSY = row("busy.x", state="awake", pid=9, up_seconds=50.0, in_flight=3, requests=7, memory_bytes=5)
IDLE = row(
    "idle.x",
    state="awake",
    pid=4,
    up_seconds=9.0,
    idle_seconds=2.0,
    in_flight=0,
    requests=90,
    memory_bytes=8 << 20,
    start_seconds=0.4,
    last_exit="pid 3 exited with code 0 after 8.000 s",
    last_exit_seconds=5.0,
)
FAILED = row("failed.x", state="failed", error="no\nmodule", last_exit="x", last_exit_seconds=1.0)
ROWS = [ASLEEP, BUSY, FAILED, IDLE]


@pytest.mark.parametrize(
    ("by", "first"),
    [
        ("site", ["asleep.x", "busy.x", "failed.x", "idle.x"]),
        ("state", ["failed.x", "busy.x", "idle.x", "asleep.x"]),
        ("pid", ["idle.x", "busy.x"]),
        ("up", ["busy.x", "idle.x"]),
        ("idle", ["idle.x", "asleep.x"]),
        ("in-flight", ["busy.x", "idle.x", "asleep.x"]),
        ("requests", ["idle.x", "busy.x", "asleep.x"]),
        ("memory", ["idle.x", "busy.x"]),
        ("start", ["idle.x", "asleep.x"]),
        ("exit", ["failed.x", "idle.x", "asleep.x"]),
    ],
)
def test_what_counts_first(by, first):
    found = [row["site"] for row in sorted(ROWS, key=SORTS[by])]
    assert found[: len(first)] == first
    assert len(found) == 4


def test_every_state_has_its_place():
    assert {row["state"] for row in ROWS} <= set(STATES)


def test_a_table_of_all_sites():
    head, *lines = listing._text([ASLEEP, IDLE, FAILED], sites=True).splitlines()
    assert head.split()[-2:] == ["LAST", "EXIT"]
    assert lines[0].split() == ["asleep.x", "asleep", "demand", *"-" * 9]
    assert lines[1].endswith("pid 3 exited with code 0 after 8.000 s, 5 s ago")
    assert "8 MiB" in lines[1]
    assert lines[2].endswith("x, 1 s ago")
    assert lines[3] == "failed.x: no module"


@pytest.mark.parametrize(
    ("servers", "sites", "words"),
    [
        ([BUSY, IDLE, FAILED], [BUSY, IDLE, FAILED], ""),
        ([BUSY, FAILED], ROWS, "not shown: 1 asleep; luisito list --all shows all"),
        ([], [], "there is none; sites of other users are told to operators only"),
        ([], ROWS, "not shown: 1 asleep, 1 failed; luisito list --all shows all"),
    ],
)
def test_how_many_are_left_out(servers, sites, words):
    assert listing._rest(servers, sites) == words


def test_what_is_left_out_is_said_on_a_terminal_only(serve):
    server = serve({"MAX_SERVERS": 1})
    server.warm("a.localhost", "b.localhost")
    rest = "not shown: 1 asleep; luisito list --all shows all"

    def shown(*argv):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "luisito.cli", "list", *argv]
        environ = {"PATH": os.environ["PATH"], "LUISITO_RUNTIME_DIR": str(server.runtime)}
        subprocess.run(command, stdout=theirs, cwd=ROOT, env=environ, timeout=60, check=True)
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal:
            text = b""
            with contextlib.suppress(OSError):  # its end
                while data := terminal.read(4096):
                    text += data
        return text.decode().splitlines()

    assert shown()[-1] == rest
    assert len(shown()) == 3
    for options in (["--all"], ["--json"], ["--state", "awake"], ["--state", "asleep"]):
        assert rest not in shown(*options)
    assert rest not in luisito(server, "list").stdout
