"""The folder of a soak: 500 sites with real app servers, settings, and the daemon in front."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from tests.harness import processes
from tests.harness.server import BIN, ORDINARY_USERS, PYTHON, ROOT, free_port

SITES = 500
MAX_SERVERS = 20
OVERLAP = 2
_START = 30.0
_APPS = ROOT / "tests" / "apps"
# The sites that are asked for most have what hosters have; the many others start in 30 ms, so that
# the processors go round the pool and not into imports.
FRAMEWORKS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:$1 --threads 4 wsgi:app",
    "waitress": "waitress-serve --host 127.0.0.1 --port $1 wsgi:app",
    "uvicorn": "uvicorn --port $1 asgi:app",
    "node": "node server.js port $1",
}
# These have a file, so that a preloaded interpreter forks their servers; every other one hibernates
# where the machine lets it.
APPS = {"WSGI app": "wsgi:app", "ASGI app": "asgi:app"}
_HIBERNATES = "hibernate_after = 0.5\nhibernate = true\n"
_FRAMEWORK_SITES = 24


def site(number):
    """The name of a site."""
    return f"s{number:03}.soak.localhost"


def is_strict(number):
    """Whether a site's app is the origin, which has all paths; the others have an echo only."""
    return number >= _FRAMEWORK_SITES


class World:
    """Luisito as a daemon, with its sites.

    Attributes:
        folder: everything is in it.
        address: where it listens.
        main: the pid in the pidfile.
    """

    def __init__(self):
        processes.become_subreaper()
        self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
        self.folder.chmod(0o755)
        self.address = ("127.0.0.1", free_port())
        self.main = 0
        self.before = set(processes.descendants(os.getpid()))
        self._make_sites()
        self._make_settings()

    @property
    def settings(self):
        """The settings file."""
        return self.folder / "settings.py"

    @property
    def log(self):
        """Luisito's log."""
        return self.folder / "luisito.log"

    @property
    def access_log(self):
        """One line of JSON for each request."""
        return self.folder / "access.log"

    @property
    def seen(self):
        """What the origins saw."""
        return self.folder / "seen" / "origin.log"

    @property
    def control(self):
        """The control socket."""
        return str(self.folder / "run" / "control.sock")

    def _make_sites(self):
        apps = self.folder / "apps"
        shutil.copytree(_APPS, apps, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (apps, *apps.iterdir()):
            path.chmod(0o755)
        (self.folder / "seen").mkdir()
        (self.folder / "seen").chmod(0o777)
        self.seen.touch()
        self.seen.chmod(0o666)
        origin = (
            f"exec {PYTHON} -I -S {apps}/origin.py --port $1 --site ${{PWD##*/}} --log {self.seen}"
        )
        kinds = {"origin": origin}
        for name, command in FRAMEWORKS.items():
            program, _, rest = command.partition(" ")
            path = shutil.which(program, path=f"{BIN}:{os.environ['PATH']}:/usr/bin")
            if path is not None:
                kinds[name] = f"cd {apps} && PYTHONDONTWRITEBYTECODE=1 exec {path} {rest}"
        for name, text in kinds.items():
            script = self.folder / "apps" / f"run-{name}"
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        frameworks = [*(name for name in kinds if name != "origin"), *APPS]
        users = [pwd.getpwnam(name) for name in ORDINARY_USERS] if not os.getuid() else []
        # Of its own, so that what is done to it is done to nobody else. It has no packages: Luisito
        # lends what serves.
        self._venv = self.folder / "venv"
        venv.create(self._venv, symlinks=True)
        (self._packages,) = self._venv.glob("lib/python3*/site-packages")
        sites, self.files = self.folder / "sites", self.folder / "files"
        sites.mkdir()
        self.files.mkdir(mode=0o755)
        for number in range(SITES):
            folder = sites / site(number)
            folder.mkdir()
            kind = "origin" if is_strict(number) else frameworks[number % len(frameworks)]
            if kind in APPS:
                module = APPS[kind].partition(":")[0]
                shutil.copy(apps / f"{module}.py", folder)
                file = self.files / f"{site(number)}.toml"
                text = f'app = "{APPS[kind]}"\nfolder = "{folder}"\nvirtualenv = "{self._venv}"\n'
                hibernates = number // len(frameworks) % 2
                file.write_text(text + (_HIBERNATES if hibernates else ""))
            else:
                (folder / "run").symlink_to(apps / f"run-{kind}")
            if users:
                user = users[number // len(frameworks) % len(users)]
                os.chown(folder, user.pw_uid, user.pw_gid)

    def _make_settings(self):
        values = {
            "CMD_TPL": "./run %PORT",
            "PROJECT_PATH": f"{self.folder}/sites/%HOST",
            "SITES_DIR": str(self.files),
            "PRELOAD_IDLE": 10,
            "MAX_SERVERS": MAX_SERVERS,
            "OVERLAP": OVERLAP,
            "LISTEN": f"tcp:{self.address[1]}:interface=127.0.0.1",
            "ACCESS_LOG": str(self.access_log),
            "OUTPUT_LOG_DIR": f"{self.folder}/output",
            "RUNTIME_DIR": f"{self.folder}/run",
            "STOP_TIMEOUT": 5,
            "STREAM_IDLE": 10,
            "DRAIN_TIMEOUT": 30,
            "IDLE_TIMEOUT": 20,
        }
        (self.folder / "output").mkdir()
        (self.folder / "run").mkdir(mode=0o711)
        self.settings.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))

    def touch_settings(self, number):
        """Changes what a reload must notice and nothing in flight may."""
        text = self.settings.read_text().partition("# ")[0]
        self.settings.write_text(f"{text}# edited {number} times\n")

    def touch_environment(self):
        """Installs a package into the environment of the apps, or removes it."""
        path = self._packages / "installed.py"
        if path.exists():
            path.unlink()
        else:
            path.write_text("")

    def start(self):
        """Starts the daemon, and waits until it listens."""
        environ = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [
            f"{BIN}/twistd", f"--pidfile={self.folder}/pid", f"--logfile={self.log}",
            "luisito", "--settings", str(self.settings),
        ]  # fmt: skip
        with open(self.folder / "stdout", "wb") as out:
            done = subprocess.run(
                command, cwd=self.folder, env=environ, stdout=out, stderr=out, check=False
            )
        if done.returncode:
            sys.exit((self.folder / "stdout").read_text())
        self.main = int((self.folder / "pid").read_text())

    def ours(self):
        """{pid: (state, parent)} of all processes that Luisito is or has started."""
        processes.reap_orphans(set())
        found = processes.descendants(os.getpid())
        return {pid: facts for pid, facts in found.items() if pid not in self.before}

    def stop(self):
        """Stops it in order; returns the commands of the processes that are left."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.main, signal.SIGTERM)
        end = time.monotonic() + 60
        while (left := self.ours()) and time.monotonic() < end:
            time.sleep(0.05)
        return [f"pid {pid}: {processes.command(pid)}" for pid in left]

    def remove(self):
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
