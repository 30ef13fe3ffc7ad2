"""FAULTS 30, 41 and 42: a network process crashes, is reloaded, restarted, or told to stop."""

import hashlib
import os
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from luisito.control import client as control
from luisito.core.wire import VERSION
from tests.harness import client, processes
from tests.harness.server import ROOT, Daemon
from tests.integration.test_control import luisito
from tests.integration.test_systemd import Manager

HOWS = ["twistd", "tac", "twist", "run", "daemon", "tac daemon"]
TAKEN = r"Taking over, with the settings as they are now"


def settings_of(server, **names):
    """Changes some settings in its file."""
    path = server.folder / "settings.py"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if line.partition(" = ")[0] not in names]
    text = "\n".join([*kept, *(f"{name} = {value!r}" for name, value in names.items())]) + "\n"
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def taken_over(server, times=1, pattern=TAKEN, within=20):
    """Waits until so many successors serve; returns the log."""
    listening = re.compile(rf"{pattern}(.|\n)*?Listening on")
    processes.until(lambda: len(listening.findall(server.log())) >= times, within, "a succession")
    return server.log()


def crash(server, hosts):
    """Kills the network process, which has told the spawner that the servers of these are ready.

    Answers may come before that; whoever follows then would find them starting.
    """
    for host in hosts:
        server.wait_for_log(rf"{host}: pid \d+ ready after")
    os.kill(server.network, signal.SIGKILL)


def waiting(server):
    """How many requests wait for a server."""
    return control.ask(f"{server.runtime}/control.sock", "GET", "/status")[1]["waiting"]


def replaced(server, times=1):
    """Waits until one that has crashed was replaced, so many times."""
    return taken_over(server, times, "Taking over: the network process has gone")


def reload(server, number=signal.SIGHUP, times=1):
    server.send_signal(number)
    return taken_over(server, times)


# -- a reload, a restart


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_41_a_successor_goes_on_with_all(serve, how, number, as_whom):
    """However it was started: no server is started anew, no request lost, and it ends as ever."""
    server = serve(how=how, ordinary=as_whom)
    pids = server.warm("a.localhost", "b.localhost")
    before = server.network
    with server.client() as idle, server.client() as busy:
        assert idle.request().status == 200
        busy.ask("/sleep/2")
        processes.until(lambda: len(server.seen("head")) == 4, 5, "the request")
        reload(server, number)
        assert server.network != before
        # what it had in flight is finished by the old one, and its client goes on with the new one
        assert busy.response().status == 200
        assert busy.request().status == 200
        assert idle.request().status == 200
    assert server.warm("a.localhost", "b.localhost") == pids
    assert len(server.seen("boot")) == 2
    stays = [] if "daemon" in how else [server.process.pid]
    processes.until(lambda: server.networks()[:-1] == stays, 10, "the end of the old one")
    assert server.stop() == 0


class Load(threading.Thread):
    """Requests on 64 connections, one behind the other on each, until it is enough.

    Attributes:
        answers: {status or name of exception: how often}.
    """

    def __init__(self, server, hosts):
        super().__init__()
        self._server, self._hosts = server, hosts
        self._enough = threading.Event()
        self.answers = {}

    def run(self):
        while not self._enough.is_set():
            results = self._server.load(client.gets(self._hosts * 200), 64)
            for what, times in client.statuses(results).items():
                self.answers[what] = self.answers.get(what, 0) + times

    def more(self, rounds=2):
        """Waits for some more rounds of it."""
        before, each = sum(self.answers.values()), len(self._hosts) * 200
        wanted = before + rounds * each
        processes.until(lambda: sum(self.answers.values()) >= wanted, 60, "more requests")

    def end(self):
        self._enough.set()
        self.join()


