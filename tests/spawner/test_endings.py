"""Nothing is left: of a server, of a spawner, of a network process, however they end."""

import os
import signal
import socket
import time

import pytest

from luisito.core import wire
from luisito.spawner import tree
from tests.harness.processes import removed

from .conftest import PYTHON, read_all, wait_until

# A daemon in a session of its own, whose parent has gone; then another that lost its mark too.
DAEMONS = (
    "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1000; done' &);"
    "(setsid sleep 1000 &); (sleep 1000 &); sleep 1000 & "
)
STUBBORN = ["sh", "-c", "trap '' TERM HUP; " + DAEMONS + "while :; do sleep 1; done"]


def busy(network, command=STUBBORN, count=5):
    network.launch(command=command)
    network.run()
    network.wait(wire.Running)
    assert wait_until(lambda: len(network.left()) >= count)
    return network


def test_term_reaches_the_whole_tree(network):
    busy(network, ["sh", "-c", "(setsid sleep 999 &); (sleep 999 &); sleep 999 & sleep 1000"], 5)
    network.order(wire.Signal(1, "TERM"))
    assert network.wait(wire.Exited)[:3] == (1, None, signal.SIGTERM)
    assert network.left() == []


def test_kill_leaves_nothing_of_what_ignores_term_27(network):
    busy(network)
    network.order(wire.Signal(1, "TERM"))
    time.sleep(0.1)
    assert len(network.left()) >= 2
    network.order(wire.Signal(1, "KILL"))
    assert network.wait(wire.Exited)[:3] == (1, None, signal.SIGKILL)
    assert network.left() == []
    assert network.folders() == []


def test_daemons_go_with_their_leader_28(network):
    network.launch(command=["sh", "-c", "trap 'exit 3' USR2; " + DAEMONS + "wait"])
    started, _ = network.run()
    network.wait(wire.Running)
    # all four, and what one of them runs
    assert wait_until(lambda: len(network.left()) >= 6)
    family = set(network.left())
    os.kill(started.pid, signal.SIGUSR2)
    exited = network.wait(wire.Exited)
    assert exited[:3] == (1, 3, None)
    assert exited.left in family
    assert network.left() == []


def test_a_daemon_that_hides_where_it_comes_from_28(network):
    seconds = f"{network.listener.getsockname()[1]}99"
    network.launch(
        command=["sh", "-c", f"(env -i setsid sleep {seconds} &); sleep 0.2; exec sleep 1000"]
    )
    network.run()
    network.wait(wire.Running)

    def hidden():
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        wanted = f"sleep\0{seconds}\0".encode()
        return [pid for pid in pids if tree.read(f"/proc/{pid}/cmdline").endswith(wanted)]

    assert wait_until(hidden)
    network.order(wire.Signal(1, "KILL"))
    network.wait(wire.Exited)
    assert hidden() == []


def test_daemons_of_another_site_stay_28(network):
    network.launch(command=STUBBORN)
    network.run(1)
    network.start(2, "b.example")
    assert wait_until(lambda: len(network.left()) >= 10)
    for _ in range(3):
        network.fact()
    before = len(network.left())
    network.order(wire.Signal(1, "KILL"))
    network.wait(wire.Exited)
    # some are between two programs at any moment, and cannot be told then
    assert wait_until(lambda: before / 2 - 1 <= len(network.left()) < before)
    left = network.left()
    # Read at once: a `sleep 1` ends soon, and in the middle of an exec there is no environment.
    environs = [tree.read(f"/proc/{pid}/environ") for pid in left]
    assert any(environs)
    assert all(b"LUISITO_SERVER=2" in environ for environ in environs if environ)


def test_other_signals_arrive(network):
    command = ["sh", "-c", "trap 'echo hup' HUP; trap 'echo usr1; exit 0' USR1; echo on;"]
    command[2] += "while :; do sleep 0.05; done"
    network.launch(command=command)
    _, output = network.run()
    network.wait(wire.Running)
    assert wait_until(lambda: readable(output))
    assert os.read(output, 100) == b"on\n"
    for name in ("HUP", "USR1"):
        network.order(wire.Signal(1, name))
        assert wait_until(lambda: readable(output))
    assert "usr1" in read_all(output)
    assert network.wait(wire.Exited).server == 1


def readable(descriptor):
    import select

    return bool(select.select([descriptor], [], [], 0)[0])


def test_the_network_process_is_killed_30(network):
    busy(network)
    folder = os.open(network.hello.runtime_dir, os.O_PATH)
    network.descriptors.append(folder)
    network.sock.close()
    begun = time.monotonic()
    assert network.process.wait(2) == 1
    assert time.monotonic() - begun < 1
    assert network.gone(1)
    assert removed(folder)


