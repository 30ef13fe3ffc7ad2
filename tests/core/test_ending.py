import signal

import pytest

from luisito.core.ending import (
    broke,
    code_and_signal,
    ending,
    killing,
    not_stopped,
    signal_name,
    stopping,
    suspicion,
)


@pytest.mark.parametrize(
    ("pid", "starts", "words"),
    [
        (4711, False, "stopping pid 4711: room was needed for b"),
        (4711, True, "stopping pid 4711 while it starts: room was needed for b"),
        (0, False, "start called off: room was needed for b"),
        (0, True, "start called off: room was needed for b"),
    ],
)
def test_told_to_end(pid, starts, words):
    assert stopping(pid, "room was needed for b", starts=starts) == words


def test_killed_since_it_does_not_end():
    assert killing(7, "STOP_TIMEOUT") == "pid 7 does not stop within STOP_TIMEOUT: killing it"
    assert killing(0, "T") == "what was called off does not end within T: killing it"


def test_by_itself():
    assert ending(0, None) == "exited with code 0"
    assert ending(137, None) == "exited with code 137"


def test_by_a_signal():
    assert ending(None, signal.SIGTERM) == "was killed by SIGTERM (15)"
    assert ending(None, signal.SIGSEGV) == "was killed by SIGSEGV (11)"
    assert ending(None, signal.SIGKILL) == "was killed by SIGKILL (9)"


def test_a_status_is_a_code_or_a_signal():
    assert [code_and_signal(status) for status in (0, 7, -9)] == [(0, None), (7, None), (None, 9)]


def test_out_of_memory_perhaps():
    words = suspicion(signal.SIGKILL, killed=False)
    assert words.startswith("; Luisito did not send it")
    assert "memory" in words
    assert suspicion(signal.SIGKILL, killed=True) == ""
    assert suspicion(signal.SIGSEGV, killed=False) == ""
    assert suspicion(None, killed=False) == ""


def test_out_of_memory_for_sure():
    words = suspicion(signal.SIGKILL, killed=False, over_memory=True)
    assert words == "; ended by the kernel for memory: it was over MEMORY_MAX"
    limit = "memory_max = 1024 in /sites/a.example.toml"
    assert suspicion(9, killed=False, over_memory=True, limit=limit).endswith(f"over {limit}")


@pytest.mark.parametrize(("number", "name"), [(1, "SIGHUP (1)"), (40, "signal 40")])
def test_names(number, name):
    assert signal_name(number) == name


@pytest.mark.parametrize(
    ("code", "seconds", "failed"),
    [(3, 0.2, True), (1, 9.9, True), (3, 10.1, False), (0, 0.2, False), (None, 0.2, False)],
)
def test_what_counts_as_a_failed_start(code, seconds, failed):
    assert broke(code, seconds) is failed


def test_a_stop_command_that_has_failed():
    assert not_stopped("/srv/a/stop", 3, None, "TERM") == (
        "stop_command '/srv/a/stop' exited with code 3, and SIGTERM was sent instead; what it wrote"
        " is in the output of the server"
    )
