"""The child forked before it is needed: for the next server, settled where all are alike."""

import os
import signal
import socket
import subprocess
import time

import pytest

from luisito.core import wire
from luisito.spawner import channel, tree
from tests.harness import processes

from .conftest import read_all, wait_until


def spare(network, server):
    """Wait until the spare has prepared for a server; return its pid."""
    assert wait_until(lambda: os.path.exists(wire.notify_path(network.hello.runtime_dir, server)))
    return settled(network, network.waiting, least=1)[-1]


def settled(network, listed, least=0):
    """List processes once the spawner and they have done what they were about to do."""
    lists = [None]

    def are():
        lists.append(listed())
        asleep = processes.status(network.spawner)["State"].startswith("S")
        time.sleep(0.01)
        return asleep and lists[-2] == lists[-1] and len(lists[-1]) >= least

    assert wait_until(are)
    return lists[-1]


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
    later = {"9", "10", "11"}  # where both came at once
    assert wait_until(lambda: set(os.listdir(network.hello.runtime_dir)) - later == {"3", "7", "8"})


def two_at_once(network, server, known):
    """Start two; return who waits then, in the order of their numbers."""
    os.kill(network.spawner, signal.SIGSTOP)  # so that it finds both
    network.start(server)
    network.start(server + 1)
    os.kill(network.spawner, signal.SIGCONT)
    known |= {network.wait(wire.Started).pid, network.wait(wire.Started).pid}
    return [pid for pid in settled(network, network.children) if pid not in known]


def others(network):
    """List the children that are no servers and do not wait."""
    return set(network.children()) - {spare(network, 1)}


def burst(network):
    """Start two at once; return the next number, and those that wait."""
    known = others(network)
    for server in range(1, 20, 2):
        waiting = two_at_once(network, server, known)
        if len(waiting) > 1:  # else the spawner had no processor for a tenth of a second
            assert len(waiting) == 4
            return server + 2, waiting
    raise AssertionError("never more than one waits")


def test_in_a_burst_several_wait_each_for_its_number(network):
    network.launch(command=["sleep", "1000"], max_servers=50)
    server, waiting = burst(network)
    for number, pid in enumerate(waiting, server):
        network.start(number)
        assert network.wait(wire.Started).pid == pid
    spare(network, server + 4)


def test_those_below_the_number_that_is_ordered_go(network):
    network.launch(command=["sleep", "1000"], max_servers=50)
    server, (*dropped, third, fourth) = burst(network)
    network.start(server + 2)
    assert network.wait(wire.Started).pid == third
    assert wait_until(lambda: not any(map(tree.status, dropped)))
    network.start(server + 3)
    assert network.wait(wire.Started).pid == fourth


def test_one_of_several_that_is_killed_is_missed_by_none_of_the_others(network):
    network.launch(command=["sleep", "1000"], max_servers=50)
    server, waiting = burst(network)
    os.kill(waiting[1], signal.SIGKILL)
    assert wait_until(lambda: tree.status(waiting[1]) is None)
    started = []
    for number in range(server, server + 4):
        network.start(number)
        started.append(network.wait(wire.Started).pid)
    assert started[1] not in waiting
    assert started[:1] + started[2:] == waiting[:1] + waiting[2:]


def test_those_that_a_burst_has_left_are_called_off(network):
    network.launch(command=["sleep", "1000"], max_servers=50)
    server, waiting = burst(network)
    assert wait_until(lambda: not any(map(tree.status, waiting[1:])))
    network.start(server)  # whose answer comes after what was told before
    assert network.wait(wire.Started).pid == waiting[0]
    told = [server + 1, server + 2, server + 3] if network.spare is not None else []
    assert network.called_off == told


@pytest.mark.parametrize("most", [2, 3, 5, 7])
def test_no_more_wait_than_there_is_room_for(network, most):
    network.launch(command=["sleep", "1000"], max_servers=most)
    waiting = two_at_once(network, 1, others(network))
    assert len(waiting) in (0, 1, min(4, max(1, most - 2)))


