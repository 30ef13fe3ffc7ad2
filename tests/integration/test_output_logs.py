"""The files of the servers' output, through the whole server: OUTPUT_LOG_DIR, LOG_*."""

import itertools
import os
import pwd
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import client, processes
from tests.harness.server import BIN, PYTHON, ROOT, ordinary_user

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d{4}"
OURS = re.compile(rb"^%s luisito: .*\n" % TIME.encode(), re.MULTILINE)
FOLDER = {"OUTPUT_LOG_DIR": "<folder>/logs"}
LINE = 100  # bytes of a line of /stdout-lines


def make_logs(folder):
    """The folder of the logs, which whoever runs Luisito may write to."""
    (folder / "logs").mkdir()
    status = folder.stat()
    os.chown(folder / "logs", status.st_uid, status.st_gid)


def make_logs_of_another(folder):
    make_logs(folder)
    user = ordinary_user()
    os.chown(folder / "logs", user.pw_uid, user.pw_gid)


@pytest.fixture
def logging(serve):
    """Starts a server that keeps the output."""

    def start(settings=None, prepare=make_logs, **how):
        return serve({**FOLDER, **(settings or {})}, prepare=prepare, **how)

    return start


def text(server, site="a.localhost"):
    try:
        return (server.folder / "logs" / f"{site}.log").read_bytes()
    except FileNotFoundError:  # it is not there yet, or not there again after a rotation
        return b""


def wait_for(server, pattern, site="a.localhost"):
    """Waits until the file has a match."""
    found = re.compile(pattern.encode(), re.MULTILINE)
    return processes.until(lambda: found.search(text(server, site)), 10, f"output {pattern!r}")


def numbers(content):
    """Of the lines of /stdout-lines, in order; nothing but lines of Luisito may be beside them.

    None stands for a place where something is missing and that is said.
    """
    found = []
    for line in content.splitlines(keepends=True):
        if OURS.fullmatch(line):
            if b"bytes of output were dropped here" in line:
                found.append(None)
            continue
        match = re.fullmatch(rb"line (\d{9}) \.{84}\n", line)
        assert match, line
        found.append(int(match[1]))
    return found


@pytest.mark.parametrize(
    ("ordinary", "prepare"),
    [
        pytest.param(True, make_logs, id="ordinary"),
        pytest.param(False, make_logs, id="root", marks=pytest.mark.root),
        pytest.param(False, make_logs_of_another, id="another's folder", marks=pytest.mark.root),
    ],
)
def test_a_life_in_lines(logging, ordinary, prepare):
    server = logging(
        {"MAX_SERVERS": 1},
        ordinary=ordinary,
        prepare=prepare,
        origin={"*": {"say": "words of\nthe app"}},
    )
    server.warm("a.localhost")
    pid = server.pid()
    server.warm("b.localhost")
    wait_for(server, "luisito: pid .* after")
    own = server.user or pwd.getpwuid(os.getuid())
    user = pwd.getpwnam("nobody") if own.pw_uid == 0 else own
    who = rf"user {user.pw_name} \(uid {user.pw_uid}, gid {user.pw_gid}\)"
    command = rf"{PYTHON} -I -S {server.folder}/origin\.py --fd 3 --site a\.localhost .*"
    expected = [
        rf"started as pid {pid}, {who}, a socket handed over, in {server.folder}: {command}",
        rf"pid {pid} ready after \d+\.\d\d\d s",
        rf"stopping pid {pid}: room was needed for another site",
        rf"pid {pid} was killed by SIGTERM \(15\) after \d+\.\d\d\d s",
    ]
    ours = [line for line in text(server).decode().splitlines() if " luisito: " in line]
    assert len(ours) == len(expected), ours
    for line, pattern in zip(ours, expected, strict=True):
        assert re.fullmatch(f"{TIME} luisito: {pattern}", line), line
        words = line.partition(" luisito: ")[2]
        # of the other site its user need not know
        words = words.replace("another site", "b.localhost")
        assert f"a.localhost: {words}" in server.log()
    theirs = OURS.sub(b"", text(server))
    assert theirs == b"words of\nthe app\n"
    assert text(server).startswith(ours[0].encode())  # nothing of the app comes before
    status = os.stat(server.folder / "logs" / "a.localhost.log")
    assert status.st_uid == (server.user.pw_uid if server.user else os.getuid())


