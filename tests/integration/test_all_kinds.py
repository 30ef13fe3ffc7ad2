"""Sites of all kinds together: under load, edits of their files, kills, reloads and restarts."""

import contextlib
import functools
import os
import pwd
import random
import shutil
import signal
import sys
import threading
import time
from typing import NamedTuple

from luisito.control import client as control
from luisito.errors import LuisitoError
from tests.faults.test_reload import reload, replaced, settings_of
from tests.harness import processes
from tests.harness.http import BrokenOff
from tests.harness.server import BIN, ROOT
from tests.integration.test_sites import Sites
from tests.soak import accounts
from tests.soak.clients import Traffic
from tests.soak.verdict import Verdict

GUNICORN = "gunicorn --bind fd://%FD --no-control-socket"
WORKER = '[[process]]\nname = "w"\ncommand = ["sleep", "1000"]\n'
MONITORS = '[[wake]]\nuser_agent = "Monitor*"\n'
CLIENTS = 8
MAX_SERVERS, OVERLAP = 16, 3
EXCEPTED = "no.wild.example"  # so that the site which is the default answers it
PAUSE = 0.6  # seconds between two that do harm, in the mean


class Kind(NamedTuple):
    """One site file.

    Attributes:
        text: of the file, without the command.
        command: the words of it; "" where a base says it, None for the origin with a descriptor.
        ask: the host that traffic asks for; the file's own by default, None where none asks.
        strict: the app is the origin.
        way: of the origin.
        options: of the origin.
    """

    text: str = ""
    command: str | None = None
    ask: str | None = ""
    strict: bool = True
    way: str = "fd"
    options: tuple = ()


def framework(command):
    text = f'virtualenv = "{sys.prefix}"\nfolder = "<folder>"\nenv.PYTHONPATH = "<folder>"\n'
    return Kind(text, command, strict=False)


KINDS = {
    # ways to be told where to listen, and when it does
    "descriptor": Kind(),
    "port": Kind(way="port"),
    "socket": Kind(way="socket"),
    "slow": Kind(options=(("boot_delay", 0.5),)),
    "notify": Kind('ready = "notify"\n', options=(("notify", True),)),
    "looked-at": Kind('ready = "/echo"\n', way="port"),
    # frameworks
    "gunicorn": framework(f"{GUNICORN} --threads 4 wsgi:app"),
    "waitress": framework("waitress-serve --listen=127.0.0.1:%PORT wsgi:app"),
    "uvicorn": framework("uvicorn --fd %FD asgi:app"),
    "static": Kind('folder = "<folder>/public"\n', f"{BIN}/python -m http.server --bind 127.0.0.1 "
                   "%PORT", ask=None),
    # names
    "aliased": Kind('aliases = ["www.aliased.example"]\n', ask="www.aliased.example"),
    "wild": Kind(f'hosts = ["*.wild.example", "!{EXCEPTED}"]\n', ask="a.wild.example"),
    "moved": Kind('redirects = ["old.example"]\n', ask=None),
    "rest": Kind("default = true\n", ask="who.test"),
    "based": Kind('extends = "origin"\n', ""),
    "mounted": Kind(
        '[[mount]]\npath = "/api"\nstrip = false\n'
        f'command = "{GUNICORN} mounted:flask()"\nvirtualenv = "{sys.prefix}"\n'
        'env = { PYTHONPATH = "<folder>", SCRIPT_NAME = "/api" }\n'
    ),
    # lives
    "always": Kind('keep = "always"\n'),
    "pinned": Kind('keep = "pinned"\n'),
    "with-worker": Kind(WORKER),
    "worn": Kind("max_requests = 15\n"),
    "aged": Kind("max_age = 4\n"),
    "touched": Kind('folder = "<folder>/touched"\nreload_on = ["*.py"]\n'),
    "several": Kind("processes = 2\nsticky = true\n"),
    "stopped-by-command": Kind("stop_command = \"sh -c 'kill -TERM $MAINPID'\"\n"),
    "asked-first": Kind('pre_stop = "/echo"\n'),
    # what is told and held back
    "waiting": Kind("waiting_page = true\n"),
    "closed": Kind("maintenance = true\n", ask=None),
    "watched": Kind(MONITORS),
    "failing": Kind(command="false %PORT", ask=None),
    "with-file": Kind('folder = "<folder>"\nenv_file = "vars"\n'),
    "limited": Kind("rlimits = { nofile = 200 }\nidle_timeout = 2\n"),
    "tenants": Kind(),
}  # fmt: skip
if NODE := shutil.which("node"):
    KINDS["node"] = Kind('folder = "<folder>"\n', f"{NODE} server.js port %PORT", strict=False)


