"""Site files that say by which command a server is stopped: whole servers."""

import json
import os
import re

import pytest

from tests.harness import processes
from tests.integration.test_control import luisito, status_of
from tests.integration.test_sites import Sites


class Stopped(Sites):
    """A site whose stop command is a line of shell, in which FILE is one that it may write."""

    def __init__(self, serve, line, text="", way="port", ordinary=False, **options):
        self.said = None
        super().__init__(serve, {}, {"OUTPUT_LOG_DIR": "<folder>/logs"}, ordinary=ordinary)
        self.said = self.log.parent / "said"
        self.stops_by(line, text, way, **options)

    def stops_by(self, line, text="", way="port", **options):
        command = ["sh", "-c", line.replace("FILE", str(self.said))]
        keys = f"stop_command = {json.dumps(command)}\n{text}"
        self.write("a.example", keys, self.command(way, **options))

    def stop(self):
        self.until("a.example", "a.example")
        (pid,) = self.server.warm("a.example").values()
        self.server.wait_for_log(r"a\.example: pid \d+ ready")
        assert luisito(self.server, "stop", "a.example").returncode == 0
        return pid

    def ended(self, how):
        self.server.wait_for_log(rf"a\.example: pid \d+ {how}", 20)

    def output(self, pattern):
        log = self.path.parent / "logs" / "a.example.log"
        processes.until(
            lambda: log.exists() and re.search(pattern, log.read_text()), 20, "its output"
        )


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_it_is_run_as_the_server_is(serve, way):
    line = "pwd >FILE; id -u >>FILE; id -G >>FILE; ulimit -c >>FILE; ulimit -n >>FILE"
    line += "; echo $SHOP %HOST $MAINPID ${LISTEN_FDS-none} >>FILE; cat /proc/self/cgroup >>FILE"
    line += "; ls /proc/self/fd | wc -l >>FILE; echo stops; kill -INT $MAINPID"
    text = 'user = "games"\n' if os.getuid() == 0 else ""
    text += 'folder = "/usr"\nenv.SHOP = "on %HOST"\nrlimits = { core = 0, nofile = 512 }\n'
    served = Stopped(serve, line, text, way)
    served.until("a.example", "a.example")
    (pid,) = served.server.servers()
    status = processes.status(pid)
    groups = {status["Gid"].split()[0], *status["Groups"].split()}
    with open(f"/proc/{pid}/cgroup") as file:
        cgroup = file.read()
    inner = served.stop()
    served.ended(r"was killed by SIGINT|exited")
    served.output("stops\n")
    folder, uid, gids, core, nofile, words, *rest = served.said.read_text().splitlines()
    assert (folder, uid) == ("/usr", status["Uid"].split()[0])
    assert set(gids.split()) == groups
    assert (core, nofile) == ("0", "512")
    assert words == f"on a.example a.example {inner} none"
    if served.server.cgroups is not None:
        assert rest[:-1] == cgroup.splitlines()
    assert rest[-1] == "4"  # 0 to 2, and that of ls


@pytest.mark.parametrize(
    ("line", "says", "how"),
    [
        ("echo not now; exit 3", "not now", "exited with code 3"),
        ("kill -9 $$", "", "was killed by SIGKILL (9)"),
    ],
    ids=["status", "signal"],
)
def test_where_it_fails_the_signal_is_sent(serve, line, says, how):
    served = Stopped(serve, line, 'stop_signal = "USR2"\nstop_timeout = 100\n')
    failed = f"stop_command 'sh' {how}, and SIGUSR2 was sent instead"
    served.server.expect(re.escape(failed))
    served.stop()
    served.ended("was killed by SIGUSR2")
    served.output(says)
    served.server.wait_for_log(rf"a\.example: pid \d+: {re.escape(failed)}")
    assert f"a.example: {failed}" in luisito(served.server, "status").stdout
    (told,) = status_of(served.server)["site_files"]["stop_commands"]
    assert told["site"] == "a.example"
    assert told["error"].startswith(failed)
    served.stops_by("kill -TERM $MAINPID")

    def mended():
        return not status_of(served.server)["site_files"]["stop_commands"]

    processes.until(mended, 20, "the mended file to be read")


def test_where_it_is_not_there_the_signal_is_sent(serve):
    served = Stopped(serve, "")
    command = 'stop_command = "/no/such/program %PORT"\nstop_timeout = 100\n'
    served.write("a.example", command, served.command("port"))
    served.server.expect("stop_command '/no/such/program' exited with code 127")
    served.stop()
    served.ended("was killed by SIGTERM")
    served.output("luisito: stop_command: no such program: '/no/such/program'; install it or mend")


def test_it_is_killed_with_the_server(serve, as_whom):
    """After stop_timeout, where neither comes to its end."""
    line = "trap '' TERM; echo $$ >FILE; (setsid sleep 1000 & echo $! >>FILE); sleep 1000; true"
    served = Stopped(serve, line, "stop_timeout = 1\n", ordinary=as_whom)
    served.stop()
    processes.until(lambda: served.said.exists() and served.said.read_text(), 20, "the command")
    served.server.wait_for_log("does not stop within STOP_TIMEOUT: killing it", 20)
    served.ended("was killed by SIGKILL")
    processes.until(lambda: not served.server.servers(), 20, "the end of all")


def test_it_ends_with_the_server(serve, as_whom):
    line = "kill -TERM $MAINPID; sleep 1000; echo more >FILE"
    served = Stopped(serve, line, ordinary=as_whom)
    served.stop()
    served.ended("was killed by SIGTERM")
    processes.until(lambda: not served.server.servers(), 20, "the end of all")
    assert not served.said.exists()


def test_one_that_rolls_is_stopped_by_its_own(serve):
    served = Stopped(serve, "echo old >>FILE; kill -TERM $MAINPID")
    served.until("a.example", "a.example")
    before = served.server.warm("a.example")
    served.server.wait_for_log(r"a\.example: pid \d+ ready")
    served.stops_by("echo new >>FILE; kill -TERM $MAINPID")
    processes.until(lambda: served.server.warm("a.example") != before, 20, "a roll")
    processes.until(lambda: served.said.exists() and served.said.read_text(), 20, "its end")
    assert served.said.read_text() == "old\n"
    served.server.stop()
    assert served.said.read_text() == "old\nnew\n"


def test_each_of_several_servers_is_stopped_by_it(serve):
    served = Stopped(serve, "echo %PORT >>FILE; kill -TERM $MAINPID", "processes = 2\n")
    served.until("a.example", "a.example")
    served.server.wait_for_log(r"a\.example#2: pid \d+ ready", 20)
    served.server.wait_for_log(r"a\.example: pid \d+ ready", 20)
    served.server.stop()
    ports = re.findall(r"a\.example(?:#2)?: started as .* port (\d+)", served.server.log())
    assert sorted(served.said.read_text().split()) == sorted(ports)
    assert len(set(ports)) == 2


def test_one_that_was_never_ready_is_sent_the_signal(serve):
    served = Stopped(serve, "echo >FILE", "start_timeout = 1\n", never_listen=True)
    served.server.expect("not ready after 1 s")
    served.until("a.example", 504)
    served.ended(r"was killed by SIGTERM|.*SIGTERM")
    assert not served.said.exists()


@pytest.mark.root
def test_never_as_root(serve):
    """Not even where the settings have all servers run so."""
    served = Stopped(serve, "id -u >FILE", 'user = "root"\n')
    path = served.path / "a.example.toml"
    served.server.expect("stop_command")
    served.server.wait_for_log(rf"{re.escape(str(path))}:\d+: stop_command = .*must not be set")