def test_values_of_env_are_no_part_of_it(logging):
    secret = "s3cret-of-the-app"
    server = logging({"ENV": {"TOKEN": secret, "WHERE": f"{secret}-%HOST"}})
    server.warm("a.localhost")
    wait_for(server, "ready after")
    assert secret.encode() not in text(server)
    assert secret not in server.log()


def test_a_word_cannot_forge_a_line(logging):
    command = ["sh", "-c", 'exit "$0"', "3", "a\n2026-11-25T09:00:00+0000 luisito: forged", "%FD"]
    server = logging({"CMD_TPL": command})
    server.expect("exited with code 3 before it was ready", "502 for GET")
    assert server.request().status == 502
    wait_for(server, "exited with code 3")
    assert not re.search(rb"(?m)^\S+ luisito: forged", text(server))
    assert rb"\n2026-11-25" in text(server)


def test_an_idle_server(logging):
    server = logging({"IDLE_TIMEOUT": 0.3})
    server.warm("a.localhost")
    wait_for(server, r"stopping pid \d+: unused for 0\.3 s \(IDLE_TIMEOUT\)")


def test_luisito_s_end(logging):
    server = logging()
    server.warm("a.localhost")
    server.request("/stdout-text/unfinished")
    assert server.stop() == 0
    lines = text(server).decode().splitlines()
    assert lines[-3] == "unfinished"
    assert lines[-2].endswith(": shutting down")
    assert "was killed by SIGTERM (15)" in lines[-1]


def test_a_server_that_ignores_sigterm(logging):
    server = logging({"STOP_TIMEOUT": 0.5}, origin={"*": {"ignore_term": True}})
    server.warm("a.localhost")
    assert server.stop() == 0
    lines = text(server).decode().splitlines()
    assert "does not stop within STOP_TIMEOUT: killing it" in lines[-2]
    assert "was killed by SIGKILL (9) after" in lines[-1]
    assert "memory" not in lines[-1]


def test_38_killed_by_somebody_else(logging):
    server = logging()
    server.warm("a.localhost")
    os.kill(server.pid(), signal.SIGKILL)
    wait_for(server, r"killed by SIGKILL \(9\) after .* s; Luisito did not send it: .*memory")


def test_23_a_command_that_fails(logging):
    server = logging(origin={"*": {"exit_early": 3, "say": "my last words"}})
    server.expect("exited with code 3 before it was ready", "502 for GET")
    assert server.request().status == 502
    wait_for(server, r"the command exited with code 3 before it was ready")
    lines = text(server).decode().splitlines()
    assert "started as pid" in lines[0]
    assert lines[1] == "my last words"
    assert len(lines) == 3


def test_22_a_program_that_is_missing(logging):
    server = logging({"CMD_TPL": ["/no/such/program", "%FD"]})
    server.expect("cannot start: no such program", "502 for GET")
    assert server.request().status == 502
    wait_for(server, "luisito: cannot start: no such program: '/no/such/program'")


def test_an_unfinished_line_stays_whole(logging):
    server = logging()
    server.warm("a.localhost")
    wait_for(server, "ready")
    server.request("/stdout-text/no-end-of-line")
    os.kill(server.pid(), signal.SIGKILL)
    wait_for(server, "killed by SIGKILL")
    assert re.search(rb"(?m)^no-end-of-line\n\S+ luisito: pid \d+ was killed", text(server))


def test_an_unfinished_line_of_an_earlier_luisito(logging):
    def prepare(folder):
        make_logs(folder)
        path = folder / "logs" / "a.localhost.log"
        path.write_bytes(b"cut o")
        status = folder.stat()
        os.chown(path, status.st_uid, status.st_gid)

    server = logging(prepare=prepare)
    server.warm("a.localhost")
    wait_for(server, "ready")
    assert re.match(rb"cut o\n\S+ luisito: started as pid", text(server))


def test_the_last_words_of_a_python_that_crashes(logging):
    """PYTHONUNBUFFERED is set: what was printed is not lost in a buffer."""
    code = "import os; print('hello'); os.kill(os.getpid(), 9)"
    server = logging({"CMD_TPL": [PYTHON, "-S", "-c", code, "%FD"]})
    server.expect("killed by SIGKILL", "502 for GET")
    assert server.request().status == 502
    wait_for(server, "^hello$")


