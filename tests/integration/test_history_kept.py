"""What became of sites: kept in STATE_DIR over reloads, and told by commands."""

import json
import os
import pwd
import signal
import sqlite3

import pytest

from tests.faults.test_reload import reload
from tests.harness import processes
from tests.integration.test_control import luisito
from tests.integration.test_site_orders import as_games, told

A, B, BAD = "a.localhost", "b.localhost", "bad.localhost"


def kept(server, query):
    connection = sqlite3.connect(server.folder / "state" / "history.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_nothing_is_lost_or_counted_twice_over_a_reload(serve):
    server = serve({"STATE_DIR": "state", "MAX_SERVERS": 2})
    server.warm(A, B, "c.localhost")
    with server.client() as slow:
        slow.ask("/sleep/0.5", host="c.localhost")
        processes.until(lambda: len(server.seen("head")) == 4, 20, "the request")
        reload(server)
        for host in ("c.localhost", B, A, A):
            assert server.request(host=host).status == 200
        assert slow.response().status == 200
    assert server.stop() == 0
    assert [one.name for one in (server.folder / "state").glob("history*")] == ["history.sqlite"]
    status = (server.folder / "state" / "history.sqlite").stat()
    assert status.st_mode & 0o7777 == 0o640
    assert kept(server, "PRAGMA integrity_check") == [("ok",)]
    requests = kept(server, "SELECT name, requests, c2xx FROM site ORDER BY name")
    assert requests == [(A, 3, 3), (B, 2, 2), ("c.localhost", 3, 3)]
    ends = kept(server, "SELECT sum(stays), sum(starts), sum(readies), sum(evictions) FROM site")
    (stays, starts, readies, evictions), *_ = ends
    assert starts == readies == stays == evictions + 2
    assert evictions >= 2
    (alive, stayed), *_ = kept(server, "SELECT sum(alive), sum(stayed) FROM site")
    assert 0 < alive < stayed + 0.1  # nothing twice, and nothing while nobody served
    assert kept(server, "SELECT count(DISTINCT process) FROM event") == [(2,)]


def test_what_servers_were_used_for_goes_over_a_reload(serve):
    """Though it was not time to write it."""
    server = serve({"STATE_DIR": "state", "MAX_SERVERS": 2})
    for _ in range(3):
        server.warm(A, B, "c.localhost")
    before = told(server, "/advice")[1]["uses"]
    assert before >= 8
    reload(server)
    assert told(server, "/advice")[1]["uses"] >= before


def test_what_the_end_of_the_spawner_ends_is_written(serve):
    server = serve({"STATE_DIR": "state"})
    server.warm(A, B)
    server.expect("Stopping: ")
    os.kill(server.spawner()[0], signal.SIGKILL)
    assert server.wait(5) not in (0, None)
    server.unchecked |= {"files"}
    ends = kept(server, "SELECT site, words FROM event WHERE kind = 'exited' ORDER BY site")
    assert [site for site, _ in ends] == [A, B]
    assert all("is gone, as the spawner is" in words for _, words in ends)
    assert kept(server, "SELECT name, requests FROM site ORDER BY name") == [(A, 1), (B, 1)]


def test_commands_say_why_what_failed_and_how_sites_fare(serve):
    server = serve(
        {"MAX_SERVERS": 1},
        origin={BAD: {"exit_early": 3, "say": "no such module\n"}},
    )
    server.expect("exited with code 3")
    server.warm(A, B)
    assert server.request(host=BAD).status == 502

    events = told(server, f"/sites/{A}/events")[1]["events"]
    assert [one["kind"] for one in events] == ["wake", "ready", "evicted", "exited"]
    evicted = events[2]
    assert (evicted["other"], evicted["seconds"]) == (B, events[1]["seconds"])
    assert {one["pid"] for one in events[1:]} == {events[1]["pid"]}
    assert told(server, f"/sites/{A}/events?limit=1&kind=wake")[1]["events"] == events[:1]
    for target in ("/events?limit=0", "/errors?limit=x", "/events?limit=10001", "/events?kind=x"):
        status, found = told(server, target)
        assert (status, "must be" in found["error"]) == (400, True)

    done = luisito(server, "why", A)
    assert done.returncode == 0, done.stderr
    note, wake, _, out, end = done.stdout.splitlines()
    assert "STATE_DIR is not set" in note
    assert wake.endswith("  wake     started for a request")
    assert f"room was needed for {B}; its next start takes about " in out
    assert " exited   pid " in end
    done = luisito(server, "why", "a.localhots")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"luisito: a.localhots is not a site here; the nearest is {A}\n"

    done = luisito(server, "errors")
    assert done.returncode == 0, done.stderr
    now, last = done.stdout.split("\n\n")
    assert f"  {BAD}: the command exited with code 3" in now
    assert "no such module; tried again" in now
    assert f" failed   {BAD}: the command exited with code 3" in last

    found = told(server, "/stats")[1]
    rows = {row["site"]: row for row in found["sites"]}
    assert (found["path"], found["unwritten"], list(rows)) == (None, None, [A, B, BAD])
    assert (rows[A]["cold"], rows[A]["evictions"], rows[A]["cold_share"]) == (1, 1, 1)
    assert rows[A]["pool_seconds"] > 0
    assert rows[B]["alive_seconds"] > 0
    assert (rows[BAD]["failures"], rows[BAD]["by_class"][5]) == (1, 1)
    assert told(server, f"/sites/{A}/stats")[1]["stats"]["requests"] == 1
    assert luisito(server, "stats").stdout.splitlines()[1].startswith("SITE")
    assert "1 answer, half of them" in luisito(server, "stats", A).stdout


@pytest.mark.root
def test_79_a_user_is_told_of_what_became_of_his_own_sites(serve):
    """FAULTS 79: and not of whose sake it was for; all else is denied the same."""

    def prepare(folder):
        for user in ("games", "backup"):
            for site in (f"{user}.example", f"bad.{user}.example"):
                path = folder / "sites" / site
                path.mkdir(parents=True)
                entry = pwd.getpwnam(user)
                os.chown(path, entry.pw_uid, entry.pw_gid)

    settings = {"PROJECT_PATH": "<folder>/sites/%HOST", "MAX_SERVERS": 1}
    bad = ["bad.backup.example", "bad.games.example"]
    server = serve(settings, prepare=prepare, origin={site: {"exit_early": 3} for site in bad})
    server.expect("exited with code 3")
    assert [server.request(host=site).status for site in bad] == [502, 502]
    assert [row["site"] for row in told(server, "/errors")[1]["failed"]] == bad
    server.warm("games.example", "backup.example")
    server.wait_for_log("games.example: pid .* was killed by")
    of_all = as_games(server, "/events")[1]["events"]
    assert {one["site"] for one in of_all} == {"games.example", "bad.games.example"}
    for events in (of_all, as_games(server, "/sites/games.example/events")[1]["events"]):
        evicted = next(one for one in events if one["kind"] == "evicted")
        assert (evicted["other"], "backup" in json.dumps(events)) == (None, False)
    seen = [row["site"] for row in as_games(server, "/stats")[1]["sites"]]
    assert seen == ["bad.games.example", "games.example"]
    assert as_games(server, "/sites/games.example/stats")[1]["stats"]["requests"] == 1
    errors = as_games(server, "/errors")[1]
    for found in (errors["failed"], errors["events"]):
        assert [one["site"] for one in found] == ["bad.games.example"]
    denied = [
        as_games(server, f"/sites/{site}/{what}")
        for site in ("backup.example", "no.example", "-")
        for what in ("events", "stats")
    ]
    assert len({json.dumps(each) for each in denied}) == 1
    assert denied[0][0] == 403