class Hosts:
    """Chooses what is asked for; see Traffic."""

    def __init__(self, chance):
        self._chance = chance

    def choose(self):
        name = self._chance.choice([name for name in KINDS if KINDS[name].ask is not None])
        return asked(name), KINDS[name].strict


def asked(name):
    return KINDS[name].ask or f"{name}.example"


class World(Sites):
    """All of them, in one folder."""

    def prepare(self, folder):
        super().prepare(folder)
        apps = ROOT / "tests" / "apps"
        for name in ("wsgi.py", "asgi.py", "server.js", "mounted.py"):
            shutil.copy(apps / name, folder)
            (folder / name).chmod(0o644)
        for name in ("public", "touched"):
            (folder / name).mkdir()
        (folder / "public" / "index.html").write_text("static")
        (folder / "vars").write_text("A=1\n")
        (self.path / "origin.base.toml").write_text(self.command())
        for name in KINDS:
            self.put(name)

    def put(self, name, more=""):
        """Writes the file of a kind."""
        kind = KINDS[name]
        command = self.command(kind.way, **dict(kind.options))
        if kind.command is not None:
            command = f"command = '{kind.command}'\n" if kind.command else ""
        folder = str(self.path.parent)
        text = more + kind.text
        text = text.replace("<folder>", folder)
        if os.getuid() or self.owner.st_uid:  # Luisito runs as the one who owns all
            self.write(f"{name}.example", text, command)
        elif name == "tenants":
            path = self.write(f"{name}.example", text, command)
            os.chown(path, pwd.getpwnam("games").pw_uid, 0)
        else:
            self.write(f"{name}.example", 'user = "backup"\n' + text, command)


def sessions(server):
    """The servers that live: each leads a session. Workers do not count."""
    pids = [pid for pid in server.servers() if "sleep" not in processes.command(pid)]
    found = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            found.add(os.getsid(pid))
    return found


class Others(threading.Thread):
    """Asks in turn for what the traffic does not: redirects, closed, failing and watched sites."""

    def __init__(self, server, verdict):
        super().__init__(daemon=True)
        self._server, self._verdict = server, verdict
        self._ending = threading.Event()

    def end(self):
        self._ending.set()

    def run(self):
        while not self._ending.wait(0.2):
            most = MAX_SERVERS + OVERLAP + 1  # one more for a site that rolls
            look = functools.partial(sessions, self._server)
            count = len(processes.at_once(look(), look, most))
            if count > most:
                self._verdict.violation(f"{count} servers at once")
            for host, target, fields, wanted in (
                ("static.example", "/", (), {200}),
                ("old.example", "/x", (), {308}),
                ("closed.example", "/", (), {503}),
                ("failing.example", "/", (), {502, 503}),
                ("mounted.example", "/api/where/a%2Fb", (), {200}),
                ("limited.example", "/echo", [("User-Agent", "Monitor/1")], {200}),
                ("watched.example", "/echo", [("User-Agent", "Monitor/1")], {200, 503}),
                (EXCEPTED, "/echo", (), {200}),
            ):
                began = time.monotonic()
                try:
                    got = self._server.request(target, host=host, fields=fields).status
                except (BrokenOff, OSError) as error:
                    got = repr(error)
                now = time.monotonic()
                of_app = asked("rest") if host == EXCEPTED else host
                excused = any(
                    self._verdict.excused(kind, site, began, now)
                    for kind, site in (("network", ""), ("app", of_app))
                )
                if got not in wanted and got != 503 and not excused:
                    self._verdict.violation(f"{host}{target}: {got}")


