"""The child forked before it is needed: for the next server, settled where all are alike."""

import os
import signal

from luisito.core import wire
from luisito.spawner import tree

from .conftest import read_all, wait_until


def spare(network, server):
    """Wait until the spare has prepared for a server; return its pid."""
    assert wait_until(lambda: os.path.exists(wire.notify_path(network.hello.runtime_dir, server)))
    return tree.children(network.spawner)[-1]


def uids(pid):
    status = tree.read(f"/proc/{pid}/status").decode()
    return set(status.split("Uid:\t")[1].splitlines()[0].split("\t"))


def test_it_is_the_user_before_anybody_waits(network):
    network.launch(command=["id", "-u"])
    waiting = spare(network, 1)
    own = str(os.geteuid() if network.user is None else network.user.pw_uid)
    user = "65534" if own == "0" else own
    assert wait_until(lambda: uids(waiting) == {user})
    started, output = network.run()
    assert started.pid == waiting
    assert read_all(output) == f"{user}\n"


def test_one_that_has_prepared_for_another_server_goes(network):
    network.launch(command=["sh", "-c", "dirname $NOTIFY_SOCKET"])
    waiting = spare(network, 1)
    started, output = network.run(7)
    assert started.pid != waiting
    assert read_all(output) == f"{network.hello.runtime_dir}/7\n"
    assert wait_until(lambda: tree.status(waiting) is None)
    network.wait(wire.Exited)
    assert wait_until(lambda: os.listdir(network.hello.runtime_dir) == ["8"])


def test_the_next_number_is_above_all_that_were_ordered(network):
    network.launch(command=["sleep", "1000"])
    for server in (7, 3):
        network.run(server)
    spare(network, 8)
    assert sorted(os.listdir(network.hello.runtime_dir)) == ["3", "7", "8"]


def test_one_that_was_killed_is_replaced_and_leaves_nothing(network):
    network.launch(command=["sh", "-c", "dirname $NOTIFY_SOCKET"])
    waiting = spare(network, 1)
    os.kill(waiting, signal.SIGKILL)
    assert wait_until(lambda: tree.status(waiting) is None)
    _, output = network.run()
    assert read_all(output) == f"{network.hello.runtime_dir}/1\n"


def test_one_that_cannot_prepare_says_why_when_somebody_waits(network):
    network.launch(command=["sleep", "1000"])
    spare(network, 1)
    network.run(1)
    os.mkdir(f"{network.hello.runtime_dir}/2")  # in its way
    network.start(2, "b.example")
    fact = network.wait(wire.Failed)
    assert fact.server == 2
    assert "FileExistsError" in fact.message
