"""Logs that are renamed and opened again at SIGUSR1: nothing is lost."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from tests.harness import processes
from tests.harness.server import ROOT

REOPENED = "SIGUSR1: opening the log files again"


def targets(path):
    """Of the requests in an access log."""
    return [json.loads(line)["target"] for line in path.read_text().splitlines()]


def same(path, pid):
    """The descriptors of a process that are this file."""
    return [fd for fd, what in processes.descriptors(pid).items() if what == str(path)]


@pytest.mark.parametrize("how", ["twistd", "daemon", "twist", "tac", "run"])
def test_what_comes_after_goes_to_the_new_file(serve, how, as_whom):
    """The access log, and what twistd or twist writes."""
    own = {"twistd": ["--logfile=<folder>/own.log"], "tac": ["--logfile=<folder>/own.log"]}
    own["twist"] = ["--log-file=<folder>/own.log"]
    server = serve(how=how, ordinary=as_whom, options=own.get(how, ()), pidfile=how != "run")
    names = ["access.log"] if how != "run" else []
    if how in own:
        names.append("own.log")
    elif how == "daemon":
        names.append("luisito.log")
    server.request("/bytes/1")
    for name in names:
        os.rename(server.folder / name, server.folder / f"{name}.1")
    server.send_signal(signal.SIGUSR1)
    for name in names:
        processes.until((server.folder / name).exists, 10, f"a new {name}")
        processes.until(lambda name=name: same(server.folder / name, server.network), 10)
        # it is closed a moment after the new one was opened
        old = server.folder / f"{name}.1"
        processes.until(lambda old=old: not same(old, server.network), 10, "its end")
        assert (server.folder / name).stat().st_mode & 0o777 == 0o640
    server.request("/bytes/2")
    assert server.stop() == 0
    if how == "run":
        return
    assert targets(server.folder / "access.log.1") == ["/bytes/1"]
    assert targets(server.folder / "access.log") == ["/bytes/2"]
    server.unchecked |= {"access lines"} | ({"conservation"} if how in own else set())
    if len(names) == 2:
        old, new = (server.folder / f"{names[1]}.1", server.folder / names[1])
        assert REOPENED in old.read_text()
        assert "Listening on" in old.read_text()
        assert "finishing what is in flight" not in old.read_text()
        assert "finishing what is in flight" in new.read_text()


def test_no_line_is_lost_under_load(serve, as_whom):
    """However often it is asked for."""
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")
    requests = 3000
    paths = [f"/bytes/{at}" for at in range(requests)]
    done = threading.Event()

    def load():
        with server.client() as connection:
            for path in paths:
                assert connection.request(path).status == 200
        done.set()

    thread = threading.Thread(target=load)
    thread.start()
    for number in range(1, 1000):
        if done.is_set():
            break
        os.rename(server.access_path, server.folder / f"access.log.{number}")
        server.send_signal(signal.SIGUSR1)
        processes.until(server.access_path.exists)
    thread.join()
    assert server.stop() == 0
    assert number > 3
    seen = [
        target
        for at in (*range(1, number), "")
        for target in targets(server.folder / f"access.log.{at}".rstrip("."))
    ]
    assert sorted(seen) == sorted(["/echo", *paths])
    assert seen == ["/echo", *paths]  # none comes later than one that was answered after it
    server.unchecked |= {"access lines"}


def test_a_hundred_signals(serve):
    server = serve()
    server.warm("a.localhost")
    before = len(processes.descriptors(server.process.pid))
    for _ in range(100):
        server.send_signal(signal.SIGUSR1)
    server.wait_for_log(REOPENED)
    processes.until(
        lambda: (
            len(processes.descriptors(server.process.pid)) <= before
            and len(same(server.access_path, server.process.pid)) == 1
        )
    )
    assert server.request().status == 200


def test_what_cannot_be_opened_again_is_written_on(serve, as_whom):
    """Until it can."""
    server = serve({"ACCESS_LOG": "<folder>/logs/access.log"}, ordinary=as_whom, prepare=with_logs)
    server.warm("a.localhost")
    os.rename(server.folder / "logs", server.folder / "away")
    server.expect("ACCESS_LOG: log .*access.log.: folder .*No such file or directory at")
    server.send_signal(signal.SIGUSR1)
    server.wait_for_log("ACCESS_LOG: log")
    server.request("/bytes/2")
    with_logs(server.folder)
    server.send_signal(signal.SIGUSR1)
    path = server.folder / "logs" / "access.log"
    processes.until(lambda: same(path, server.process.pid), 5, "a new file")
    server.request("/bytes/3")
    assert server.stop() == 0
    assert targets(server.folder / "away" / "access.log") == ["/echo", "/bytes/2"]
    assert targets(path) == ["/bytes/3"]
    server.unchecked |= {"access lines"}


def test_a_full_log_is_left_for_the_new_file(serve):
    """What could not be written to the old one is in the new one; no descriptor is left."""
    server = serve(options=["--logfile=<folder>/own.log"])
    own, old, pid = server.folder / "own.log", server.folder / "own.log.1", server.process.pid
    server.warm("a.localhost")
    before = len(processes.descriptors(pid))
    processes.limit(pid, "fsize", own.stat().st_size)
    os.rename(own, old)
    server.send_signal(signal.SIGUSR1)
    processes.until(own.exists, 10, "a new own.log")
    processes.until(lambda: same(own, pid) and not same(old, pid), 10, "its use")
    processes.until(lambda: len(processes.descriptors(pid)) <= before, 20, "the end of the old one")
    processes.limit(pid, "fsize", "unlimited")
    assert server.stop() == 0
    assert REOPENED not in old.read_text()
    assert REOPENED in own.read_text()
    assert "finishing what is in flight" in own.read_text()
    server.unchecked |= {"conservation"}


def with_logs(folder):
    (folder / "logs").mkdir()
    status = folder.stat()
    os.chown(folder / "logs", status.st_uid, status.st_gid)


@pytest.mark.parametrize("how", ["twistd", "twist", "tac", "run"])
def test_a_signal_while_it_starts(serve, how):
    """It does no harm, and the files are opened again once they have been."""
    server = serve(how=how, wait=False)
    processes.until(lambda: "Sites are" in server.log(), 20, "its first word")
    while "Listening on" not in server.log() and server.process.poll() is None:
        server.send_signal(signal.SIGUSR1)
        time.sleep(0.005)
    server.wait_for_log(REOPENED)
    assert server.request().status == 200
    assert server.stop() == 0


def test_a_signal_while_it_drains(serve):
    server = serve()
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/0.5")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("finishing what is in flight")
        for _ in range(5):
            server.send_signal(signal.SIGUSR1)
        assert busy.response().status == 200
    assert server.wait() == 0


@pytest.mark.root
def test_a_log_that_is_no_plain_file_is_not_opened_again(serve):
    """As root nothing is written where somebody has put a link."""
    server = serve({"ACCESS_LOG": "<folder>/logs/access.log"}, prepare=with_logs)
    server.warm("a.localhost")
    path = server.folder / "logs" / "access.log"
    os.rename(path, f"{path}.1")
    (server.folder / "victim").write_text("")
    path.symlink_to(server.folder / "victim")
    server.expect("ACCESS_LOG: log .*access.log")
    server.send_signal(signal.SIGUSR1)
    server.wait_for_log("ACCESS_LOG: log")
    assert server.stop() == 0
    assert not (server.folder / "victim").read_text()
    server.unchecked |= {"access lines"}


SYSTEMCTL = """#!/bin/sh
case "$*" in
    "is-active --quiet luisito.service") ;;
    "kill --kill-whom=main --signal=USR1 luisito.service") kill -USR1 {pid} ;;
    *) exit 1 ;;