class Harm:
    """What is done to them; each method once or more, in an order by chance."""

    def __init__(self, world, verdict, seed):
        self.world, self.server, self.verdict = world, world.server, verdict
        self.chance = random.Random(seed)
        self.edits = self.takes = self.kills = 0

    def some(self):
        """A site that edits may be made to."""
        return self.chance.choice(["descriptor", "port", "socket", "worn", "several", "pinned"])

    def change_a_command(self):
        self.edits += 1
        self.world.put(self.some(), f'env.EDIT = "{self.edits}"\n')

    def change_an_alias(self):
        self.edits += 1
        self.world.put("notify", f'aliases = ["also{self.edits}.example"]\n')
        self.world.until(f"also{self.edits}.example", "notify.example")

    def break_a_file(self):
        """The last good version stays, and the mend takes it away from the status."""
        name = self.some()
        self.world.put(name, "idle_timout = 3\n")
        processes.until(lambda: self.broken() == [f"{name}.example.toml"], 20, "the error")
        self.world.put(name)
        processes.until(lambda: self.broken() == [], 20, "the mend")

    def broken(self):
        with contextlib.suppress(LuisitoError):
            status, found = control.ask(f"{self.server.runtime}/control.sock", "GET", "/status")
            if status == 200:
                return [os.path.basename(one["path"]) for one in found["site_files"]["broken"]]
        return None

    def remove_a_file(self):
        host = "wild.example"
        self.verdict.fault("app", "file removed", asked("wild"))
        (self.world.path / f"{host}.toml").unlink()
        self.world.until(asked("wild"), "rest.example")
        self.world.put("wild")
        self.world.until(asked("wild"), host)
        self.verdict.fault("app", "file there again", asked("wild"))

    def touch_a_restart_file(self):
        folder = self.world.path.parent / "touched"
        (folder / self.chance.choice(["restart.txt", "new.py"])).write_text(str(time.time()))

    def kill_a_server(self):
        names = {f"{name}.example": asked(name) for name in KINDS if KINDS[name].ask is not None}
        found = {
            pid: names[site]
            for pid in self.server.servers()
            if (site := processes.environ(pid).get("LUISITO_SERVER", "")) in names
        }
        if found:
            pid = self.chance.choice(sorted(found))
            self.verdict.fault("app", "app killed", found[pid])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_the_network_process(self):
        self.kills += 1
        self.verdict.fault("network", "network process killed")
        os.kill(self.server.network, signal.SIGKILL)
        replaced(self.server, self.kills)
        self.verdict.fault("network", "network process replaced")

    def reload(self):
        self.takes += 1
        settings_of(self.server, QUEUE_TIMEOUT=30 + self.takes)
        reload(self.server, times=self.takes)

    def restart(self):
        self.takes += 1
        reload(self.server, signal.SIGUSR2, self.takes)


OFTEN = ("change_a_command", "kill_a_server", "touch_a_restart_file")
ONCE = ("change_an_alias", "break_a_file", "remove_a_file", "reload", "restart",
        "kill_the_network_process")  # fmt: skip


def test_all_kinds_together(serve, as_whom):
    """Nothing is lost but what a kill takes with it, and all of them answer afterwards."""
    settings = {
        "MAX_SERVERS": MAX_SERVERS, "OVERLAP": OVERLAP, "QUEUE_TIMEOUT": 30, "START_TIMEOUT": 30,
        "DRAIN_TIMEOUT": 30,  # a tunnel takes a while
        "TENANTS": {"games": {"hosts": ["tenants.example"]}},
    }  # fmt: skip
    world = World(serve, {}, settings, ordinary=as_whom, how="daemon")
    server, verdict = world.server, Verdict()
    # A kill takes lines with it; Others counts the servers themselves.
    server.unchecked |= {"conservation", "access lines", "pool"}
    server.expect("Taking over: the network process has gone", "failing.example", "idle_timout")
    server.allow("The process that took over has crashed")
    # An app that is told to exit may do so sooner than it is seen to accept.
    server.allow("the command exited with code 0 before it was ready")
    server.allow("was killed by SIGKILL", r"50[234] for ")
    traffic = [Traffic(server.address, verdict, seed, Hosts) for seed in range(CLIENTS)]
    others, harm = Others(server, verdict), Harm(world, verdict, 1)
    for thread in (others, *traffic):
        thread.start()
    steps = [*OFTEN * 4, *ONCE]
    harm.chance.shuffle(steps)
    try:
        for step in steps:
            time.sleep(harm.chance.expovariate(1 / PAUSE))
            getattr(harm, step)()
    finally:
        for thread in (others, *traffic):
            thread.end()
        for thread in (others, *traffic):
            thread.join(60)
    for name, kind in KINDS.items():
        if kind.ask is not None:
            response = server.request(host=asked(name))
            assert response.status == 200, (name, response)
            if kind.strict:
                assert response.get("x-site") == f"{name}.example"
    accounts.access(server.access_path, verdict)
    accounts.apps(server.origin_log, verdict)
    assert not verdict.violations
    assert len(verdict.answered) > 100
