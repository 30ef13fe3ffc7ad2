"""Questions: folders, sockets, log files, lists, adoption."""

import os
import pwd
import signal
import socket
import stat
import time

import pytest

from luisito.core import wire
from luisito.spawner import tree
from luisito.spawner.containment import kill
from tests.harness import processes

from .conftest import PYTHON, wait_until


def ask(network, order):
    network.order(order)
    return network.fact()


def test_folder_exists(network, folder):
    os.mkdir(f"{folder}/a.example")
    os.symlink("a.example", f"{folder}/b.example")
    network.launch(project_path=f"{folder}/%HOST")
    status = os.stat(f"{folder}/a.example")
    assert ask(network, wire.AskFolder(1, "a.example"))[0] == wire.Folder(
        1, True, status.st_uid, status.st_gid, ""
    )
    for ask_id, site in enumerate(["b.example", "c.example", "../x", "A.example"], 2):
        fact, _ = ask(network, wire.AskFolder(ask_id, site))
        assert (fact.ask, fact.exists, fact.uid) == (ask_id, False, None)
        assert fact.message


def test_folder_without_project_path(as_user):
    as_user.launch()
    assert ask(as_user, wire.AskFolder(1, "a.example"))[0].message == "PROJECT_PATH is not set"


LISTEN = """
import os, socket, time
s = socket.create_server(("127.0.0.1", 0))
if not os.fork():
    print(os.fstat(s.fileno()).st_ino, flush=True)
else:
    s.close()
time.sleep(1000)
"""


def test_whose_socket_it_is_33(network):
    network.launch(command=[*PYTHON, LISTEN])
    _, output = network.run()
    assert network.wait(wire.Running).server == 1
    network.run(2, "b.example")
    assert network.wait(wire.Running).server == 2  # as whose user it looks
    os.set_blocking(output, True)
    inode = int(os.read(output, 100))
    foreign = os.fstat(network.sock.fileno()).st_ino
    for server, number, yes in [
        (1, inode, True),
        (2, inode, False),
        (1, foreign, False),
        (9, inode, False),
    ]:
        network.order(wire.AskOwns(1, server, number))
        assert network.wait(wire.Owns) == wire.Owns(1, yes)


def test_logs_are_opened_and_handed_over(network, folder):
    if network.user is not None:
        os.chown(folder, network.uid, -1)
    network.launch(output_log_dir=folder, access_log=f"{folder}/all")
    for site, name in [("a.example", "a.example.log"), (None, "all")]:
        fact, (log,) = ask(network, wire.AskLog(1, site))
        assert fact == wire.Log(1, "")
        os.write(log, b"one\n")
        os.truncate(f"{folder}/{name}", 0)
        os.write(log, b"two\n")
        with open(f"{folder}/{name}") as file:
            assert file.read() == "two\n"
        status = os.stat(f"{folder}/{name}")
        assert stat.S_IMODE(status.st_mode) == 0o640
        assert os.get_blocking(log)


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "folder", "socket"])
def test_a_log_that_is_not_a_plain_file_65_69(as_root, folder, kind):
    path, victim = f"{folder}/a.example.log", f"{folder}/victim"
    open(victim, "w").close()
    if kind == "link":
        os.symlink(victim, path)
    elif kind == "hard link":
        os.link(victim, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)
    else:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
    as_root.launch(output_log_dir=folder)
    for order in (wire.AskLog(1, "a.example"), wire.AskTail(1, "a.example")):
        fact, descriptors = ask(as_root, order)
        assert fact.message
        assert descriptors == []