class Download(threading.Thread):
    """A client that reads a long answer slowly, until it is told to read on.

    Args:
        server: to ask.
        size: bytes.
        pace: bytes in a second, until then.
    """

    def __init__(self, server, size, pace):
        super().__init__()
        self._client = server.client(60)
        self._size, self._piece = size, pace // 20
        self._hurry = threading.Event()
        self.read, self._digest = 0, hashlib.sha256()
        sock = self._client.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._client.ask(f"/bytes/{size}")

    def run(self):
        sock = self._client.sock
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(4096)
        data = data.partition(b"\r\n\r\n")[2] or sock.recv(4096)
        while data:
            self.read += len(data)
            self._digest.update(data)
            if not self._hurry.is_set():
                time.sleep(0.05)
            data = sock.recv(min(self._size - self.read, self._piece)) if self.left else b""

    @property
    def left(self):
        return self._size - self.read

    def whole(self):
        """Reads the rest; whether it was all that was asked for."""
        self._hurry.set()
        self.join()
        whole = (bytes(range(256)) * (self._size // 256 + 1))[: self._size]
        return self._digest.digest() == hashlib.sha256(whole).digest()


@pytest.mark.parametrize("how", ["daemon", "under systemd"])
def test_41_under_load_nothing_is_lost_by_a_restart(serve, how, tmp_path):
    """A download and a tunnel go on in the process before, which ends after the last of them."""
    hosts = [f"{name}.localhost" for name in "abcdef"]
    tmp_path.chmod(0o755)
    manager = Manager(tmp_path, abstract=True)
    server = serve(
        {"DRAIN_TIMEOUT": 120},
        how="daemon" if how == "daemon" else "twistd",
        pidfile=True,
        environ={"NOTIFY_SOCKET": manager.name} if how != "daemon" else {},
    )
    pids = server.warm(*hosts)
    pidfile, before = server.folder / "pid", server.network
    main = int(pidfile.read_text())
    assert main in server.spawner()
    load, download = Load(server, hosts), Download(server, 48 << 20, 1 << 19)
    tunnel = server.client()
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "echo")]
    tunnel.ask("/upgrade", "b.localhost", fields=upgrade)
    assert tunnel.response().status == 101
    load.start()
    download.start()
    load.more()

    done = luisito(server, "restart")
    assert (done.returncode, done.stderr) == (0, "")
    assert server.networks() == [before, server.network]
    load.more(5)  # some seconds
    tunnel.send(b"ping")
    assert tunnel.sock.recv(100) == b"ping"
    assert download.left > 16 << 20  # more than sockets hold: it is still being sent
    load.end()
    assert load.answers.keys() == {200}
    assert server.warm(*hosts) == pids
    assert len(server.seen("boot")) == len(hosts)

    assert download.whole()
    tunnel.send(b"pong")
    assert tunnel.sock.recv(100) == b"pong"
    assert before in server.networks()
    tunnel.sock.shutdown(socket.SHUT_WR)
    assert tunnel.at_end() == b""
    processes.until(lambda: before not in server.networks(), 10, "the end of the old one")
    assert int(pidfile.read_text()) == main
    if how != "daemon":
        manager.read()
        assert manager.main == main
        assert server.wait() == 0  # whom nobody waits for
        server.process = Daemon(main)
    manager.close()
    assert server.warm(*hosts) == pids
    assert server.stop() == 0
    assert not pidfile.exists()


def test_41_100_hangups_are_one_reload(serve, as_whom):
    """FAULTS 41: no request is dropped, and its settings are in force."""
    server = serve({"MAX_HEAD_SIZE": 4096}, ordinary=as_whom)
    server.warm("a.localhost")
    statuses, done = [], threading.Event()

    def ask():
        while not done.is_set():
            statuses.append(server.request("/bytes/10").status)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    settings_of(server, MAX_HEAD_SIZE=1024)
    for _ in range(100):
        server.send_signal(signal.SIGHUP)
    taken_over(server)
    so_far = len(statuses)
    processes.until(lambda: len(statuses) > so_far + 20, 10, "requests after it")
    done.set()
    for thread in asking:
        thread.join()
    assert set(statuses) == {200}
    assert server.request(fields=[("x-long", "x" * 2000)]).status == 431
    assert len(re.findall(TAKEN, server.log())) == 1
    assert len(server.seen("boot")) == 1


