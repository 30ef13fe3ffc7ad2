"""Luisito in a process of its own, as its users start it."""

import contextlib
import functools
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.harness import cgroups, client, invariants, kernel, processes

ROOT = Path(__file__).parent.parent.parent
BIN = os.path.dirname(sys.executable)
PYTHON = os.path.realpath(sys.executable)  # one that any user may execute
ORDINARY_USERS = ("games", "backup", "daemon")
# Each xdist worker has ports of its own, outside of ip_local_port_range: nothing takes a port
# between our choice and its use.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_listen_ports = itertools.cycle(range(11000 + 200 * _WORKER, 11200 + 200 * _WORKER))
APP_PORTS = (20000 + 500 * _WORKER, 20499 + 500 * _WORKER)
DEFAULTS = {
    "START_TIMEOUT": 15,
    "STOP_TIMEOUT": 2,
    "DRAIN_TIMEOUT": 5,
    "QUEUE_TIMEOUT": 10,
    "PORT_RANGE": APP_PORTS,
}
_NETWORK = re.compile(r"/twistd? |luisito\.again|luisito\.cli run")
# Seconds that a client waits; a kernel of its own has but a part of a processor.
_PATIENCE = 60.0 if kernel.inside() else 10.0
START_LIMIT = 60  # seconds; the machine may be busy


