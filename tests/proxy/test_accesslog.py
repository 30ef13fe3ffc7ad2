"""FAULTS 39: an access log that cannot be written, and can be again."""

import contextlib
import json
import os
import resource

import pytest
from twisted.internet.task import Clock

from luisito.core import access
from luisito.proxy.accesslog import AccessLog
from luisito.proxy.counters import Counters

FORM = access.form("json")
WHO, ASKED = FORM.who(b"1.2.3.4", b"a", b""), FORM.asked(b"GET", b"/", 1)
ENTRY = (b"2024-05-01T12:00:00Z", WHO, ASKED, 200, 1, 2, 0.1, 0.2, FORM.at_once)
LINE = len(FORM.line(ENTRY))


def opened(path):
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def made(counters, counted, path=None):
    log = AccessLog(Clock(), counters, FORM, counted.extend)
    if path is not None:
        log.write_to(opened(path))
    return log


@contextlib.contextmanager
def largest(size):
    """No file can grow beyond so many bytes: a write up to there is short, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, LINE - 1, LINE, LINE + 1, 2 * LINE + 7])
def test_each_line_is_whole_or_counted_as_dropped(tmp_path, room):
    path, counters, counted = tmp_path / "access.log", Counters(), []
    log = made(counters, counted, path)
    with largest(room):
        for _ in range(3):
            log.add(ENTRY)
        log.flush()
        for _ in range(2):
            log.add(ENTRY)
        log.flush()  # not even the end of the torn line can be written
    assert counters.dropped_lines == 5 - room // LINE
    log.add(ENTRY)
    log.add(ENTRY)
    log.close()
    whole = 0
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            whole += json.loads(line)["status"] == 200
    # of one, only the end of the line was missing, and has come since
    assert whole == 7 - counters.dropped_lines + (room == LINE - 1)
    assert counted == [ENTRY] * 7  # whether they could be written or not


@pytest.mark.parametrize("renamed", [True, False])
def test_a_torn_line_is_ended_in_its_own_file_only(tmp_path, renamed):
    path = tmp_path / "access.log"
    log = made(Counters(), [], path)
    with largest(7):
        log.add(ENTRY)
        log.flush()
    log.write_to(opened(tmp_path / "new.log" if renamed else path))
    log.add(ENTRY)
    log.close()
    line = FORM.line(ENTRY)
    assert path.read_bytes() == line[:7] + (b"" if renamed else b"\n" + line)
    assert not renamed or (tmp_path / "new.log").read_bytes() == line


def test_requests_are_counted_where_no_log_is_written():
    counters, counted = Counters(), []
    log = made(counters, counted)
    for _ in range(255):
        log.add(ENTRY)
    log.turn()
    assert counted == []
    log.add(ENTRY)
    log.turn()
    assert counted == [ENTRY] * 256
    log.flush()
    log.add(ENTRY)
    log.close()
    assert counted == [ENTRY] * 257
    assert counters.dropped_lines == 0