def test_41_bad_settings_change_nothing(serve, as_whom):
    """FAULTS 41: the log says why."""
    server = serve(ordinary=as_whom)
    pids = server.warm("a.localhost")
    network = server.network
    server.expect(r"nothing was restarted: .*settings.py:\d+: MAX_SERVERS = 0: ")
    settings_of(server, MAX_SERVERS=0)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("all goes on as it was")
    assert server.networks() == [network]
    assert server.warm("a.localhost") == pids
    settings_of(server, MAX_SERVERS=3)
    reload(server)
    assert server.warm("a.localhost") == pids


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"LISTEN": "tcp:<taken>:interface=127.0.0.1"}, "LISTEN: cannot listen on .*Address al"),
        ({"RUNTIME_DIR": "/tmp/elsewhere"}, "RUNTIME_DIR = '/tmp/elsewhere': it is .*stop and sta"),
        ({"CMD_TPL": 'python3 "%FD'}, "balance the quotes"),
        ({"STATE_DIR": "/etc/passwd"}, "STATE_DIR = '/etc/passwd': "),
    ],
)  # fmt: skip
def test_what_cannot_be_changes_nothing(serve, names, words):
    server = serve()
    pids = server.warm("a.localhost")
    server.expect(f"nothing was restarted: .*{words}")
    server.allow("Cannot start: ")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        settings_of(server, **{n: v.replace("<taken>", taken) for n, v in names.items()})
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("all goes on as it was")
    assert server.warm("a.localhost") == pids


