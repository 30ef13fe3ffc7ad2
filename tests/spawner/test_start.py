"""What a server finds when it starts: user, environment, descriptors, folder."""

import json
import os
import pwd
import resource
import socket
import stat
import struct
import time

import pytest

from luisito.core import wire
from luisito.spawner import tree

from .conftest import PYTHON, read_all, wait_until

TELL = """
import json, os, signal, sys
links = {}
for name in os.listdir("/proc/self/fd"):
    try:
        links[name] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
umask = os.umask(0)
ignored = [int(n) for n in range(1, 32) if int(status["SigIgn"], 16) >> (n - 1) & 1]
print(json.dumps({
    "environ": dict(os.environ), "links": links, "status": status, "umask": umask,
    "sid": os.getsid(0), "pid": os.getpid(), "cwd": os.getcwd(), "argv": sys.argv[1:],
    "ignored": ignored, "files": __import__("resource").getrlimit(7)[0],
}))
"""


def told(network, **changes):
    command = changes.pop("command", [*PYTHON, TELL, "%HOST"])
    network.launch(command=command, **changes)
    started, output = network.run()
    text = read_all(output)
    assert network.wait(wire.Running).server == 1
    assert network.wait(wire.Exited) == wire.Exited(1, 0, None)
    return started, json.loads(text)


def test_state_of_a_child_68(network):
    _, child = told(network)
    status = child["status"]
    assert status["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    if network.uid == 0:  # an ordinary user may not empty it
        assert int(status["CapBnd"], 16) == 0
    nobody = pwd.getpwnam("nobody")
    if os.geteuid() == 0:
        assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert set(status["Groups"].split()) <= {str(nobody.pw_gid)}
    assert int(status["SigBlk"], 16) == 0
    # 13 and 25 are ignored by the Python that tells; the spawner must add none.
    assert set(child["ignored"]) <= {13, 25}
    assert child["sid"] == child["pid"]
    assert child["umask"] == 0o022
    assert child["cwd"] == "/"
    assert child["files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_descriptors_are_0_to_3_with_a_handed_over_socket_68(network):
    _, child = told(network)
    links = child["links"]
    listing = links.pop("4", None)  # the listing of the folder itself
    assert listing is None or listing.endswith("/fd")
    assert links["0"] == "/dev/null"
    assert links["1"] == links["2"]
    assert links["1"].startswith("pipe:")
    assert links["3"].startswith("socket:")
    assert len(links) == 4


def test_descriptors_are_0_to_2_without(network):
    _, child = told(network, command=[*PYTHON, TELL, "%PORT"])
    assert child["argv"] == ["20001"]
    assert set(child["links"]) - {"3"} == {"0", "1", "2"}
    assert child["links"].get("3", "/fd").endswith("/fd")


def test_environment_is_scrubbed_68(network, monkeypatch):
    monkeypatch.setenv("SECRET", "of the operator")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LANG", "C.UTF-8")
    env = {"A": "%HOST in %PATH", "B": "%%", "HOME": "/x"}
    _, child = told(network, env=env)
    environ = child["environ"]
    environ.pop("LC_CTYPE", None)  # set by Python for itself
    nobody = pwd.getpwnam("nobody" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    assert environ == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/x",
        "USER": nobody.pw_name,
        "LOGNAME": nobody.pw_name,
        "PYTHONUNBUFFERED": "1",
        "NOTIFY_SOCKET": f"{network.hello.runtime_dir}/1/notify",
        "LUISITO_SERVER": "1",
        "LISTEN_FDS": "1",
        "LISTEN_PID": str(child["pid"]),
        "LISTEN_FDNAMES": "a.example",
        "TEST_MARK": network.mark,
        "A": "a.example in /",
        "B": "%",
    }


def test_pythonunbuffered_is_left_to_env(network):
    _, child = told(network, env={"PYTHONUNBUFFERED": ""})
    assert child["environ"]["PYTHONUNBUFFERED"] == ""


def test_what_was_executed_is_told(network, folder):
    """The words are replaced, and nothing of ENV is in it."""
    network.launch(
        command=[*PYTHON, "import time; time.sleep(1000)", "%HOST", "%PORT", "x" * 3000],
        env={"SECRET": "s3cret-%PORT"},
        cwd=folder,
    )
    started, _ = network.run()
    running = network.wait(wire.Running)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.getuid())
    assert (running.uid, running.gid, running.user) == (user.pw_uid, user.pw_gid, user.pw_name)
    assert running.folder == folder
    *words, last = running.argv
    assert words[-2:] == ["a.example", "20001"]
    assert last.endswith("xxx...")
    assert sum(map(len, running.argv)) <= wire.MAX_COMMAND + 3
    executed = tree.read(f"/proc/{started.pid}/cmdline").decode().split("\0")
    assert executed[: len(words)] == words


def test_containment_is_told(network):
    hello = network.launch().hello
    kind = "pid-namespace" if network.uid == 0 and not network.confined else "guardian"
    assert hello.containment == kind
    assert kind.partition("-")[0] in hello.words


def test_port_is_told_twice(network):
    _, child = told(network, command=[*PYTHON, TELL, "%HOST:%PORT"])
    assert child["argv"] == ["a.example:20001"]
    assert child["environ"]["PORT"] == "20001"
    assert "LISTEN_FDS" not in child["environ"]


def test_socket_folder_lets_in_its_user_and_luisito_only_34(network):
    network.launch(command=["sh", "-c", "umask; echo %SOCKET; exec sleep 1000"])
    _, output = network.run()
    assert network.fact()[0].server == 1
    os.set_blocking(output, True)
    text = ""
    while text.count("\n") < 2:
        text += os.read(output, 4096).decode()
    assert text.split() == ["0007", wire.socket_path(network.hello.runtime_dir, 1)]
    made = os.stat(wire.server_folder(network.hello.runtime_dir, 1))
    assert stat.S_IMODE(made.st_mode) == 0o2710
    assert made.st_uid == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.getuid())
    notify = os.lstat(wire.notify_path(network.hello.runtime_dir, 1))
    assert stat.S_IMODE(notify.st_mode) == 0o600
    assert notify.st_uid == made.st_uid
    assert stat.S_IMODE(os.stat(network.hello.runtime_dir).st_mode) == 0o711