def test_the_end_of_a_log_is_told(network, folder):
    if network.user is not None:
        os.chown(folder, network.uid, -1)
    network.launch(output_log_dir=folder)
    fact, (tail,) = ask(network, wire.AskTail(1, "a.example"))
    assert (fact, os.pread(tail, 99, 0)) == (wire.Log(1, "", 0), b"")
    assert os.listdir(folder) == []
    with open(f"{folder}/a.example.log", "wb") as file:
        file.write(b"one\ntwo\n")
    os.chmod(file.name, 0o600)
    if network.user is not None:
        os.chown(file.name, network.uid, -1)
    inode = str(os.stat(file.name).st_ino)
    for after, told in [(None, b"one\ntwo\n"), (4, b"two\n"), (8, b""), (9, b"one\ntwo\n")]:
        fact, (tail,) = ask(network, wire.AskTail(1, "a.example", after))
        assert (fact, os.pread(tail, 99, 0)) == (wire.Log(1, "", 8, file=inode), told)


def test_what_was_rotated_is_told_to_its_end_and_then_what_came_after_it(network, folder):
    if network.user is not None:
        os.chown(folder, network.uid, -1)
    network.launch(output_log_dir=folder, log_keep=3)
    name = f"{folder}/a.example.log"
    inodes = {}

    def write(text, mode="xb"):
        with open(name, mode) as file:
            file.write(text)
            inodes[text[:1]] = str(os.fstat(file.fileno()).st_ino)
        if network.user is not None:
            os.chown(name, network.uid, -1)

    def rotate():
        for number in (3, 2, 1):
            old = f"{name}.{number - 1}" if number > 1 else name
            if os.path.exists(old):
                os.rename(old, f"{name}.{number}")

    def tell(after, which):
        fact, (tail,) = ask(network, wire.AskTail(1, "a.example", after, inodes[which]))
        which_now = next(key for key, inode in inodes.items() if inode == fact.file)
        return os.pread(tail, 99, 0), fact.size, which_now, fact.over

    write(b"a1\na2\n")
    assert tell(3, b"a") == (b"a2\n", 6, b"a", False)
    rotate()  # and nothing was begun after it: more may come into it, as after logrotate
    assert tell(3, b"a") == (b"a2\n", 6, b"a", False)
    assert tell(6, b"a") == (b"", 6, b"a", False)
    write(b"b1\n")
    assert tell(3, b"a") == (b"a2\n", 6, b"a", True)
    assert tell(6, b"a") == (b"b1\n", 3, b"b", False)
    rotate()
    write(b"c1\nc2\nc3\n")  # larger than what is known of the other
    assert tell(3, b"a") == (b"a2\n", 6, b"a", True)
    assert tell(6, b"a") == (b"b1\n", 3, b"b", True)
    assert tell(3, b"b") == (b"c1\nc2\nc3\n", 9, b"c", False)
    inodes[b"gone"] = "0"
    assert tell(6, b"gone") == (b"c1\nc2\nc3\n", 9, b"c", False)


@pytest.mark.parametrize("site", ["../../etc/passwd", "a/b", "", "A.EXAMPLE", "a.example"])
def test_what_is_not_configured_is_not_told_69(as_user, site):
    as_user.launch()
    for order in (wire.AskTail(1, site), wire.AskConfig(1, site)):
        fact, descriptors = ask(as_user, order)
        assert fact.message
        assert descriptors == []


@pytest.mark.parametrize("site", ["../../etc/passwd", "a/b", "", "A.EXAMPLE", None, "a.example"])
def test_a_log_that_is_not_configured_69(as_user, site):
    as_user.launch()
    fact, descriptors = ask(as_user, wire.AskLog(1, site))
    assert fact.message
    assert descriptors == []


