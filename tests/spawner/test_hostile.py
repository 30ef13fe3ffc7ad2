"""A network process that was taken over: it gets nothing that it may not have."""

import json
import os
import socket
import time

import pytest

from luisito.core import wire
from luisito.process.launch import launch
from luisito.spawner import channel

from .conftest import configure, wait_until


def raw(network, data, *descriptors):
    channel.send(network.sock, data, descriptors)


def spawned(network):
    return network.left()


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"[" * 65000,
        b'{"op": "exec", "argv": ["id"]}',
        b'{"op": "start", "server": 1, "site": "a.example", "port": null, "uid": 0}',
        b'{"op": "start", "server": 1, "site": "a.example", "port": null, "argv": ["id"]}',
        b'{"op": "signal", "server": 1, "signal": "STOP"}',
        b'{"op": "signal", "server": 1, "signal": 9}',
        b" " * 70000,
    ],
)
def test_malformed_messages_are_refused(as_user, data):
    as_user.launch()
    raw(as_user, data, as_user.listener.fileno())
    assert isinstance(as_user.fact()[0], wire.Refused)
    assert as_user.silent() == []
    assert spawned(as_user) == []


@pytest.mark.parametrize(
    "site",
    ["../etc", "/etc", "-rf", ".a", "", "A.example", "a.example.", "a.example:80", "a/b", "a\0b",
     "a b", "$(id)", "%PORT", "\u00e4.example", "\ud800", "a" * 300],
)  # fmt: skip
def test_foreign_sites_are_refused_49_55(as_user, site):
    as_user.launch()
    as_user.order(wire.Start(1, site, None), as_user.listener.fileno())
    fact, _ = as_user.fact()
    assert isinstance(fact, wire.Failed)
    assert fact.message.startswith("start refused: site")
    assert as_user.silent() == []


@pytest.mark.parametrize("port", [None, 0, 80, 1023, 65536, 2**40])
def test_foreign_ports_are_refused(as_user, port):
    as_user.launch(command=["sleep", "%PORT"])
    as_user.order(wire.Start(1, "a.example", port))
    assert "port" in as_user.wait(wire.Failed).message
    assert as_user.silent() == []


@pytest.mark.parametrize("server", [0, 2**31, 2**62])
def test_foreign_ids_are_refused(as_user, server):
    as_user.launch(command=["sleep", "%PORT"])
    as_user.order(wire.Start(server, "a.example", 20000))
    assert "server id" in as_user.wait(wire.Failed).message


def test_descriptors_that_do_not_fit_are_refused(as_user, folder):
    as_user.launch()
    with (
        open(f"{folder}/x", "w") as file,
        socket.socket() as idle,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        good = as_user.listener.fileno()
        for server, descriptors in enumerate(
            [(), (good, good), (file.fileno(),), (idle.fileno(),), (datagrams.fileno(),)], 1
        ):
            as_user.order(wire.Start(server, "a.example", None), *descriptors)
            assert "descriptor" in as_user.wait(wire.Failed).message
    assert as_user.silent() == []


def test_a_second_configuration_is_refused(as_root):
    as_root.launch(command=["true"])
    as_root.order(configure(command=["id"], run_as="root", allow_root=True))
    assert "not any more, for you to say" in as_root.wait(wire.Refused).message
    as_root.start(1)
    assert as_root.wait(wire.Running).uid != 0


def test_an_id_that_lives_is_refused(as_user):
    as_user.launch()
    as_user.start(1)
    as_user.wait(wire.Running)
    as_user.start(1)
    assert "lives already" in as_user.wait(wire.Refused).message
    assert len(as_user.silent()) == 1


def test_orders_before_the_configuration_are_refused(monkeypatch):
    monkeypatch.setattr(wire, "encode", lambda _order: b'{"op": "list", "ask": 1}')
    with pytest.raises(Exception, match="first order must be configure"):
        launch(configure())


def test_unwanted_descriptors_do_not_pile_up(as_user):
    as_user.launch()
    assert wait_until(lambda: len(as_user.children()) == 1)
    as_user.silent()  # the fork is over
    before = os.listdir(f"/proc/{as_user.spawner}/fd")
    good = as_user.listener.fileno()
    for number in range(50):
        raw(as_user, json.dumps({"op": "list", "ask": number}).encode(), good, good)
        raw(as_user, b"?", good, good, good, good)
        raw(as_user, b'{"op": "start", "server": 1, "site": "?", "port": null}', good, good)
        as_user.facts(3)
    # The last answer is sent before what came with the question is closed.
    assert wait_until(lambda: os.listdir(f"/proc/{as_user.spawner}/fd") == before)


def test_signals_reach_servers_only(as_root):
    as_root.launch()
    for server in (0, 1, os.getpid(), as_root.process.pid):
        as_root.order(wire.Signal(server, "KILL"))
    assert as_root.silent() == []
    assert as_root.process.poll() is None


def test_an_end_that_does_not_read_does_not_grow_the_spawner(as_user):
    as_user.launch()
    sent = 0
    deadline = time.monotonic() + 10
    blocked = None
    while time.monotonic() < deadline:
        try:
            as_user.order(wire.AskList(sent))
            sent += 1
            blocked = None
        except BlockingIOError:
            blocked = blocked or time.monotonic()
            if time.monotonic() - blocked > 0.3:
                break
            time.sleep(0.01)
    assert blocked is not None, "the spawner reads on for ever"
    for number in range(sent):
        assert as_user.fact()[0] == wire.Servers(number, [], False)