esac
"""


@pytest.mark.root
@pytest.mark.needs("logrotate")
@pytest.mark.parametrize("how", ["twistd", "daemon", "systemd"])
def test_logrotate(serve, how):
    """The configuration of contrib, with the folder of this test; systemd's unit has no pidfile."""
    server = serve(
        {"ACCESS_LOG": "<folder>/logs/access.log"},
        how="twistd" if how == "systemd" else how,
        prepare=with_logs,
        options=["--logfile=<folder>/logs/luisito.log"],
        pidfile=how != "systemd",
        environ={"NOTIFY_SOCKET": "/nonexistent/notify"} if how == "systemd" else {},
    )
    server.allow("The service manager was not told")
    logs = server.folder / "logs"
    text = (ROOT / "contrib" / "logrotate" / "luisito").read_text()
    for path, ours in (("/var/log/luisito", logs), ("/run/luisito.pid", server.folder / "pid")):
        assert path in text
        text = text.replace(path, str(ours))
    config = server.folder / "logrotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    programs = server.folder / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL.format(pid=server.process.pid))
    (programs / "systemctl").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}:/usr/sbin"
    for turn in range(3):
        server.request(f"/bytes/{turn}")
        processes.until((logs / "access.log").read_text)  # or there would be nothing to rotate
        argv = ["logrotate", "-f", "-s", str(server.folder / "state"), str(config)]
        subprocess.run(argv, check=True, env={"PATH": path})
        for name in ("access.log", "luisito.log"):
            processes.until(lambda name=name: same(logs / name, server.network))
    assert server.request("/bytes/3").status == 200
    assert server.stop() == 0
    assert targets(logs / "access.log") == ["/bytes/3"]
    assert targets(logs / "access.log.1") == ["/bytes/2"]
    names = sorted(path.name for path in logs.glob("access*"))
    assert names == ["access.log", "access.log.1", "access.log.2.gz", "access.log.3.gz"]
    assert "Listening on" not in (logs / "luisito.log").read_text()
    assert "Server Shut Down" in (logs / "luisito.log").read_text()
    server.unchecked |= {"access lines", "conservation"}
