"""What shows that a server is ready, by its site file: whole servers."""

import json
import os
import re
import signal

import pytest

from tests.faults.test_reload import reload, replaced
from tests.harness import processes
from tests.harness.server import PYTHON
from tests.integration.test_control import status_of
from tests.integration.test_kept_sites import rows
from tests.integration.test_sites import Sites

WAYS = ["fd", "port", "socket"]


class Gated(Sites):
    """The site a.example, whose server is ready when a file is there."""

    def __init__(self, serve, shown_by, way="fd", text="", **how):
        self.how, self.way, self.text = shown_by, way, text
        super().__init__(serve, {}, **how)
        self.gate = self.log.parent / "gate"
        self.site_file()

    def site_file(self, text="", gate=None, **options):
        """Writes it, with another server than before where options differ."""
        gate = str(gate or self.gate)
        if self.how == "notify":
            options, ready = {"notify_when": gate, **options}, "notify"
        else:
            options, ready = {"health": gate, **options}, "/health"
        keys = f'ready = "{ready}"\n{self.text}{text}'
        self.write("a.example", keys, self.command(self.way, **options))

    def open(self):
        self.gate.touch()

    def states(self):
        return [row["state"] for (site, _), row in rows(self.server).items() if site == "a.example"]

    def asked(self, site="/health"):
        """How often the app was asked for a path."""
        return sum(one["target"] == site for one in self.server.seen("head"))

    def begin(self, client):
        """Asks for the site, and waits until its server has been started and is not ready."""
        processes.until(lambda: status_of(self.server)["site_files"]["sites"] == 1, 20, "the file")
        client.ask("/echo", "a.example")
        processes.until(lambda: self.server.seen("boot"), 20, "the start")
        if self.how == "health":
            processes.until(lambda: self.asked() > 1, 20, "questions")
        assert set(self.states()) == {"waking"}
        assert self.asked("/echo") == 0


def follow(server, number):
    """Has another network process take over: by a reload, or as the one before is killed."""
    if number == signal.SIGHUP:
        reload(server)
        return
    server.expect("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines"}
    os.kill(server.network, number)
    replaced(server)


@pytest.mark.parametrize("how", ["notify", "health"])
@pytest.mark.parametrize("way", WAYS)
def test_nobody_is_connected_before(serve, how, way):
    served = Gated(serve, how, way)
    with served.server.client() as client:
        served.begin(client)
        served.open()
        assert client.response().status == 200
    processes.until(lambda: served.states() == ["awake"], 20, "it to be awake")
    assert len(served.server.seen("boot")) == 1
    if how == "health":
        heads = [one["head"] for one in served.server.seen("head") if one["target"] == "/health"]
        assert all("\r\nHost: a.example\r\n" in head for head in heads)
        asked = served.asked()
        assert served.status("a.example") == 200
        assert served.asked() == asked  # it is asked no more


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("notify", "it never sent READY=1 to .NOTIFY_SOCKET"),
        ("health", r"GET /health \(ready\) was answered 503"),
    ],
)
@pytest.mark.parametrize("way", ["fd", "port"])
def test_a_start_that_fails_names_the_last_answer(serve, how, says, way):
    served = Gated(serve, how, way, "start_timeout = 1\n")
    served.server.expect("not ready after 1 s")
    with served.server.client() as client:
        served.begin(client)
        response = client.response()
    assert response.status == 504
    assert re.search(says, response.body.decode())  # to an operator
    served.server.wait_for_log(f"a.example: stopping .*not ready after 1 s; {says}")


@pytest.mark.parametrize("how", ["notify", "health"])
@pytest.mark.parametrize("way", ["fd", "port"])
def test_one_that_replaces_another_does_so_when_it_is_ready(serve, how, way):
    served = Gated(serve, how, way)
    served.open()
    processes.until(lambda: status_of(served.server)["site_files"]["sites"] == 1, 20, "the file")
    (before,) = served.server.warm("a.example").values()
    other = served.gate.with_name("other")
    served.site_file(gate=other, idle=61)
    processes.until(lambda: len(served.server.seen("boot")) == 2, 20, "another one")
    if how == "health":
        asked = served.asked()
        processes.until(lambda: served.asked() > asked + 1, 20, "questions")
    assert served.server.warm("a.example") == {"a.example": before}
    assert len(served.server.servers()) == 2
    other.touch()
    processes.until(lambda: served.server.warm("a.example") != {"a.example": before}, 20, "a roll")
    processes.until(lambda: len(served.server.servers()) == 1, 20, "the end of the old one")