def test_where_processes_are_limited_one_waits(network):
    network.launch(command=["sleep", "1000"], rlimits={"nproc": [1000, 1000]}, max_servers=50)
    known = others(network)
    for server in range(1, 10, 2):
        assert len(two_at_once(network, server, known)) <= 1


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
    assert "is left from another server" in fact.message


def tell(network, data, *descriptors):
    """Play the network process that orders the waiting child directly."""
    spare(network, network.last + 1)
    network.silent()  # what came with the spare has been read
    _server, orders = network.spare
    with socket.socket(fileno=os.dup(orders)) as sock:
        channel.send(sock, data, descriptors)
    network.drop_spare()


def test_it_may_be_told_directly(network):
    network.launch(command=["sh", "-c", "readlink /proc/self/fd/%FD; exec sleep 1000"])
    waiting = spare(network, 1)
    order = wire.Start(1, "a.example", None)
    tell(network, wire.encode_start(order), network.listener.fileno())
    assert wait_until(lambda: tree.read(f"/proc/{waiting}/cmdline").startswith(b"sleep"))
    started, output = network.run(1)
    assert started.pid == waiting
    assert network.wait(wire.Running).server == 1
    assert os.read(output, 100).startswith(b"socket:")


def test_one_that_was_told_of_another_site_ends(network):
    network.launch(command=["sleep", "%PORT"])
    waiting = spare(network, 1)
    tell(network, wire.encode_start(wire.Start(1, "b.example", 20001)))
    network.start(1, "a.example")
    assert network.wait(wire.Started).pid == waiting
    assert "told to serve 'b.example'" in network.wait(wire.Failed).message
    assert network.gone()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"2 20001 a.example", "server 2 was ordered from the spare for 1"),
        (b"1 80 a.example", "port 80"),
        (b"1 20001 ../etc", "site"),
        (b"1 20001 -rf", "site"),
        (b"junk", "no order to start"),
        (b"0 9\n1 20001 a.example", "no order to start"),
    ],
)
def test_it_believes_no_more_than_the_spawner_does(each_way, data, message):
    each_way.launch(command=["sleep", "%PORT"])
    waiting = spare(each_way, 1)
    os.kill(waiting, signal.SIGSTOP)  # else it could end before it is ordered, and be replaced
    tell(each_way, data)
    each_way.start(1)
    assert each_way.wait(wire.Started).pid == waiting
    os.kill(waiting, signal.SIGCONT)
    if each_way.starter is not None:
        message = "its process was told something else"
    assert message in each_way.wait(wire.Failed).message
    assert each_way.gone()


def test_one_that_is_told_and_not_ordered_is_no_server(each_way):
    each_way.launch(command=["sleep", "%PORT"])
    tell(each_way, b"1 20001 a.example")
    assert wait_until(each_way.left)
    assert each_way.silent() == []
    each_way.start(7)
    assert each_way.wait(wire.Running).server == 7
    assert [row["server"] for row in each_way.silent()] == [7]
    assert wait_until(lambda: len(each_way.left()) == 1)


def test_without_descriptors_for_another_the_spawner_goes_on(each_way):
    each_way.launch(command=["sleep", "1000", "%PORT"])
    spare(each_way, 1)
    each_way.silent()  # no descriptors are on their way
    limit = ["prlimit", "--pid", str(each_way.spawner)]
    subprocess.run([*limit, "--nofile=3:"], check=True)
    each_way.run(1)
    each_way.wait(wire.Running)
    # It was to fork the next one, and to rehearse what it does with that.
    assert not wait_until(
        lambda: os.path.exists(wire.notify_path(each_way.hello.runtime_dir, 2)), 1
    )
    assert each_way.silent()
    subprocess.run([*limit, "--nofile=1024:"], check=True)
    spare(each_way, 2)
