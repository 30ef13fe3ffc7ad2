"""MAX_MEMORY with whole servers whose apps allocate for real."""

import json
import re
import sys

from tests.harness import processes
from tests.integration.test_control import listed, luisito, status_of
from tests.integration.test_kept_sites import up
from tests.integration.test_sites import Sites
from tests.integration.test_workers import ALWAYS, worker

MB = 1024 * 1024


def hungry(serve, megabytes, **settings):
    """Start Luisito with sites that take as much as they are asked to; a bare one takes 15 MB."""
    command = [sys.executable, "-I", "-S", "hungry.py", "%PORT"]
    settings = {"CMD_TPL": command, "MAX_MEMORY": megabytes * MB, **settings}
    return serve(settings, files=("hungry.py",))


def memory(server, host):
    row = listed(server).get(host)
    return (row and row["memory_bytes"]) or 0


def test_idle_ones_go_when_others_grow_the_least_recently_used_first(serve):
    """Invariant 8, for memory: nothing of this takes a request that wants room."""
    server = hungry(serve, 400)
    for host, megabytes in (("a.localhost", 130), ("b.localhost", 120), ("c.localhost", 150)):
        assert server.request(f"/take/{megabytes}", host=host).status == 200
    server.wait_for_log(r"stopping pid \d+: all take", 20)
    assert "a.localhost: stopping" in server.log()
    assert re.search(rf"all take 4\d\d MiB, and MAX_MEMORY is {400 * MB}", server.log())
    processes.until(lambda: list(listed(server)) == ["b.localhost", "c.localhost"], 20, "the end")
    assert 120 * MB < memory(server, "b.localhost") < 150 * MB
    assert status_of(server)["max_memory"] == 400 * MB
    # The last look at c may have been one at which it was still taking its memory.
    processes.until(
        lambda: 270 * MB < status_of(server)["memory_bytes"] < 330 * MB, 20, "the rest's figure"
    )
    assert "MiB" in luisito(server, "list").stdout
    assert f"MAX_MEMORY = {400 * MB}" in luisito(server, "status").stdout


def test_44_one_that_takes_too_much_while_it_is_busy_is_not_ended(serve):
    """FAULTS 44: others wait in the queue, then 503; it goes when it is idle and others wait."""
    server = hungry(serve, 100, QUEUE_TIMEOUT=1)
    server.expect("503 for GET", "by itself, more than MAX_MEMORY")
    pid = server.request("/take/150").body
    server.wait_for_log("takes 1\\d\\d MiB by itself, more than MAX_MEMORY = 104857600: it runs")
    with server.client() as busy:
        busy.ask("/busy/2.5")
        processes.until(lambda: listed(server)["a.localhost"]["in_flight"], 20, "the request")
        assert server.request(host="b.localhost").status == 503
        assert busy.response().body == pid
    assert server.request(host="b.localhost").status == 200
    assert "a.localhost: stopping" in server.log()
    assert "room was needed for b.localhost" in server.log()


def test_a_successor_knows_what_servers_take(serve):
    server = hungry(serve, 1000)
    server.request("/take/40")
    processes.until(lambda: memory(server, "a.localhost") > 40 * MB, 20, "the figure")
    assert luisito(server, "restart").returncode == 0
    row = json.loads(luisito(server, "list", "--json").stdout)["servers"][0]
    assert row["memory_bytes"] > 40 * MB


def test_what_workers_take_is_not_there_for_servers(serve):
    take = f"{sys.executable} -I -S -c 'import time; a = b\"x\" * ({200 * MB}); time.sleep(1000)'"
    served = Sites(serve, {"a.example": "", "b.example": ""}, {"MAX_MEMORY": 210 * MB})
    server = served.server
    before = server.warm("a.example", "b.example")
    assert len(before) == 2
    served.write("c.example", worker("hungry", f"exec {take}", **ALWAYS))
    up(served, "c.example", "hungry")
    server.wait_for_log(r"a\.example: stopping pid \d+: all take 2\d\d MiB", 20)
    assert server.warm("b.example") == {"b.example": before["b.example"]}
    served.write("c.example")
    both = ("a.example", "b.example")
    processes.until(lambda: server.warm(*both) and set(both) <= set(listed(server)), 20, "room")
