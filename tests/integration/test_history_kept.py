"""What became of sites is kept in STATE_DIR over reloads and crashes, and told by commands."""

import sqlite3

import pytest

from tests.faults.test_reload import reload
from tests.harness import processes


def kept(server, query):
    connection = sqlite3.connect(server.folder / "state" / "history.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_nothing_is_lost_or_counted_twice_over_a_reload(serve):
    server = serve({"STATE_DIR": "state", "MAX_SERVERS": 2})
    server.warm("a.localhost", "b.localhost", "c.localhost")
    with server.client() as slow:
        slow.ask("/sleep/0.5", host="c.localhost")
        processes.until(lambda: len(server.seen("head")) == 4, 20, "the request")
        reload(server)
        for host in ("c.localhost", "b.localhost", "a.localhost", "a.localhost"):
            assert server.request(host=host).status == 200
        assert slow.response().status == 200
    assert server.stop() == 0
    assert [one.name for one in (server.folder / "state").glob("history*")] == ["history.sqlite"]
    status = (server.folder / "state" / "history.sqlite").stat()
    assert status.st_mode & 0o7777 == 0o640
    assert kept(server, "PRAGMA integrity_check") == [("ok",)]
    requests = kept(server, "SELECT name, requests, c2xx FROM site ORDER BY name")
    assert requests == [("a.localhost", 3, 3), ("b.localhost", 2, 2), ("c.localhost", 3, 3)]
    ends = kept(server, "SELECT sum(stays), sum(starts), sum(readies), sum(evictions) FROM site")
    (stays, starts, readies, evictions), *_ = ends
    assert starts == readies == stays == evictions + 2
    assert evictions >= 2
    (alive, stayed), *_ = kept(server, "SELECT sum(alive), sum(stayed) FROM site")
    assert alive == pytest.approx(stayed, abs=0.5)
    assert kept(server, "SELECT count(DISTINCT process) FROM event") == [(2,)]