def test_list(network):
    network.launch(command=["sleep", "%PORT"])
    started = {}
    for server in (1, 2):
        network.start(server, f"s{server}.example")
        started[server] = network.wait(wire.Started).pid
        network.wait(wire.Running)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.getuid())
    network.order(wire.IsReady(1, True))
    network.order(wire.Said(2, 5_000_000, True, 7_000_000, True))
    network.order(wire.Said(3, 5_000_000, True, 7_000_000, True))  # of one that has gone
    # Stopped, or it might have ended before the list is asked for.
    os.kill(started[2], signal.SIGSTOP)
    assert wait_until(lambda: processes.stat(started[2])[0] == "T")
    network.order(wire.Signal(2, "TERM"))
    rows = network.silent()
    now = time.monotonic()
    assert all(now - 60 < row.pop("started") / 1e6 < now for row in rows)
    assert rows == [
        {
            "server": server,
            "site": f"s{server}.example",
            "worker": None,
            "pid": started[server],
            "port": 20000 + server,
            "way": "port",
            "uid": user.pw_uid,
            "gid": user.pw_gid,
            "ready": int(server == 1),
            "ipv6": int(server == 1),
            "stopping": int(server == 2),
            "current": 1,
            "busy_until": 0 if server == 1 else 5_000_000,
            "busy": int(server == 2),
            "extended": 0 if server == 1 else 7_000_000,
            "said_ready": int(server == 2),
            "memory": None,
            "environment": "",
            "preloaded": 0,
        }
        for server in (1, 2)
    ]


def test_a_long_list_comes_in_pieces(as_user):
    as_user.launch(max_servers=250, command=["sleep", "1000"])
    for server in range(1, 151):
        as_user.start(server)
    for _ in range(300):
        as_user.fact()
    as_user.order(wire.AskList(1))
    first, second = as_user.facts(2)
    assert (len(first.servers), first.more) == (100, True)
    assert (len(second.servers), second.more) == (50, False)


def test_adoption(network):
    network.launch(command=["sh", "-c", "echo on; exec sleep 1000"])
    _, output = network.run()
    network.wait(wire.Running)
    fact, (again, notify, listener) = ask(network, wire.Adopt(5, 1))
    assert fact == wire.Adopted(5, 1, "")
    assert os.fstat(again).st_ino == os.fstat(output).st_ino
    assert os.fstat(listener).st_ino == os.fstat(network.listener.fileno()).st_ino
    with socket.socket(fileno=os.dup(notify)) as sock:
        assert sock.getsockname() == f"{network.hello.runtime_dir}/1/notify"
    assert network.wait(wire.Running).server == 1  # told again
    fact, descriptors = ask(network, wire.Adopt(6, 7))
    assert fact.message == "no such server"
    assert descriptors == []


def test_a_file_system_that_hangs_does_not_stop_spawns_43(as_user, folder):
    # A helper that is stopped stands for one that waits for a dead file server.
    as_user.launch(project_path=f"{folder}/%HOST")
    os.mkdir(f"{folder}/a.example")
    assert wait_until(lambda: len(as_user.children()) == 1)
    known = set(as_user.children())
    stopped = None
    number = 0
    while stopped is None:
        number += 1
        as_user.order(wire.AskFolder(number, "a.example"))
        wait_until(lambda: set(as_user.children()) - known, 0.05)
        for pid in set(as_user.children()) - known:
            kill(pid, signal.SIGSTOP)
            if wait_until(lambda pid=pid: is_stopped(pid), 0.02):
                stopped = pid
        if stopped is None:
            as_user.wait(wire.Folder)
    as_user.start(1)
    begun = time.monotonic()
    as_user.wait(wire.Running)
    assert time.monotonic() - begun < 1
    # It is killed at its deadline, and the question is answered all the same.
    while (fact := as_user.wait(wire.Folder)).exists:
        pass
    assert fact.ask == number
    assert "no answer within 5 s" in fact.message
    assert wait_until(lambda: tree.status(stopped) is None)


def is_stopped(pid):
    return b") T " in tree.read(f"/proc/{pid}/stat")


@pytest.mark.parametrize("site", ["../../etc/passwd", "a/b", "", "A.EXAMPLE", "a.example"])
def test_a_waiting_page_of_what_has_no_file(as_user, site):
    as_user.launch()
    fact, descriptors = ask(as_user, wire.AskPage(1, site))
    assert isinstance(fact, wire.Page)
    assert fact.message
    assert descriptors == []