def test_one_that_ends_without_a_word_changes_nothing(serve):
    """As new code may that has a fault."""
    server = serve()
    pids = server.warm("a.localhost")
    server.expect("nothing was restarted: pid .* ended with status 7")
    (server.folder / "settings.py").write_text("import os\nos._exit(7)\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("all goes on as it was")
    assert server.warm("a.localhost") == pids


@pytest.mark.root
@pytest.mark.parametrize("after", ["reload", "crash"])
def test_a_successor_keeps_nothing_of_root(serve, after):
    server = serve(how="daemon")
    pids = server.warm("a.localhost")
    if after == "reload":
        reload(server)
    else:
        server.allow("Taking over: the network process has gone")
        server.unchecked |= {"conservation", "access lines"}
        crash(server, pids)
        taken_over(server, 1, "Taking over: the network process has gone")
    status = processes.status(server.network)
    assert "0" not in [*status["Uid"].split(), *status["Gid"].split(), *status["Groups"].split()]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"


@pytest.mark.root
def test_listening_sockets_come_and_go(serve):
    """One below 1024 too, which the process that serves could not bind."""
    server = serve({"LISTEN": ["tcp:<port>:interface=127.0.0.1", "unix:<folder>/one.sock"]})
    server.warm("a.localhost")
    settings_of(
        server,
        LISTEN=[
            f"tcp:{server.port}:interface=127.0.0.1",
            "tcp:81:interface=127.0.0.1",
            f"unix:{server.folder}/two.sock",
        ],
    )
    reload(server)
    assert server.request().status == 200
    with client.Client(("127.0.0.1", 81), server.ledger) as second:
        assert second.request().status == 200
    assert not (server.folder / "one.sock").exists()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect(str(server.folder / "two.sock"))
    reload(server, times=2)
    with client.Client(("127.0.0.1", 81), server.ledger) as second:
        assert second.request().status == 200
    assert server.stop() == 0
    assert not (server.folder / "two.sock").exists()


def test_a_changed_command_is_taken_by_the_next_request(serve):
    """What is in flight on the old server is finished there."""
    server = serve()
    before = server.warm("a.localhost")["a.localhost"]
    with server.client() as busy:
        busy.ask("/sleep/2")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        settings_of(server, ENV={"CHANGED": "yes"})
        reload(server)
        after = server.warm("a.localhost")["a.localhost"]
        assert after != before
        response = busy.response()
        assert (response.status, int(response.get("x-pid"))) == (200, before)
    server.wait_for_log("the settings it was started by have changed")
    assert server.warm("a.localhost")["a.localhost"] == after


def test_a_request_that_waits_is_served_by_whoever_serves(serve):
    """It waits for a server that starts, all through the succession."""
    server = serve(origin={"*": {"boot_delay": 3}})
    with server.client() as waiting:
        waiting.ask("/echo")
        server.wait_for_log("started as pid")
        reload(server)
        assert waiting.response().status == 200
    assert len(server.seen("boot")) == 1


def test_a_start_that_somebody_waits_for_makes_no_room_for_others(serve):
    """Whoever waits for room was told of first, and yet takes none from it."""
    origin = {"a.localhost": {"boot_delay": 6}}
    settings = {"MAX_SERVERS": 1, "QUEUE_TIMEOUT": 60, "DRAIN_TIMEOUT": 60}
    server = serve(settings, way="port", origin=origin)  # nobody is connected before it is ready
    with server.client(30) as first, server.client(30) as second:
        first.ask("/echo", "a.localhost")
        server.wait_for_log("a.localhost: started as pid")
        second.ask("/echo", "b.localhost")
        reload(server)
        assert first.response().status == 200
        assert second.response().status == 200
    assert [boot["site"] for boot in server.seen("boot")] == ["a.localhost", "b.localhost"]
    assert "while it starts" not in server.log()


@pytest.mark.parametrize("how", ["twistd", "daemon"])
def test_ten_reloads_leave_nothing_behind(serve, how):
    server = serve(how=how)
    pids = server.warm("a.localhost", "b.localhost")
    reload(server, times=1)
    settle = 1 if how == "daemon" else 2
    processes.until(lambda: len(server.networks()) == settle, 10, "the end of the old one")
    server.warm("a.localhost")
    before = server.descriptors()
    for times in range(2, 6):
        reload(server, times=times)
        processes.until(lambda: len(server.networks()) == settle, 10, "the end of the old one")
    assert server.warm("a.localhost", "b.localhost") == pids
    processes.until(
        lambda: [len(d) for d in server.descriptors()[1:]] == [len(d) for d in before[1:]],
        5,
        f"as many descriptors as before: {before}",
    )


def test_the_logs_are_opened_again_by_whoever_serves(serve):
    server = serve(how="daemon")
    server.warm("a.localhost")
    reload(server)
    for name in ("luisito.log", "access.log"):
        (server.folder / name).rename(server.folder / f"{name}.1")
    server.send_signal(signal.SIGUSR1)
    for name in ("luisito.log", "access.log"):
        processes.until((server.folder / name).exists, 5, name)
    server.warm("a.localhost")
    assert server.stop() == 0
    for name in ("luisito.log", "access.log"):
        text = (server.folder / f"{name}.1").read_text() + (server.folder / name).read_text()
        (server.folder / name).write_text(text)


def test_one_that_hangs_is_followed_and_does_not_stay(serve):
    server = serve(how="daemon")
    server.expect("has not told what it has in flight within 5 s")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost")
    before = server.network
    os.kill(before, signal.SIGSTOP)
    server.send_signal(signal.SIGHUP)
    # it is waited for, first to make way and then to tell what it has
    taken_over(server, within=60)
    assert server.warm("a.localhost") == pids
    processes.until(lambda: before not in server.networks(), 60, "the end of the old one")
    assert server.warm("a.localhost") == pids
    assert server.stop() == 0


# -- the pidfile and signals


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon", "tac daemon"])
def test_the_pidfile_names_one_that_stays(serve, how, as_whom):
    server = serve(how=how, ordinary=as_whom, pidfile=True)
    path = server.folder / "pid"
    pid = int(path.read_text())
    for times in (1, 2):
        os.kill(pid, signal.SIGHUP)
        taken_over(server, times)
        assert int(path.read_text()) == pid
    os.kill(pid, signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


@pytest.mark.parametrize("how", ["twistd", "daemon"])
def test_42_ten_sigterms_after_a_reload(serve, how, as_whom):
    """FAULTS 42: one drain, exit 0 before the deadline."""
    server = serve({"DRAIN_TIMEOUT": 20}, how=how, ordinary=as_whom)
    server.warm("a.localhost")
    reload(server)
    with server.client() as busy:
        busy.ask("/sleep/1")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        for _ in range(10):
            server.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert busy.response().status == 200
    assert server.wait() == 0
    assert server.log().count("finishing what is in flight, then stopping") == 1


def test_42_told_to_stop_while_a_successor_starts(serve, as_whom):
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")
    server.send_signal(signal.SIGHUP)
    processes.until(lambda: len(server.networks()) == 2, 10, "a successor")
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 0


def test_42_told_to_stop_while_one_makes_way(serve):
    """Whoever follows is told so at once: it waits for what it takes over, and finishes that."""
    server = serve(how="daemon")
    server.warm("a.localhost")
    before = server.network
    with server.client() as busy:
        busy.ask("/sleep/3")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        os.kill(before, signal.SIGSTOP)
        server.send_signal(signal.SIGHUP)
        processes.until(lambda: server.log().count("Network process: uid") == 2, 10, "a successor")
        time.sleep(1)  # until it could serve, and the one before was told to make way
        server.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # until the spawner has passed it on
        os.kill(before, signal.SIGCONT)
        assert busy.response().status == 200
    assert server.wait() == 0


# -- a crash


@pytest.mark.parametrize("how", ["daemon", "tac daemon"])
def test_30_a_crash_is_replaced(serve, how, as_whom):
    """FAULTS 30: within a second another one serves, with the same servers."""
    server = serve(how=how, ordinary=as_whom)
    server.allow("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost", "b.localhost")
    # somebody is in the middle of editing it
    (server.folder / "settings.py").write_text("CMD_TPL = 'python3 %")
    for times in (1, 2):
        crash(server, pids)
        taken_over(server, times, "Taking over: the network process has gone")
        assert server.warm("a.localhost", "b.localhost") == pids
    assert len(server.seen("boot")) == 2
    assert server.stop() == 0


@pytest.mark.parametrize("way", ["fd", "port"])
def test_30_the_log_tells_of_what_has_ended_while_nobody_served(serve, way):
    server = serve({"ON_CRASH": "replace"}, way=way, how="daemon")
    server.allow("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost", "b.localhost")
    network, pid = server.network, server.pid("a.localhost")
    crash(server, pids)
    processes.until(lambda: (processes.stat(network) or "Z")[0] == "Z", 20, "its end")
    os.kill(pid, signal.SIGKILL)
    server.wait_for_log(rf"a\.localhost: pid {pid} was killed by SIGKILL", 20)
    replaced(server)
    again = server.warm("a.localhost", "b.localhost")
    assert again["b.localhost"] == pids["b.localhost"]
    assert again["a.localhost"] != pids["a.localhost"]


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_30_servers_are_adopted_whatever_their_way_in(serve, way):
    server = serve({"ON_CRASH": "replace", "START_TIMEOUT": 2}, way=way, how="daemon")
    server.allow("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost", "b.localhost")
    crash(server, pids)
    # they wait in the listening socket, which has been open all the time
    results = server.load(client.gets(["a.localhost", "b.localhost"] * 10), 5)
    assert client.statuses(results) == {200: 20}
    assert server.warm("a.localhost", "b.localhost") == pids
    time.sleep(2.5)  # what would not be ready within START_TIMEOUT would be stopped
    assert server.warm("a.localhost", "b.localhost") == pids


def test_30_what_the_one_before_still_has_goes_on_with_the_next(serve):
    """It had made way for the one that crashes, and had requests waiting there."""
    server = serve({"MAX_SERVERS": 1, "OVERLAP": 0}, how="daemon")
    server.allow("Taking over: the network process has gone")
    server.allow("The process that took over has crashed")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost")
    with server.client() as busy, server.client() as waits:
        busy.ask("/sleep/4")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        waits.ask("/echo", "b.localhost")
        processes.until(lambda: waiting(server) == 1, 5, "one that waits for room")
        reload(server)
        os.kill(server.network, signal.SIGKILL)
        taken_over(server, 1, "Taking over: the network process has gone")
        assert busy.response().status == 200
        assert waits.response().status == 200
        # both go on with the new one
        assert busy.request("/echo", "b.localhost").status == 200
        assert waits.request("/echo", "b.localhost").status == 200
    assert [row["site"] for row in server.seen("boot")] == ["a.localhost", "b.localhost"]
    assert pids.keys() == {"a.localhost"}
    assert server.stop() == 0


def test_30_what_one_has_goes_on_where_the_next_crashes_after_it_has_made_way(serve):
    """Both have made way: the first has its lease by the second, which is not there any more."""
    server = serve({"DRAIN_TIMEOUT": 30}, how="daemon")
    server.allow("Taking over: one by which others had their leases has crashed: pid")
    server.allow("The process that took over has crashed")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost")
    with server.client() as busy, server.client() as lost:
        busy.ask("/sleep/8")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        reload(server)
        lost.ask("/sleep/20")
        processes.until(lambda: len(server.seen("head")) == 3, 5, "the request")
        reload(server, times=2)
        first, second, _ = server.networks()
        os.kill(second, signal.SIGKILL)
        taken_over(server, 1, "Taking over: one by which others")
        assert first in server.networks()
        assert busy.response().status == 200
        assert busy.request().status == 200
    assert server.warm("a.localhost") == pids
    assert server.stop() == 0


def test_42_told_to_stop_while_a_crash_is_replaced(serve):
    """What the one before has in flight is finished by the next, which ends then."""
    server = serve({"DRAIN_TIMEOUT": 20}, how="daemon")
    server.allow("Taking over: the network process has gone")
    server.allow("The process that took over has crashed")
    server.unchecked |= {"conservation", "access lines"}
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/3")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        reload(server)
        before, crashed = server.networks()
        os.kill(crashed, signal.SIGKILL)
        processes.until(lambda: set(server.networks()) - {before, crashed}, 10, "one in its place")
        server.send_signal(signal.SIGTERM)
        assert busy.response().status == 200
    assert server.wait() == 0


def test_30_one_that_still_takes_over_makes_way_when_it_has(serve):
    """Who served before has not told all yet when the next one is there."""
    server = serve({"DRAIN_TIMEOUT": 20}, how="daemon")
    server.allow("Taking over: the network process has gone")
    server.allow("The process that took over has crashed")
    server.unchecked |= {"conservation", "access lines"}
    pids = server.warm("a.localhost")
    before = server.network
    with server.client() as busy:
        busy.ask("/sleep/5")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        reload(server)
        os.kill(before, signal.SIGSTOP)
        os.kill(server.network, signal.SIGKILL)
        server.wait_for_log("Taking over: the network process has gone")
        server.send_signal(signal.SIGHUP)
        processes.until(
            lambda: server.log().count("Network process: uid") == 4, 10, "one more successor"
        )
        time.sleep(0.3)  # until it could serve, and the one before was told to make way
        os.kill(before, signal.SIGCONT)
        assert busy.response().status == 200
        assert busy.request().status == 200
    assert server.warm("a.localhost") == pids
    assert server.stop() == 0


def test_30_in_the_foreground_a_crash_is_the_end(serve, as_whom):
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")
    server.process.kill()
    assert server.wait() == -signal.SIGKILL
    processes.until(lambda: not server.left(), 2, "the end of all")
    server.unchecked |= {"conservation", "access lines"}


@pytest.mark.parametrize("which", ["first", "last"])
def test_30_in_the_foreground_a_crash_after_a_reload_is_the_end(serve, as_whom, which):
    """Be it of the one that serves, or of the one whose end somebody waits for."""
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")
    reload(server)
    processes.until(lambda: "counters" in server.log(), 5, "the end of what it had in flight")
    os.kill(server.process.pid if which == "first" else server.network, signal.SIGKILL)
    assert server.wait(5) == (-signal.SIGKILL if which == "first" else 1)
    processes.until(lambda: not server.left(), 2, "the end of all")
    server.allow("the spawner has ended")
    server.unchecked |= {"conservation", "access lines", "exit"}


def test_30_on_crash_stop(serve):
    server = serve({"ON_CRASH": "stop"}, how="daemon")
    server.expect("has ended without being told to: it has closed its link; everything ends")
    server.warm("a.localhost")
    os.kill(server.network, signal.SIGKILL)
    assert server.wait(5) == 1
    processes.until(lambda: not server.left(), 2, "the end of all")
    server.unchecked |= {"conservation", "access lines"}


def test_30_five_crashes_are_the_end(serve):
    server = serve(how="daemon")
    server.allow("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines"}
    crash(server, server.warm("a.localhost"))
    taken_over(server, 1, "Taking over: the network process has gone")
    for times in range(2, 5):
        os.kill(server.network, signal.SIGKILL)
        taken_over(server, times, "Taking over: the network process has gone")
    os.kill(server.network, signal.SIGKILL)
    assert server.wait(5) == 1
    processes.until(lambda: not server.left(), 2, "the end of all")
    server.expect("5 network processes have crashed within 60 s, .*everything ends")


def test_30_it_is_replaced_in_the_foreground_where_that_is_said(serve):
    """Whoever waited for the first one has seen its end; the others go on."""
    server = serve({"ON_CRASH": "replace"})
    server.allow("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines", "zombies"}
    pids = server.warm("a.localhost")
    spawner = server.spawner()[0]  # or its guardian, which passes signals on
    server.process.kill()
    server.wait()
    taken_over(server, 1, "Taking over: the network process has gone")
    assert server.warm("a.localhost") == pids
    os.kill(spawner, signal.SIGTERM)
    processes.until(lambda: not server.left(), 10, "the end of all")
    server.unchecked |= {"exit"}


# -- an upgrade


def test_new_code_is_run_by_the_successor_if_it_speaks_to_the_spawner_that_runs(serve):
    def prepare(folder):
        for name in ("luisito", "twisted"):
            shutil.copytree(ROOT / name, folder / "code" / name)
        for path in (folder / "code").rglob("*"):
            path.chmod(0o755)

    server = serve(prepare=prepare, environ={"PYTHONPATH": "code"})
    pids = server.warm("a.localhost")
    code = server.folder / "code" / "luisito"
    wire, tenure = code / "core" / "wire.py", code / "tenure.py"
    text = wire.read_text()
    assert f"\nVERSION = {VERSION}\n" in text
    wire.write_text(text.replace(f"\nVERSION = {VERSION}\n", "\nVERSION = 99\n"))
    server.expect(r"nothing was restarted: .*wire version 99.*needs a stop and a start")
    server.allow("Cannot start: ")
    server.send_signal(signal.SIGUSR2)
    server.wait_for_log("all goes on as it was")
    assert server.warm("a.localhost") == pids
    wire.write_text(text)
    tenure.write_text(tenure.read_text().replace("Taking over, with", "Taking over, newer, with"))
    server.send_signal(signal.SIGUSR2)
    server.wait_for_log("Taking over, newer, with")
    assert server.warm("a.localhost") == pids
