"""Sites with several servers: balance, crashes under load, restarts, and too little room."""

import os
import re
import signal
import threading
from collections import Counter
from http.cookies import SimpleCookie

import pytest

from tests.faults.test_reload import crash, reload, replaced
from tests.harness import processes
from tests.integration.test_control import luisito
from tests.integration.test_kept_sites import rows
from tests.integration.test_sites import Sites, lines


@pytest.fixture
def several(serve):
    def make(text="processes = 3\n", settings=None, **how):
        served = Sites(serve, {"b.example": ""}, settings, **how)
        served.write("a.example", text)
        served.until("a.example", "a.example")
        return served

    return make


def up(served, count, site="a.example"):
    """Waits until so many servers of a site are awake, without asking for any; returns pids."""
    found = {}

    def ready():
        found.clear()
        for (key, worker), row in rows(served.server).items():
            if key.partition("#")[0] == site and row["state"] == "awake" and worker is None:
                found[key] = row["pid"]
        return len(found) == count

    processes.until(ready, 20, f"{count} servers of {site}")
    return found


def own(pid):
    """A process's pid as it sees it itself, in its own namespace."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"NSpid:.*?(\d+)\n", file.read())[1])


def owns(pids):
    return set(map(own, pids.values()))


def asked(served, count, connections, target="/echo"):
    """Many requests at once; returns how many each process has answered."""
    how = {"method": "GET", "target": target, "host": "a.example"}
    answers = served.server.load([how] * count, connections)
    assert [getattr(one, "status", one) for one in answers] == [200] * count
    return Counter(int(one.get("x-pid")) for one in answers)


def test_all_are_started_and_have_an_equal_share(several):
    served = several("processes = 3\nupstream_max = 4\n")
    pids = up(served, 3)
    assert list(pids) == ["a.example", "a.example#2", "a.example#3"]
    shares = asked(served, 120, 12, "/sleep/0.02")
    assert set(shares) == owns(pids)
    assert min(shares.values()) >= 25, shares
    # One after the other on one connection, too.
    with served.server.client() as connection:
        seen = [connection.request("/echo", "a.example").get("x-pid") for _ in range(6)]
    assert seen == seen[:3] * 2
    assert set(map(int, seen)) == owns(pids)
    processes.until(lambda: len(lines(served.server)) >= 127, 20, "all access lines")
    assert {line["site"] for line in lines(served.server)} == {"a.example"}
    assert {line["site"] for line in served.server.seen("boot")} == {"a.example"}  # %HOST


def test_one_that_is_slow_is_sent_fewer(several):
    served = several("processes = 2\n")
    first, second = up(served, 2).values()
    slow = served.server.client()
    slow.ask("/sleep/2", "a.example")
    processes.until(lambda: any(r["in_flight"] for r in rows(served.server).values()), 10, "it")
    busy = next(row["pid"] for row in rows(served.server).values() if row["in_flight"])
    shares = asked(served, 20, 1)
    assert shares == {own(first + second - busy): 20}
    assert slow.response().status == 200


def test_one_is_killed_under_load(several):
    """Nothing idempotent is lost, nobody waits for its next start, and it comes back."""
    served = several()
    pids = up(served, 3)
    how = {"method": "GET", "target": "/sleep/0.05", "host": "a.example"}
    victim = pids["a.example#2"]
    inside = own(victim)

    def kill():
        processes.until(lambda: len(served.server.seen("head")) > 40, 20, "the load")
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    answers = served.server.load([how] * 200, 20)
    killer.join()
    assert [getattr(one, "status", one) for one in answers] == [200] * 200
    assert inside in {int(one.get("x-pid")) for one in answers}
    assert up(served, 3)["a.example#2"] != victim


def test_the_whole_site_is_ended_and_wakes_again(several):
    served = several()
    before = up(served, 3)
    stopped = luisito(served.server, "stop", "a.example")
    assert stopped.returncode == 0, stopped.stderr
    processes.until(lambda: not rows(served.server), 20, "all to stop")
    assert served.site("a.example") == "a.example"
    assert not set(up(served, 3).values()) & set(before.values())
    # Of another number only those are touched that it adds or takes away.
    pids = up(served, 3)
    served.write("a.example", "processes = 2\n")
    assert up(served, 2) == {key: pids[key] for key in ("a.example", "a.example#2")}
    served.write("a.example", "processes = 4\n")
    assert up(served, 4).items() >= {("a.example", pids["a.example"])}
    served.write("a.example")
    assert up(served, 1) == {"a.example": pids["a.example"]}


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_they_live_on(several, how):
    served = several(how="daemon")
    pids = up(served, 3)
    server = served.server
    if how == "restart":
        reload(server, signal.SIGUSR2)
    else:
        server.allow("Taking over: the network process has gone")
        server.unchecked |= {"conservation", "access lines"}
        crash(server, pids)
        replaced(server)
    processes.until(lambda: len(rows(server)) == 3, 20, "the list")
    shares = asked(served, 30, 6)
    assert set(shares) == owns(pids)
    assert up(served, 3) == pids


def test_with_too_little_room_there_are_fewer(several):
    """And another site gets its place, while this one goes on with the rest."""
    served = several("processes = 4\n", {"MAX_SERVERS": 2})
    pids = up(served, 2)
    assert asked(served, 40, 8, "/sleep/0.02").keys() == owns(pids)
    assert served.site("b.example") == "b.example"
    left = up(served, 1)
    assert left.items() < pids.items()
    assert asked(served, 40, 8).keys() == owns(left)
    assert served.site("b.example") == "b.example"


def test_they_roll_one_after_another(several):
    served = several("processes = 2\n", {"MAX_SERVERS": 2})
    before = up(served, 2)
    served.write("a.example", 'processes = 2\nenv = { A = "1" }\n')
    processes.until(
        lambda: not set(before.values()) & set(up(served, 2).values()), 20, "both to roll"
    )
    assert asked(served, 20, 4).keys() == owns(up(served, 2))


def test_mounts_and_workers_and_those_that_are_kept_up(serve):
    served = Sites(serve, {"b.example": ""})
    worker = '[[process]]\nname = "w"\ncommand = "sleep 1000"\n'
    mount = '[[mount]]\npath = "/api"\nprocesses = 3\nkeep = "demand"\n'
    served.write("a.example", f'processes = 2\nkeep = "always"\n{worker}{mount}')
    up(served, 2)
    processes.until(lambda: ("a.example", "w") in rows(served.server), 20, "the worker")
    assert served.server.request("/api/echo", host="a.example").get("x-site") == "a.example"
    assert set(up(served, 3, "a.example/api")) == {
        "a.example/api", "a.example/api#2", "a.example/api#3",
    }  # fmt: skip
    assert [key for key in rows(served.server) if key[1]] == [("a.example", "w")]
    victim = up(served, 2)["a.example#2"]
    os.kill(victim, signal.SIGKILL)
    processes.until(lambda: up(served, 2)["a.example#2"] != victim, 20, "another one")


def test_sticky(several):
    """A client stays where it is, until that has gone; in a browser's own words."""
    served = several("processes = 3\nsticky = true\n")
    pids = up(served, 3)
    server = served.server
    first = server.request("/echo", host="a.example")
    cookie = SimpleCookie(first.get("set-cookie"))["luisito_server"]
    sent = [("Cookie", f"a=1; luisito_server={cookie.value}")]
    how = {"method": "GET", "target": "/sleep/0.01", "host": "a.example"}
    answers = server.load([{**how, "fields": sent}] * 40, 8)
    assert {one.get("x-pid") for one in answers} == {first.get("x-pid")}
    assert not any(one.all("set-cookie") for one in answers)
    seen = server.request("/head", host="a.example", fields=sent).body
    assert b"Cookie: a=1\r\n" in seen
    assert cookie.value.encode() not in seen
    # Others, at the same time and with no cookie, go to those which are not as busy.
    others = server.load([how, {**how, "fields": sent}] * 30, 8)
    free = owns(pids) - {int(first.get("x-pid"))}
    assert free <= {int(one.get("x-pid")) for one in others[::2]} <= owns(pids)
    assert all(one.all("set-cookie") for one in others[::2])
    assert not any(one.all("set-cookie") for one in others[1::2])
    # Its server goes: another one takes its place, and the client keeps to that.
    (mine,) = [pid for pid in pids.values() if str(own(pid)) == first.get("x-pid")]
    os.kill(mine, signal.SIGKILL)
    processes.until(lambda: mine not in [row["pid"] for row in rows(server).values()], 20, "it")
    second = server.request("/echo", host="a.example", fields=sent)
    again = SimpleCookie(second.get("set-cookie"))["luisito_server"]
    assert (second.status, again.value == cookie.value) == (200, False)
    sent = [("Cookie", f"luisito_server={again.value}")]
    for _ in range(5):
        third = server.request("/echo", host="a.example", fields=sent)
        assert third.get("x-pid") == second.get("x-pid")
