"""The soak's own judgement: what it must object to, and what a fault excuses."""

import datetime as dt
import json
import os
import socket
import threading
import time

import pytest

from tests.soak import accounts, clients, picture
from tests.soak.verdict import Verdict
from tests.soak.watch import connections


@pytest.fixture
def verdict(capsys):
    return Verdict()


def written(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def line(nonce, end="", status=200):
    return {"status": status, "end": end, "target": f"/echo/n={nonce}"}


def test_one_access_line_for_each_answer_is_right(tmp_path, verdict):
    verdict.whole("1.1", time.monotonic())
    path = written(tmp_path / "access.log", [line("1.1"), line("1.2", "the client went away", 0)])
    statuses, ends = accounts.access(path, verdict)
    assert verdict.violations == []
    assert statuses == {"200": 1, "0": 1}
    assert ends == {"": 1, "the client went away": 1}


def test_two_lines_for_a_request_and_none_are_violations(tmp_path, verdict):
    verdict.whole("1.2", time.monotonic())
    accounts.access(written(tmp_path / "access.log", [line("1.1"), line("1.1")]), verdict)
    twice, none = (words.partition(": ")[2] for words in verdict.violations)
    assert twice == "2 access lines for the request 1.1"
    assert none.startswith("no access line for the request 1.2, asked at 0.0 s, over at 0.0 s (no")


def test_a_line_may_be_lost_with_a_network_process_that_was_killed(tmp_path, verdict):
    verdict.whole("1.1", time.monotonic())
    verdict.fault("network", "network process killed")
    accounts.access(written(tmp_path / "access.log", []), verdict)
    assert verdict.violations == []


def test_a_line_may_be_lost_while_the_client_still_reads_what_the_kernel_has(tmp_path, verdict):
    """The end comes to a slow reader long after the process that sent it was killed."""
    verdict.fault("network", "network process killed")
    asked = time.monotonic() - 0.01
    verdict.answered["1.1"] = asked, asked + 5
    accounts.access(written(tmp_path / "access.log", []), verdict)
    assert verdict.violations == []


def test_a_kill_long_before_or_after_excuses_no_missing_line(tmp_path, verdict):
    verdict.fault("network", "network process killed")
    now = time.monotonic()
    verdict.answered = {"1.1": (now + 5, now + 6), "1.2": (now - 6, now - 5)}
    accounts.access(written(tmp_path / "access.log", []), verdict)
    assert len(verdict.violations) == 2
    assert "network process killed at 0.0" in verdict.violations[0]


def test_a_post_is_seen_once_and_a_get_twice_at_most(tmp_path, verdict):
    heads = [("1", "POST"), ("2", "GET"), ("2", "GET"), ("3", "POST"), ("3", "POST")]
    rows = [{"event": "head", "nonce": nonce, "method": method} for nonce, method in heads]
    assert accounts.apps(written(tmp_path / "origin.log", rows), verdict) == 5
    assert [words.partition(": ")[2] for words in verdict.violations] == ["apps saw POST 3 2 times"]


def test_a_traceback_in_the_log_is_a_violation(tmp_path, verdict):
    path = tmp_path / "luisito.log"
    path.write_text(
        "a: started as pid 7, in /\nb: stopping: room was needed for a\nTraceback (\n"
        "c: started as pid 8, by its site file, forked by a preloaded interpreter\n"
        "c: pid 8 is frozen until the next request\n"
    )
    assert accounts.log(path, verdict) == {
        "spawns": 2, "evictions": 1, "idle stops": 0, "forked by preloaded interpreters": 1,
        "which could not": 0, "as it was stale": 0, "frozen": 1,
    }  # fmt: skip
    assert len(verdict.violations) == 1


def test_what_the_log_says_of_a_site_that_a_violation_names(tmp_path):
    log = tmp_path / "luisito.log"
    log.write_text(
        "2026-01-01T00:00:10+0000 [-] s011.soak.localhost: too long ago\n"
        "2026-01-01T00:01:15+0000 [-] s011.soak.localhost: of it\n"
        "2026-01-01T00:01:15+0000 [-] s012.soak.localhost: another\n"
        "no time s011.soak.localhost\n"
        "2026-01-01T00:02:00+0000 [-] s011.soak.localhost: too late\n"
    )
    moment = dt.datetime(2026, 1, 1, 0, 1, 20, tzinfo=dt.UTC).timestamp()
    (line,) = accounts.around(log, "at 80.0 s: s011.soak.localhost: 502", moment)
    assert line.endswith(": of it")
    assert accounts.around(log, "at 80.0 s: 23 servers live", moment) == []


def test_what_grows_after_the_warm_up_is_a_violation(verdict):
    rows = [{"rss": min(at, 20), "fds": at} for at in range(60)]
    accounts.flat(rows, verdict, {"rss": 2, "fds": 2})
    assert len(verdict.violations) == 1
    assert "fds grows" in verdict.violations[0]


def test_descriptors_are_told_apart():
    """By how busy the machine is there are more connections or fewer; of the rest there are not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _, before, neither = connections(os.getpid(), port)
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            assert connections(os.getpid(), port) == (1, before + 1, neither)


@pytest.mark.parametrize("what", ["events", "slow_reader"])
def test_who_reads_on_and_on_sees_that_there_is_another_answer(verdict, what):
    """More than that does not come, and the connection stays open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = clients.Traffic(server.getsockname(), verdict, 1)
        asking = threading.Thread(target=client._do, args=(what,))
        asking.start()
        with server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")
            asking.join(10)
            assert not asking.is_alive()
    client._close()
    (told,) = verdict.violations
    assert "502 with no reason" in told


def test_a_killed_app_excuses_its_own_site_only(verdict):
    verdict.fault("app", "app killed", "a")
    now = float("inf")
    assert verdict.excused("app", "a", 0, now)
    assert not verdict.excused("app", "b", 0, now)
    assert not verdict.excused("network", "", 0, now)


def test_the_picture_has_a_line_for_each_column(verdict):
    row = {"requests": 1, "servers": 2, "network_rss": 3.0, "spawner_rss": 1.0, "network_fds": 9,
           "spawner_fds": 8}  # fmt: skip
    drawn = picture.draw([{**row, "seconds": 2.0}, {**row, "seconds": 4.0}], [(3.0, "reload")])
    assert drawn.count("<polyline") == 6
    assert drawn.count('class="mark"') == 4
    assert "red lines: reload" in drawn