def free_port():
    """A loopback port of this worker's that nobody listens on."""
    for port in itertools.islice(_listen_ports, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port to listen on")


def ordinary_user(*names):
    """A user other than root that Luisito may be started as; None for the one we are."""
    if os.getuid():
        return None
    for name in names or ORDINARY_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError(f"none of the users {ORDINARY_USERS} exists")


class Daemon:
    """A process that becomes our child when its parent ends; with the face of a Popen."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # whoever started it lives
                return None
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)


class Server:
    """Luisito, from start to end, with what it wrote.

    Args:
        settings: of settings.py, beside DEFAULTS; `CMD_TPL` is the strict origin where it is
            missing, and left out where it is None; in any of them <folder> is the server's folder,
            and <port> its port.
        how: "twistd", "daemon", "tac", "tac daemon", "twist" or "run" (whose command and options
            come from settings).
        ordinary: started by an ordinary user, where we are root; or that user's name.
        way: of the origin: "fd", "port" or "socket".
        origin: the origin's options, by site ("*" for all).
        rlimits: {resource.RLIMIT_...: (soft, hard)} of Luisito.
        cgroup: the folder of the cgroup that it is started in; None for ours.
        environ: more of the environment; None takes a variable away.
        files: apps of tests/apps to copy into the folder that Luisito is started in.
        prepare: called with the folder when all is there, before the start.
        pidfile: twistd writes one, <folder>/pid; as a daemon it always does.
        options: more of twistd's or twist's; <folder> in them is the server's folder.
        tac: the file for "tac", in which <folder> may stand, too.
        within: words before the command, which execute it; <folder> may stand in them, too.

    Attributes:
        folder: everything is in it; others may read there.
        process: what signals are sent to: the network process, or the spawner of a daemon.
        address: where it listens.
        ledger: of all clients of this server.
        expected: patterns of log lines that must occur though they speak of trouble.
        allowed: the same for lines that may occur.
        unchecked: names of invariants that the test breaks on purpose (see invariants.CHECKS).
        counters: as it wrote them at its end.
        seconds: how long the end took.
        last_log: all that it wrote, once it has ended.
    """

    def __init__(
        self,
        settings=None,
        *,
        how="twistd",
        ordinary=False,
        way="fd",
        origin=None,
        rlimits=None,
        cgroup=None,
        environ=None,
        files=(),
        prepare=None,
        pidfile=False,
        options=(),
        tac=ROOT / "luisito.tac",
        within=(),
    ):
        processes.become_subreaper()
        self._also_prepare, self._pidfile = prepare, pidfile or "daemon" in how
        self._options, self._tac, self._within = options, str(tac), within
        self.folder = Path(tempfile.mkdtemp(prefix="lt-"))
        self.folder.chmod(0o755)
        self.settings = {**DEFAULTS, **(settings or {})}
        self.how, self.way, self.origin = how, way, origin or {}
        self.rlimits, self.environ, self.files = rlimits or {}, environ or {}, files
        names = (ordinary,) if isinstance(ordinary, str) else ()
        self.user = ordinary_user(*names) if ordinary else None
        self.cgroup = cgroup
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.ledger = client.Ledger()
        # As root, where there is no user `luisito`, the servers' user is Luisito's own.
        self.expected, self.allowed, self.unchecked = [], ["run as the same user"], set()
        if kernel.inside():  # whose CPU time goes on while the machine runs something else
            self.allowed.append("StallDetector")
            self.unchecked.add("stalls")
        self.counters = None
        self.seconds = 0.0
        self.last_log = ""
        self.process = None
        self._log = None
        self._clients = []
        self._before = set(processes.descendants(os.getpid()))

    # -- starting

    @property
    def log_path(self):
        return self.folder / "luisito.log"

    @property
    def access_path(self):
        return self.folder / "access.log"

    @property
    def runtime(self):
        return self.folder / "run"

    @property
    def origin_log(self):
        return self.folder / "seen" / "origin.log"

    def copy(self, name):
        """Copies an app here: the servers' user may not be allowed to enter the sources."""
        copy = self.folder / name
        shutil.copy(ROOT / "tests" / "apps" / name, copy)
        copy.chmod(0o644)
        return copy

    def _origin_command(self):
        copy = self.copy("origin.py")
        way = {"fd": "%FD", "port": "%PORT", "socket": "%SOCKET"}[self.way]
        options = json.dumps(self.origin).replace("%", "%%")
        return [
            PYTHON, "-I", "-S", str(copy), f"--{self.way}", way, "--site", "%HOST",
            "--log", str(self.origin_log), "--options", options,
        ]  # fmt: skip

    def _prepare(self):
        seen = self.folder / "seen"
        seen.mkdir()
        seen.chmod(0o777)
        self.origin_log.touch()
        self.origin_log.chmod(0o666)
        self.runtime.mkdir(mode=0o711)
        names = self.settings
        for name in self.files:
            self.copy(name)
        names.setdefault("CMD_TPL", self._origin_command())
        names.setdefault("LISTEN", f"tcp:{self.port}:interface=127.0.0.1")
        names.setdefault("ACCESS_LOG", str(self.access_path))
        names.setdefault("RUNTIME_DIR", str(self.runtime))
        if names["CMD_TPL"] is None:
            del names["CMD_TPL"]
        text = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        text = text.replace("<folder>", str(self.folder)).replace("<port>", str(self.port))
        (self.folder / "settings.py").write_text(text)
        self.log_path.touch()
        if self.user is not None:
            for path in (self.folder, self.runtime, self.log_path):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        if self._also_prepare is not None:
            self._also_prepare(self.folder)

    def _argv(self):
        settings = str(self.folder / "settings.py")
        pidfile = f"--pidfile={self.folder}/pid" if self._pidfile else "--pidfile="
        *more, tac = (
            word.replace("<folder>", str(self.folder)) for word in (*self._options, self._tac)
        )
        if self.how == "run":
            options = [f"--listen={self.settings['LISTEN']}"]
            if "MAX_SERVERS" in self.settings:
                options.append(f"--max-servers={self.settings['MAX_SERVERS']}")
            return [sys.executable, "-m", "luisito.cli", "run", *options, "--",
                    *self.settings["CMD_TPL"]]  # fmt: skip
        if self.how == "daemon":
            log = f"--logfile={self.log_path}"
            return [f"{BIN}/twistd", pidfile, log, *more, "luisito", "--settings", settings]
        if self.how == "tac daemon":
            return [f"{BIN}/twistd", pidfile, f"--logfile={self.log_path}", *more, "-y", tac]
        if self.how == "tac":
            return [f"{BIN}/twistd", "-n", pidfile, *more, "-y", tac]
        if self.how == "twist":
            log = "--log-format=text"
            return [f"{BIN}/twist", log, *more, "luisito", "--settings", settings]
        return [f"{BIN}/twistd", "-n", pidfile, *more, "luisito", "--settings", settings]

    def _limit(self, procs):
        import resource

        if procs is not None:
            os.write(procs, b"0")
        for which, limits in self.rlimits.items():
            resource.setrlimit(which, limits)

    def start(self, *, wait=True):
        """Starts it; returns self once it listens."""
        self._prepare()
        environ = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LUISITO_SETTINGS": str(self.folder / "settings.py"),
            **self.environ,
        }
        environ = {name: value for name, value in environ.items() if value is not None}
        as_user = {}
        if self.user is not None:
            as_user = {
                "user": self.user.pw_uid,
                "group": self.user.pw_gid,
                "extra_groups": [],
            }
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(self.log_path, "ab"))
            procs = None  # opened here: whoever it is started as might not be allowed to
            if self.cgroup is not None:
                procs = stack.enter_context(open(f"{self.cgroup}/cgroup.procs", "wb", 0)).fileno()
            limit = functools.partial(self._limit, procs)
            self.process = subprocess.Popen(
                [word.replace("<folder>", str(self.folder)) for word in self._within]
                + self._argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environ,
                preexec_fn=limit if self.rlimits or procs else None,  # noqa: PLW1509 - no threads here
                **as_user,
            )
        if "daemon" in self.how and wait:
            assert self.process.wait(START_LIMIT) == 0, self.log()
            self.process = Daemon(int((self.folder / "pid").read_text()))
        if wait:
            processes.until(self._listens, START_LIMIT, "a start of Luisito")
        return self

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Luisito ended with {self.process.returncode}:\n{self.log()}")
        with contextlib.suppress(OSError):
            client.connect(self.address, 1).close()
            return True
        return False

    @property
    def cgroups(self):
        """The folder of its cgroups; None where there can be none."""
        base = self.cgroup or cgroups.where()
        return (
            None
            if base is None
            else cgroups.ours(base, self.settings.get("RUNTIME_DIR", self.runtime))
        )

    # -- what a test asks of it

    def client(self, timeout=_PATIENCE):
        """A new connection."""
        found = client.Client(self.address, self.ledger, timeout)
        self._clients.append(found)
        return found

    def request(self, target="/echo", host="a.localhost", method="GET", **how):
        """One request on a connection of its own."""
        with self.client() as connection:
            return connection.request(target, host, method, **how)

    def load(self, requests, connections=50, **how):
        """See client.load."""
        return client.load(self.address, requests, connections, self.ledger, **how)

    def expect(self, *patterns):
        """Log lines that speak of trouble, and must come."""
        self.expected += patterns

    def allow(self, *patterns):
        """Log lines that speak of trouble, and may come."""
        self.allowed += patterns

    def log(self):
        """What Luisito wrote so far."""
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, pattern, seconds=10.0):
        """Waits until the log has a match, and returns it."""
        what = f"a log line like {pattern!r}"
        return processes.until(lambda: re.search(pattern, self.log()), seconds, what)

    def seen(self, event=None, site=None):
        """What the origins wrote: of one kind, of one site."""
        lines = map(json.loads, self.origin_log.read_text().splitlines())
        return [
            line
            for line in lines
            if (event is None or line["event"] == event) and (site is None or line["site"] == site)
        ]

    def spawner(self):
        """The pids of the spawner, or the guardian and the spawner below it."""
        return [
            pid
            for pid in (self.process.pid, *processes.descendants(self.process.pid))
            if "luisito.spawner" in processes.command(pid)
        ]

    def starter(self):
        """The pid of what has children ready (luisito.spawner.starter), in a list."""
        return list(filter(processes.is_starter, processes.descendants(self.process.pid)))

    def networks(self):
        """The pids of the network processes that live, the newest at the end."""
        below = processes.descendants(os.getpid())
        found = [pid for pid, (state, _parent) in below.items() if state != "Z" and self._is(pid)]
        return sorted(found, key=processes.started)

    def _is(self, pid):
        """Whether a process is a network process of this server."""
        command = processes.command(pid)
        if not _NETWORK.search(command) or "luisito.spawner" in command:
            return False
        places = (processes.environ(pid).get("LUISITO_SETTINGS", ""), command, processes.cwd(pid))
        return any(str(self.folder) in place for place in places)

    @property
    def network(self):
        """The pid of the newest network process, which serves or is about to."""
        return self.networks()[-1]

    def servers(self):
        """{pid: (state, parent)} of all processes of app servers that live now.

        What stands ready to become one has not been executed yet, and does not count.
        """
        return {
            pid: (state, parent)
            for pid, (state, parent) in processes.descendants(self.process.pid).items()
            if state != "Z" and "LUISITO_SERVER" in processes.environ(pid)
        }

    def pid(self, host="a.localhost"):
        """The pid of a site's newest server, as we see it; its own namespace has another one."""
        end = time.monotonic() + 10
        while True:
            log = self.log()
            started = re.findall(rf"{re.escape(host)}: started as pid (\d+)", log)
            ready = re.findall(rf"{re.escape(host)}: pid \d+ ready", log)
            # On a busy machine it may be ready, and have answered, before it is told as started.
            if (started and len(started) >= len(ready)) or time.monotonic() > end:
                return int(started[-1])
            time.sleep(0.01)

    def descriptors(self):
        """How many descriptors of each kind the network process and the spawner hold.

        Those of the spawner's processes stand in no order: a pid may be lower than its parent's.
        """
        network, *others = (
            sorted(re.sub(r"\d+", "N", what) for what in processes.descriptors(pid).values())
            for pid in (self.network, *self.spawner())
        )
        return [network, *sorted(others)]

    def warm(self, *hosts):
        """Wakes servers, one after the other; returns {host: pid}."""
        pids = {}
        for host in hosts:
            response = self.request(host=host)
            assert response.status == 200, (response, self.log())
            pids[host] = int(response.get("x-pid"))
        return pids

    # -- the end

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=30.0):
        """Waits for its end; returns the exit status."""
        began = time.monotonic()
        while self.process.poll() is None:
            if time.monotonic() > began + seconds:
                raise AssertionError(f"Luisito does not end; its log:\n{self.log()}")
            processes.reap_orphans({self.process.pid})
            time.sleep(0.005)
        self.seconds = time.monotonic() - began
        return self.process.returncode

    def stop(self, number=signal.SIGTERM):
        """Stops it in order; returns the exit status."""
        for connection in self._clients:
            connection.close()
        if self.process.poll() is None:
            self.send_signal(number)
        return self.wait()

    def left(self):
        """{pid: command} of the processes that it has left behind."""
        processes.reap_orphans({self.process.pid} if self.process.returncode is None else set())
        found = processes.descendants(os.getpid())
        return {pid: processes.command(pid) for pid in found if pid not in self._before}

    def finish(self):
        """Ends it whatever its state; returns what the invariants object to."""
        problems = []
        if self.process is None:
            shutil.rmtree(self.folder)
            return problems
        try:
            if self.process.poll() is None:
                problems += invariants.while_it_runs(self)
                status = self.stop()
                if status != 0 and "exit" not in self.unchecked:
                    problems.append(f"exit status {status}")
            problems += invariants.after_its_end(self)
        except (AssertionError, OSError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        finally:
            self._clean_up()
        return problems

    def _clean_up(self):
        self.last_log = self.log()
        end = time.monotonic() + 5
        while (left := self.left()) and time.monotonic() < end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process.returncode is None:
                self.process.poll()
            time.sleep(0.01)
        for connection in self._clients:
            connection.close()
        if self.cgroups is not None and os.path.exists(self.cgroups):
            cgroups.remove(self.cgroups)  # after kill -9, until the next start there
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        problems = self.finish()
        if kind is None and problems:
            raise AssertionError("\n".join(problems))