def test_the_spawner_is_killed_30b(network):
    busy(network)
    os.kill(network.spawner, signal.SIGKILL)
    assert network.gone(2)
    network.sock.settimeout(5)  # its children may hold it for a moment
    while network.sock.recv(100000):
        pass
    assert network.process.wait(2) in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_the_folder_of_a_spawner_that_was_killed_is_taken_over(folder, network):
    # one of its own: the usual place is taken by whoever starts first
    if network.user is not None:
        os.chown(folder, network.user.pw_uid, network.user.pw_gid)
    network.launch(runtime_dir=f"{folder}/run")
    os.kill(network.spawner, signal.SIGKILL)
    network.process.wait(2)
    network.sock.close()
    left = network.hello.runtime_dir
    os.mkdir(f"{left}/77")
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(wire.control_path(left))
    # its children hold its lock until they have gone
    assert wait_until(lambda: not network.left())
    network.launch(runtime_dir=left)
    assert not os.path.exists(f"{left}/77")
    assert not os.path.exists(wire.control_path(left))


def test_both_are_killed_30(network):
    busy(network)
    os.kill(network.spawner, signal.SIGSTOP)  # so that it does not end by itself
    network.sock.close()
    os.kill(network.spawner, signal.SIGKILL)
    assert network.gone(2)


def test_the_guardian_is_killed(as_user):
    busy(as_user)
    os.kill(as_user.process.pid, signal.SIGKILL)
    assert as_user.gone(2)
    assert wait_until(lambda: not os.path.exists(f"/proc/{as_user.spawner}/exe"), 2)


def test_the_first_process_of_the_namespace_is_killed(as_root):
    busy(as_root)
    (init,) = (pid for pid in tree.children(as_root.spawner) if tree.innermost(pid) == 1)
    os.kill(init, signal.SIGKILL)
    assert as_root.process.wait(2) == 1
    assert as_root.gone(2)


def test_quit_is_an_orderly_end(network):
    busy(network)
    network.order(wire.Quit())
    assert network.process.wait(2) == 0
    assert network.gone(0)


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("order", [wire.Quit(), None])
def test_a_pidfile_goes_unless_it_is_another_one_by_then(network, folder, order, replaced):
    os.chmod(folder, 0o777)
    path = f"{folder}/pid"
    with open(path, "w", encoding="ascii") as file:
        file.write("1")
    network.launch(pidfile=path)
    if replaced:
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write("2")
        os.rename(f"{path}.new", path)
    if order is None:
        network.sock.close()
    else:
        network.order(order)
    assert network.process.wait(2) == (1 if order is None else 0)
    assert os.path.exists(path) is replaced


def test_a_pidfile_that_is_not_there_or_may_not_be_removed_changes_nothing(network, folder):
    network.launch(pidfile=f"{folder}/pid")
    network.order(wire.Quit())
    assert network.process.wait(2) == 0


@pytest.mark.parametrize("replaced", [None, "socket", "file"])
def test_sockets_go_unless_they_are_others_by_then(network, folder, replaced):
    os.chmod(folder, 0o777)
    path, other = f"{folder}/http.sock", f"{folder}/other.sock"
    listeners = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    listeners[0].bind(path)
    listeners[1].bind(other)
    if network.user is not None:
        for each in (path, other):
            os.chown(each, network.user.pw_uid, -1)
    network.launch(sockets=[path, other])
    os.chmod(path, 0o660)  # it stays the same one
    if replaced is not None:
        os.unlink(path)  # whose inode may be used again at once
    if replaced == "socket":
        listeners[2].bind(path)
    elif replaced == "file":
        open(path, "w").close()
    network.sock.close()
    assert network.process.wait(2) == 1
    assert os.listdir(folder) == ([] if replaced is None else ["http.sock"])
    for each in listeners:
        each.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_meant_for_luisito_do_not_end_the_spawner(network, number):
    network.launch(command=[*PYTHON, "import time; time.sleep(1000)"])
    network.run()
    network.wait(wire.Running)
    for _ in range(10):
        os.kill(network.spawner, number)
        os.kill(network.process.pid, number)
    network.order(wire.AskList(99))
    assert [row["server"] for row in network.wait(wire.Servers).servers] == [1]


def test_a_server_killed_by_somebody_else_25(network):
    network.launch()
    started, _ = network.run()
    network.wait(wire.Running)
    os.kill(started.pid, signal.SIGKILL)
    assert network.wait(wire.Exited) == wire.Exited(1, None, signal.SIGKILL)


def test_a_folder_full_of_files_goes_too(network):
    command = "umask 0; mkdir -p $D/a/b; touch $D/a/x $D/y; ln -s /etc $D/l; mkfifo $D/f"
    network.launch(
        command=["sh", "-c", "D=$(dirname $NOTIFY_SOCKET);" + command],
    )
    network.run()
    network.wait(wire.Exited)
    assert wait_until(lambda: network.folders() == [])
    assert os.path.exists("/etc/passwd")