def test_sigusr1_goes_over_to_new_files_and_loses_nothing(logging, as_whom):
    server = logging({"LOG_RATE": 400_000}, ordinary=as_whom)
    server.warm("a.localhost", "b.localhost")
    wait_for(server, "ready")
    wait_for(server, "ready", "b.localhost")
    path = server.folder / "logs" / "a.localhost.log"
    count, times = 20_000, 5
    with server.client(timeout=60) as flood:
        flood.ask(f"/stdout-lines/{count}")
        for number in range(times):
            processes.until(lambda: b"line " in text(server), 10, "lines")
            path.rename(f"{path}.{number}")
            server.send_signal(signal.SIGUSR1)
            processes.until(path.exists, 10, "a new file")
        assert flood.response().status == 200
    server.request("/stdout-text/end")
    processes.until(lambda: text(server).endswith(b"end"), 10, "the end")
    parts = [Path(f"{path}.{number}").read_bytes() for number in range(times)]
    whole = b"".join([*parts, text(server)]).removesuffix(b"end")
    assert numbers(whole) == list(range(count))
    # that of a site that says nothing is another file, too
    held = processes.descriptors(server.process.pid).values()
    assert not [name for name in held if ".log." in name]


# Too much of it

YES = 'case "$0" in yes*) yes "$0" & esac; exec "$@"'


def with_yes(server_folder="<folder>"):
    origin = f"{server_folder}/origin.py"
    seen = f"{server_folder}/seen/origin.log"
    return [
        "sh", "-c", YES, "%HOST", PYTHON, "-I", "-S", origin, "--fd", "%FD", "--site", "%HOST",
        "--log", seen,
    ]  # fmt: skip


@pytest.mark.parametrize("folder", ["<folder>/logs", None])
def test_31_yes(logging, folder):
    """FAULTS 31: a site that writes without end is read at LOG_RATE, and no other one waits."""
    rate = 100_000
    server = logging(
        {"CMD_TPL": with_yes(), "OUTPUT_LOG_DIR": folder, "LOG_RATE": rate},
        files=("origin.py",),
    )
    began = time.monotonic()
    server.warm("yes.localhost")
    before = int(processes.io(server.process.pid)["rchar"])
    results = server.load(client.gets(["b.localhost", "yes.localhost"] * 200), 4)
    assert client.statuses(results) == {200: 400}
    read = int(processes.io(server.process.pid)["rchar"]) - before
    most = rate * (time.monotonic() - began + 1) + 65536
    assert read < most + 400 * 4096
    if folder is not None:
        written = len(text(server, "yes.localhost"))
        assert 0 < written <= most + 4096
        processes.until(lambda: len(text(server, "yes.localhost")) > written, 5, "more")
    # The pipe is full, and whoever writes there waits.
    (yes,) = [pid for pid in server.servers() if processes.command(pid).startswith("yes ")]
    written = int(processes.io(yes)["wchar"])
    assert written <= rate * (time.monotonic() - began + 1) + 3 * 65536


@pytest.mark.parametrize("keep", [0, 2])
def test_rotation_under_a_flood(logging, as_whom, keep):
    """The files of a site never take more than LOG_MAX_SIZE * (LOG_KEEP + 1)."""
    size = 64 * 1024
    server = logging(
        {"LOG_MAX_SIZE": size, "LOG_KEEP": keep, "LOG_RATE": 400_000, "MAX_SERVERS": 2},
        ordinary=as_whom,
    )
    server.allow("its output cannot be written to a file: too much waits")  # on a busy machine
    server.warm("a.localhost", "b.localhost")
    wait_for(server, "ready")
    folder = server.folder / "logs"
    count = 15_000
    largest, others = 0, 0
    with server.client(timeout=60) as flood:
        flood.ask(f"/stdout-lines/{count}")
        while not select.select([flood.sock], [], [], 0)[0]:
            sizes = [entry.stat().st_size for entry in listed(folder, "a.localhost")]
            largest = max(largest, sum(sizes))
            assert all(found <= size for found in sizes), sizes
            assert len(sizes) <= keep + 1
            assert server.request(host="b.localhost").status == 200
            others += 1
        assert flood.response().status == 200
    assert others > 0
    wait_for(server, f"^line {count - 1:09d} ")
    assert size * keep // 2 < largest <= size * (keep + 1)
    names = sorted((entry.name for entry in listed(folder, "a.localhost")), reverse=True)
    assert len(names) == keep + 1
    found = numbers(b"".join((folder / name).read_bytes() for name in names))
    for one, next_one in itertools.pairwise(found):
        assert None in (one, next_one) or next_one == one + 1
    assert len(found) * LINE > size * keep // 2


def listed(folder, site):
    found = []
    for entry in os.scandir(folder):
        if entry.name.startswith(f"{site}.log"):
            try:
                entry.stat()
            except FileNotFoundError:
                continue  # has been renamed
            found.append(entry)
    return found


