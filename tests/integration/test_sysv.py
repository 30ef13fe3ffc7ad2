"""The script for machines without systemd, run as init would run it."""

import subprocess
import time

import pytest

from tests.harness.server import BIN, ROOT, Daemon, Server

SCRIPT = ROOT / "contrib" / "sysv" / "luisito"


class Sysv(Server):
    """Luisito started by the script, with the paths of a test in its defaults."""

    def __init__(self, **how):
        super().__init__(how="daemon", prepare=self._write_defaults, **how)
        self.environ["LUISITO_DEFAULTS"] = str(self.folder / "defaults")

    def _write_defaults(self, folder):
        (folder / "defaults").write_text(
            f"TWISTD={BIN}/twistd\nSETTINGS={folder}/settings.py\nPIDFILE={folder}/pid\n"
            f"LOGFILE={self.log_path}\nSTOP_SECONDS=20\n"
        )

    def _argv(self):
        return [str(SCRIPT), "start"]

    def init(self, word):
        """Runs the script; returns its exit status, and what it said."""
        environ = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT),
                   **self.environ}  # fmt: skip
        with open(self.folder / "said", "w+") as said:
            script = subprocess.Popen([SCRIPT, word], env=environ, stdout=said, stderr=said)
            while script.poll() is None:
                self.process.poll()  # it waits until Luisito is gone, whom we have to reap
                time.sleep(0.01)
            said.seek(0)
            return script.returncode, said.read()

    def renew(self):
        """Goes on with the process that the pidfile names."""
        self.process = Daemon(int((self.folder / "pid").read_text()))


@pytest.fixture
def server():
    with Sysv() as server:
        yield server


def test_start_status_and_stop(server):
    pid = server.process.pid
    assert server.request().status == 200
    assert server.init("status") == (0, f"luisito runs (pid {pid})\n")
    assert server.init("start") == (0, "luisito runs already\n")
    assert server.init("stop") == (0, "")
    assert server.process.returncode == 0
    assert server.init("status") == (3, "luisito does not run\n")
    assert server.init("reload") == (7, "luisito does not run\n")
    assert server.init("stop") == (0, "")


def test_restart_is_another_process(server):
    before = server.process.pid
    assert server.init("restart")[0] == 0
    assert server.process.returncode == 0
    server.renew()
    assert server.process.pid != before
    assert server.request().status == 200


def test_rotate_opens_the_logs_again(server):
    server.log_path.rename(server.folder / "luisito.log.1")
    server.log_path.touch()
    assert server.init("rotate") == (0, "")
    assert server.request().status == 200
    server.stop()
    assert "Server Shut Down" in server.log()


def test_a_pidfile_that_was_left_is_told(server):
    pid = server.process.pid
    server.stop()
    (server.folder / "pid").write_text(f"{pid}\n")
    status, said = server.init("status")
    assert (status, said) == (1, f"luisito does not run, and has left {server.folder}/pid\n")
    (server.folder / "pid").unlink()


def test_what_init_would_not_say_is_refused_with_usage(server):
    status, said = server.init("frobnicate")
    assert status == 2
    assert said.startswith("usage:")