@pytest.mark.parametrize("how", ["notify", "health"])
@pytest.mark.parametrize("way", ["fd", "socket"])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_successor_waits_for_it_too(serve, how, way, number):
    served = Gated(serve, how, way, how="daemon")
    server = served.server
    with server.client() as client:
        served.begin(client)
        asked = served.asked()
        follow(server, number)
        if how == "health":
            processes.until(lambda: served.asked() > asked + 1, 20, "questions")
        assert served.states() == ["waking"]
        served.open()
        if number == signal.SIGHUP:
            assert client.response().status == 200
    assert served.status("a.example") == 200
    assert len(server.seen("boot")) == 1


# Says that it is ready, and makes a file when that has been read.
SAYS = """
import fcntl, os, socket, sys, termios, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    while any(fcntl.ioctl(notify, termios.TIOCOUTQ, bytes(4))):
        time.sleep(0.01)
open(sys.argv[1] + ".heard", "w").close()
"""
HASTY = '"$1" -I -S -c "$2" "$3"; until test -e "$3"; do sleep 0.05; done; shift 3; exec "$@"'


class Hasty(Gated):
    """One that says that it is ready, and listens when a file is there."""

    def site_file(self):
        name, _, words = self.command(self.way).partition(" = ")
        before = ["sh", "-c", HASTY, "sh", PYTHON, SAYS, str(self.gate)]
        command = f"{name} = {json.dumps([*before, *json.loads(words)])}\n"
        self.write("a.example", 'ready = "notify"\n', command)

    def begin(self, client):
        processes.until(lambda: status_of(self.server)["site_files"]["sites"] == 1, 20, "the file")
        client.ask("/echo", "a.example")
        heard = self.gate.with_name("gate.heard")
        processes.until(heard.exists, 20, "READY=1 to be read")
        assert self.states() == ["waking"]


@pytest.mark.parametrize(("way", "number"), [("port", signal.SIGHUP), ("socket", signal.SIGKILL)])
def test_a_successor_knows_what_it_has_said_before_it_listened(serve, way, number):
    served = Hasty(serve, "notify", way, how="daemon")
    server = served.server
    with server.client() as client:
        served.begin(client)
        follow(server, number)
        assert served.states() == ["waking"]
        served.open()
        if number == signal.SIGHUP:
            assert client.response().status == 200
    assert served.status("a.example") == 200
    assert len(server.seen("boot")) == 1


@pytest.mark.parametrize("how", ["notify", "health"])
def test_each_of_several_servers_is_waited_for(serve, how):
    served = Gated(serve, how, "fd", "processes = 2\n")
    with served.server.client() as client:
        served.begin(client)
        served.open()
        assert client.response().status == 200
    processes.until(lambda: len(served.server.seen("boot")) == 2, 20, "both")
    served.server.wait_for_log(r"a\.example#2: pid \d+ ready", 20)
    if how == "health":
        heads = [one["head"] for one in served.server.seen("head") if one["target"] == "/health"]
        assert all("\r\nHost: a.example\r\n" in head for head in heads)
        assert {one["pid"] for one in served.server.seen("head")} == {
            one["pid"] for one in served.server.seen("boot")
        }


def test_an_app_that_hangs_or_speaks_no_http_is_not_ready(serve):
    served = Gated(serve, "health", "port", "start_timeout = 2\n")
    keys = 'ready = "/garbage"\nstart_timeout = 2\n'
    served.server.expect("not ready after 2 s")
    served.write("b.example", keys, served.command("port"))
    served.until("b.example", 504)
    served.server.wait_for_log(r"b\.example: stopping .*GET /garbage \(ready\) was not answered")