@pytest.mark.root
def test_39_a_full_disk(small_disk, serve):
    """FAULTS 39: traffic goes on, and what was dropped is counted to the byte."""
    server = serve({"OUTPUT_LOG_DIR": str(small_disk), "LOG_RATE": 500_000})
    server.expect("its output cannot be written to a file: No space left on device")
    server.warm("a.localhost", "b.localhost")
    path = small_disk / "a.localhost.log"
    processes.until(lambda: path.exists() and b"ready" in path.read_bytes(), 10, "the file")
    count = 25_000  # lines: what the disk takes, what is held for it, and a megabyte more
    assert server.request(f"/stdout-lines/{count}").status == 200
    assert path.stat().st_size <= 64 * 1024
    results = server.load(client.gets(["a.localhost", "b.localhost"] * 50), 4)
    assert client.statuses(results) == {200: 100}
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    gap = re.compile(rb"luisito: (\d+) bytes of output were dropped here")

    def again():
        server.request("/stdout-lines/1")  # before which it is said that something is missing
        return gap.search(path.read_bytes())

    processes.until(again, 10, "the note of what is missing")
    os.kill(server.pid("a.localhost"), signal.SIGKILL)
    processes.until(lambda: b"killed by SIGKILL" in path.read_bytes(), 10, "the last line")
    content = path.read_bytes()
    asked = sum(line["target"] == "/stdout-lines/1" for line in server.seen("head"))
    kept = sum(number is not None for number in numbers(content)) * LINE
    dropped = sum(map(int, gap.findall(content)))
    assert kept + dropped == (count + asked) * LINE
    assert kept > 1_000_000
    assert dropped > 0


# Those that leave


@pytest.mark.parametrize(
    ("options", "mend"),
    [(["-D"], b"remove -D"), (["--daemon"], b"remove --daemon")],
)
def test_28_gunicorn_as_a_daemon(logging, as_whom, options, mend):
    if as_whom and os.getuid() == 0 and not reachable():
        pytest.skip("needs a checkout that other users can read")
    server = logging(
        {"CMD_TPL": [f"{BIN}/gunicorn", *options, "--bind=127.0.0.1:%PORT", "wsgi:app"]},
        ordinary=as_whom,
        files=("wsgi.py",),
    )
    server.expect("went into the background .*remove", "502 for GET")
    response = server.request()
    assert response.status == 502
    assert b"the command went into the background (it exited with code 0" in response.body
    assert mend in response.body
    wait_for(server, "went into the background")
    processes.until(lambda: not server.servers(), 5, "the end of the daemon")


def reachable():
    return not subprocess.run(
        [f"{BIN}/gunicorn", "--version"], user=ordinary_user().pw_uid, check=False
    ).returncode


def test_28_a_command_that_ends_while_it_is_ready(logging):
    """Its child has been answering, and would be started again and again."""
    script = (
        "python3 -m http.server --bind 127.0.0.1 %PORT & while [ ! -e end ]; do sleep 0.05; done"
    )
    server = logging({"CMD_TPL": ["sh", "-c", script]})
    server.expect("went into the background")
    assert server.request("/").status == 200
    (server.folder / "end").touch()
    found = wait_for(server, r"child pid (\d+) lived on.*: remove the & from")
    assert int(found[1])
    processes.until(lambda: not server.servers(), 5, "the end of the child")


def test_who_follows_a_log_misses_nothing_when_it_is_rotated(logging):
    server = logging({"LOG_MAX_SIZE": 64 * 1024})
    server.warm("a.localhost")
    server.wait_for_log("Control socket: ")
    wait_for(server, " ready after ")
    count = 2000  # lines in three or four files, of which all are kept
    argv = [sys.executable, "-m", "luisito.cli", "logs", "a.localhost", "-f", "-n", "1"]
    argv += ["--runtime-dir", str(server.runtime)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as following:
        # It has begun to follow; that line may not have been there when it began.
        assert any(b" ready after " in line for line in iter(following.stdout.readline, b""))
        assert server.request(f"/stdout-lines/{count}").status == 200
        last = b"line %09d " % (count - 1)
        heard = []
        while not (heard and heard[-1].startswith(last)):
            heard.append(following.stdout.readline())
            assert heard[-1], heard[-2:]
        following.send_signal(signal.SIGINT)
    assert numbers(b"".join(heard)) == list(range(count))
    assert (server.folder / "logs" / "a.localhost.log.2").exists()