def test_notify_socket_tells_who_sends(network):
    send = (
        "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])"
    )
    network.launch(command=[*PYTHON, send])
    network.start(1)
    _, (_, notify) = network.fact()
    assert network.wait(wire.Exited).code == 0
    with socket.socket(fileno=os.dup(notify)) as sock:
        data, ancillary, _, _ = sock.recvmsg(100, 100)
    assert data == b"READY=1"
    (level, kind, credentials), *_ = ancillary
    assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
    assert struct.unpack("iii", credentials)[1] == (network.uid or pwd.getpwnam("nobody").pw_uid)


def test_folder_decides_user_and_group(as_root, folder):
    user = pwd.getpwnam("daemon")
    os.mkdir(f"{folder}/a.example")
    os.chown(f"{folder}/a.example", user.pw_uid, user.pw_gid)
    os.chmod(f"{folder}/a.example", 0o700)
    _, child = told(
        as_root,
        project_path=f"{folder}/%HOST",
        command=[*PYTHON, TELL, "%UID", "%GID", "%PATH"],
    )
    assert child["argv"] == [str(user.pw_uid), str(user.pw_gid), f"{folder}/a.example"]
    assert child["cwd"] == f"{folder}/a.example"
    assert child["status"]["Uid"].split() == [str(user.pw_uid)] * 4
    assert set(map(int, child["status"]["Groups"].split())) == set(
        os.getgrouplist(user.pw_name, user.pw_gid)
    )
    assert child["environ"]["HOME"] == user.pw_dir


def test_root_only_where_written_out(as_root):
    _, child = told(as_root, run_as="root")
    assert child["status"]["Uid"].split() == ["0"] * 4
    assert int(child["status"]["CapEff"], 16) == 0


def test_a_named_user(as_root):
    _, child = told(as_root, run_as="daemon")
    assert child["environ"]["USER"] == "daemon"


def test_nobody_gets_sigpipe_because_luisito_went(network):
    network.launch(command=["sh", "-c", "read x; echo one; echo two; exit 7"])
    # stdin is /dev/null, so it goes on at once
    network.start(1)
    _, descriptors = network.fact()
    for descriptor in descriptors:
        os.close(descriptor)
        network.descriptors.remove(descriptor)
    assert network.wait(wire.Exited) == wire.Exited(1, 7, None)


def test_facts_come_in_order(network):
    network.launch(command=["true"])
    network.start(1)
    started, running, exited = network.facts(3)
    assert isinstance(started, wire.Started)
    assert isinstance(running, wire.Running)
    assert exited == wire.Exited(1, 0, None)
    if os.geteuid() == 0:
        assert running.uid == pwd.getpwnam("nobody").pw_uid


def test_many_at_once(network):
    network.launch(command=["sh", "-c", "exec sleep 1000"])
    for server in range(1, 21):
        network.start(server, f"s{server}.example")
    seen = network.facts(40)
    assert {fact.server for fact in seen if isinstance(fact, wire.Running)} == set(range(1, 21))
    assert wait_until(lambda: len(network.left()) == 20)


def test_1000_spawns_leave_no_zombie_and_no_descriptor_29(network):
    network.launch(command=["true"])

    def cycle(server):
        network.start(server)
        network.wait(wire.Exited)
        for descriptor in network.descriptors:
            os.close(descriptor)
        network.descriptors.clear()

    def descriptors():
        return len(os.listdir(f"/proc/{network.spawner}/fd"))

    def children():
        return network.children()

    cycle(1)
    settled = 1 if network.guarded else 2  # the spare; init and the spare
    assert wait_until(lambda: len(children()) == settled)
    network.silent()  # the fork is over
    before = descriptors()
    for server in range(2, 101 if network.confined else 1001):
        cycle(server)
    for again in range(5):  # those that were forked for the burst are used up
        time.sleep(0.15)
        cycle(server + 1 + again)
    assert wait_until(lambda: len(children()) == settled and descriptors() == before)
    assert tree.living(children()) == children()
    assert network.folders() == []


def test_the_way_in_is_told(network):
    assert network.launch(command=["x", "%SOCKET"]).hello.way == "socket"


@pytest.mark.parametrize("name", ["PORT", "SOCKET"])
def test_words_in_env_count_for_the_way_in(as_user, name):
    assert as_user.launch(command=["x"], env={"ADDRESS": f"%{name}"}).hello.way == name.lower()
