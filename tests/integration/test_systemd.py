"""What a service manager hears at a socket that is bound as systemd binds its own."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

from tests.harness import processes
from tests.harness.server import ROOT, Daemon, Server

UNITS = ROOT / "contrib" / "systemd"


class Manager:
    """The end of systemd: NOTIFY_SOCKET, and what was said there."""

    def __init__(self, folder, *, abstract):
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"{folder}/notify"
        self._sock.bind("\0" + name if abstract else name)
        if not abstract:
            os.chmod(name, 0o777)
        self.name = "@" + name if abstract else name
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.heard = []
        self.main = None

    def read(self):
        """All that was said so far, one list of lines for each datagram.

        As with NotifyAccess=main, it is the first one who speaks, and then who is named by that.
        """
        while True:
            try:
                data, [(_, _, credentials)], _, _ = self._sock.recvmsg(4096, 64)
            except BlockingIOError:
                return self.heard
            (pid,) = struct.unpack_from("i", credentials)
            lines = data.decode().split("\n")
            assert pid == (self.main or pid), f"{lines} from pid {pid}, not {self.main}"
            named = [line[8:] for line in lines if line.startswith("MAINPID=")]
            self.main = int(named[0]) if named else pid
            self.heard.append(lines)

    def hears(self, pattern, seconds=15.0):
        """Waits for a line."""

        def found():
            lines = [line for lines in self.read() for line in lines]
            return next((m for line in lines if (m := re.fullmatch(pattern, line))), None)

        return processes.until(found, seconds, f"{pattern!r} among {self.heard}")

    def close(self):
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request):
    with tempfile.TemporaryDirectory(prefix="systemd-") as folder:
        os.chmod(folder, 0o755)
        manager = Manager(folder, abstract=request.param == "abstract")
        yield manager
        manager.close()


def test_ready_status_and_stopping(manager, serve, as_whom):
    server = serve({"MAX_SERVERS": 5}, ordinary=as_whom, environ={"NOTIFY_SOCKET": manager.name})
    manager.hears("READY=1")
    manager.hears("STATUS=0 of 5 servers")
    server.warm("a.localhost", "b.localhost")
    manager.hears(r"STATUS=2 of 5 servers, \d+ req/s")
    assert not any("WATCHDOG=1" in lines for lines in manager.read())
    assert server.stop() == 0
    manager.hears("STOPPING=1")


def test_the_watchdog_is_fed_twice_in_its_time_and_not_while_nothing_turns(manager, serve):
    server = serve(environ={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    manager.hears("WATCHDOG=1")

    def fed():
        return sum("WATCHDOG=1" in lines for lines in manager.read())

    before = fed()
    processes.until(lambda: fed() >= before + 3, 10, "three more words of being alive")
    server.send_signal(signal.SIGSTOP)
    processes.until(lambda: processes.stat(server.process.pid)[0] == "T", 5, "a stop")
    stopped = fed()
    time.sleep(1)
    assert fed() == stopped
    server.send_signal(signal.SIGCONT)
    processes.until(lambda: fed() > stopped, 10, "another word of being alive")


def test_the_main_process_stays_while_others_follow_each_other(manager, serve, as_whom):
    """It is told by its pid, and passes signals on; who was started ends when another serves."""
    server = serve(ordinary=as_whom, environ={"NOTIFY_SOCKET": manager.name})
    manager.hears(r"MAINPID=\d+")
    told = [line for lines in manager.read() for line in lines if line.startswith("MAINPID=")]
    main = Daemon(int(told[0].partition("=")[2]))
    pids = server.warm("a.localhost")
    main.send_signal(signal.SIGHUP)
    server.wait_for_log("(?s)Taking over, with .*Listening on", 20)
    assert server.wait() == 0
    assert server.warm("a.localhost") == pids
    main.send_signal(signal.SIGTERM)
    processes.until(lambda: main.poll() is not None, 20, "the end of all")
    assert main.returncode == 0


def test_a_reload_is_told_from_its_begin_to_its_end(manager, serve, as_whom):
    server = serve(how="daemon", ordinary=as_whom, environ={"NOTIFY_SOCKET": manager.name})
    manager.hears("READY=1")
    assert manager.main == server.process.pid
    manager.read().clear()
    server.send_signal(signal.SIGHUP)
    manager.hears("RELOADING=1")
    assert manager.hears(r"MONOTONIC_USEC=(\d+)")
    manager.hears("READY=1")
    assert server.request().status == 200
    server.expect("nothing was restarted")
    (server.folder / "settings.py").write_text("CMD_TPL = 1\n")
    manager.read().clear()
    server.send_signal(signal.SIGHUP)
    manager.hears("RELOADING=1")
    manager.hears("READY=1")
    assert server.stop() == 0
    manager.hears("STOPPING=1")
    assert manager.main == server.process.pid


def test_a_server_does_not_get_the_socket_of_the_service_manager(manager, serve):
    server = serve(environ={"NOTIFY_SOCKET": manager.name})
    manager.hears("READY=1")
    server.warm("a.localhost")
    (pid,) = server.servers()
    assert processes.environ(pid)["NOTIFY_SOCKET"] != manager.name


def test_a_socket_that_is_not_there_is_told_and_survived(serve):
    server = serve(environ={"NOTIFY_SOCKET": "/nonexistent/notify"})
    server.expect(r"The service manager was not told .*: \$NOTIFY_SOCKET: No such file")
    assert server.request().status == 200


@pytest.mark.needs("systemd-analyze")
def test_the_units_are_right(tmp_path):
    """As systemd reads them, with a program that is there."""
    for name in ("luisito.service", "luisito.socket"):
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/luisito/bin/twistd", shutil.which("true")))
    assert "ExecStart=/opt/luisito/bin/twistd " in (UNITS / "luisito.service").read_text()
    units = [str(tmp_path / "luisito.service"), str(tmp_path / "luisito.socket")]
    argv = ["systemd-analyze", "verify", "--man=no", *units]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert not [line for line in said.stderr.splitlines() if "luisito" in line], said.stderr
    assert said.returncode == 0, said.stderr


class Confined(Server):
    """Luisito with no more of root than the unit leaves it."""

    def _argv(self):
        (names,) = re.findall(
            r"^CapabilityBoundingSet=(.*)$", (UNITS / "luisito.service").read_text(), re.MULTILINE
        )
        kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in names.split())
        return ["setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs", *super()._argv()]


@pytest.mark.root
def test_the_capabilities_of_the_unit_are_enough(tmp_path):
    """Servers run as the owners of their folders, are watched, signalled, and leave nothing."""

    def prepare(folder):
        for site, user in (("a.localhost", "games"), ("b.localhost", "backup")):
            (folder / "sites" / site).mkdir(parents=True)
            shutil.chown(folder / "sites" / site, user, user)

    settings = {"PROJECT_PATH": "<folder>/sites/%HOST", "MAX_SERVERS": 1}
    with Confined(settings=settings, way="port", prepare=prepare) as server:
        for host in ("a.localhost", "b.localhost", "a.localhost"):
            assert server.request(host=host).status == 200
        uids = {boot["site"]: boot["uids"][0] for boot in server.seen("boot")}
        assert uids == {
            host: os.stat(server.folder / "sites" / host).st_uid
            for host in ("a.localhost", "b.localhost")
        }
        assert "servers live in a pid namespace" in server.log()


class Activated(Server):
    """Luisito with a socket that systemd listens on, and that the first connection starts."""

    def _argv(self):
        names = ("PATH", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LUISITO_SETTINGS")
        kept = [f"--setenv={name}" for name in names]
        listen = f"--listen=127.0.0.1:{self.port}"
        # a name, as a socket unit always gives one
        return ["systemd-socket-activate", "--fdname=http", listen, *kept, *super()._argv()]


@pytest.mark.needs("systemd-socket-activate")
def test_the_connection_that_starts_it_is_served(as_whom):
    settings = {"LISTEN": "systemd:domain=INET:index=0"}
    with Activated(settings=settings, ordinary=as_whom) as server:
        assert server.request().status == 200
        (pid,) = server.servers()
        assert not {"LISTEN_FDS", "LISTEN_PID"} & processes.environ(pid).keys()
