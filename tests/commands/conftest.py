"""A machine of the test's own: real files, users and mounts, which nobody outside of it sees."""

import contextlib
import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.commands.forks import Forks
from tests.harness import processes
from tests.harness.server import PYTHON, ROOT, ordinary_user

# In a mount namespace, /etc is one of our own, so that users who are made there exist there only: a
# layer over it, or where the kernel has none, a copy.
PREPARE = """
mount --make-rprivate /
mkdir "$1/etc" "$1/layer"
mount -t tmpfs layer "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
layers="lowerdir=/etc,upperdir=$1/layer/upper,workdir=$1/layer/work"
if ! mount -t overlay -o "$layers" overlay /etc 2>"$1/why"; then
    cp -a /etc "$1"
    mount --bind "$1/etc" /etc
fi
touch "$1/ready"
exec sleep inf
"""


class Machine:
    """Runs commands in its namespace, where we are root; else where we are.

    Attributes:
        folder: everything is in it; others may read there.
        path: of settings.py.
    """

    def __init__(self, forks):
        self._forks = forks
        self.folder = Path(tempfile.mkdtemp(prefix="lt-"))
        self.folder.chmod(0o755)
        self.path = self.folder / "settings.py"
        self.user = ordinary_user()
        self._holder = None
        if self.user is not None:
            self._enter()

    def _enter(self):
        inside = self.folder / "inside"
        inside.mkdir(mode=0o700)
        self._holder = subprocess.Popen(["unshare", "-m", "sh", "-ec", PREPARE, "sh", inside])
        processes.until((inside / "ready").exists, 60, "a mount namespace")

    @staticmethod
    def _environ():
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *argv, user=None, environ=None, check=True, limit=None):
        """Runs a command, as root or as an ordinary user; returns what subprocess.run does."""
        words = list(map(str, argv))
        if self._holder is not None:
            inside = ["nsenter", "-t", str(self._holder.pid), "-m", f"--wd={self.folder}"]
            if user is not None:
                entry = pwd.getpwnam(user)
                words = [
                    "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}",
                    "--clear-groups", "--", *words,
                ]  # fmt: skip
            words = [*inside, *words]
        environ = {**self._environ(), **(environ or {})}
        if limit is not None:
            words = ["prlimit", f"--nofile={limit}", *words]
        done = subprocess.run(
            words, cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def luisito(self, *argv, **how):
        """Runs `luisito`; it never shows a traceback."""
        done = self.run(sys.executable, "-m", "luisito.cli", *argv, check=False, **how)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def write(self, **names):
        """Writes settings.py; <folder> stands for the folder."""
        text = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        self.path.write_text(text.replace("<folder>", str(self.folder)))
        self.path.chmod(0o644)

    def check(self, *options, fork=True, **how):
        """Runs `luisito check-settings`; returns the object it prints, with its status.

        In a fork (see forks), unless it is to be a child of ours, run as somebody else, or have a
        limit.
        """
        argv = ["check-settings", str(self.path), "--json", *options]
        done = self.luisito(*argv, **how) if how or not fork else self._fork(argv)
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)
        assert bool(found["problems"]) == bool(done.returncode)
        return found

    def _fork(self, argv):
        holder = self._holder
        done = self._forks.run(
            argv,
            folder=str(self.folder),
            environ=self._environ(),
            namespace=None if holder is None else f"/proc/{holder.pid}/ns/mnt",
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def mend(self, problem):
        """Does what a problem says."""
        ((kind, text),) = problem["mend"].items()
        if kind == "run":
            self.run("sh", "-ec", text)
        else:
            assert kind == "write", problem
            with self.path.open("a") as settings:
                settings.write(f"{text}\n")

    def make(self, name, text="", mode=0o755, owner=None):
        """Makes a file, or with no text a folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text) if text else path.mkdir(exist_ok=True)
        path.chmod(mode)
        if owner is not None:
            entry = pwd.getpwnam(owner)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return path

    def close(self):
        if self._holder is not None:
            with contextlib.suppress(ProcessLookupError):
                self._holder.kill()
            self._holder.wait()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def forks():
    made = Forks()
    yield made
    made.close()


@pytest.fixture
def machine(forks):
    made = Machine(forks)
    yield made
    made.close()


@pytest.fixture
def good(machine):
    """A machine whose settings have no problem: a site a.example of an ordinary user."""
    owner = None if machine.user is None else machine.user.pw_name
    machine.owner = owner
    machine.site = machine.make("srv/a.example", owner=owner)
    machine.make("log")
    machine.make("run", mode=0o711)
    machine.names = {
        "CMD_TPL": [PYTHON, "-m", "http.server", "%PORT"],
        "PROJECT_PATH": "<folder>/srv/%HOST",
        "OUTPUT_LOG_DIR": "<folder>/log",
        "ACCESS_LOG": "<folder>/log/access.log",
        "RUNTIME_DIR": "<folder>/run",
        "LISTEN": "unix:<folder>/run/http",
    }
    machine.write(**machine.names)
    return machine


def quoted(path):
    return shlex.quote(str(path))
