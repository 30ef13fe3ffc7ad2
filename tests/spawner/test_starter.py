"""The program that has children ready: what it believes, and what becomes of it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luisito.core import wire
from luisito.process import launch as launching
from luisito.spawner import channel, render, starter, tree, users
from luisito.spawner.checks import wrong_start
from luisito.spawner.child import Pipes
from luisito.spawner.config import Config
from tests.harness import processes
from tests.harness.orders import configure

from .conftest import FORKING, PYTHON, read_all, wait_until

SOURCE = Path(starter.__file__).with_suffix(".c")
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
CHECKED = [*STRICT, "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture
def has_starter():
    if not starter.is_built():
        pytest.skip("needs the starter, which takes a C compiler when Luisito is installed")


@pytest.fixture(scope="module")
def checked():
    """The starter with checks of each access to memory, where every user can execute it."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tempfile.mkdtemp(prefix="luisito-test-")
    os.chmod(folder, 0o755)
    program = Path(folder) / "starter"
    subprocess.run(["gcc", *CHECKED, "-o", f"{program}.checked", SOURCE], check=True)
    # Where things lie at random over more bits, what gcc before 13 checks with cannot always begin.
    program.write_text(
        "#!/bin/sh\n"
        f'setarch -R true 2>/dev/null && exec setarch -R {program}.checked "$@"\n'
        f'exec {program}.checked "$@"\n'
    )
    program.chmod(0o755)
    yield str(program)
    shutil.rmtree(folder)


class Bench:
    """A starter without a spawner: each child is one of the test's own."""

    def __init__(self, **changes):
        self.config = Config(configure(**changes), root=False)
        uid, gid = os.geteuid(), os.getegid()
        self.user = users.Identity(uid, gid, os.getgroups(), "me", "/")
        with warnings.catch_warnings():  # of a fork beside the threads of a test run: it execs
            warnings.simplefilter("ignore", DeprecationWarning)
            self.starter = starter.Starter(os.getpid())

    def close(self):
        self.starter.close()
        assert os.waitpid(self.starter.pid, 0)[1] == 0

    def child(self, server=1, limits=None):
        """Have a child ready; return its process id, its orders, its status and its output."""
        pairs = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
        (output, output_end), (status, status_end) = pairs
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = Pipes(output_end, status_end, -1, theirs.fileno(), -1)
        with theirs:
            pid = self.starter.prepare(
                self.config, "/run/nowhere", limits or {}, server, self.user, pipes, None
            )
        channel.close([output_end, status_end])
        return pid, ours, status, output

    def told(self, data, descriptors=(), **child):
        """Tell a new child something; return its report and its output."""
        pid, orders, status, output = self.child(**child)
        with orders, contextlib.suppress(ConnectionError):
            channel.send(orders, data, tuple(descriptors))
        said = read_all(status), read_all(output)
        os.waitpid(pid, 0)
        channel.close([status, output])
        return said


@pytest.fixture(scope="module")
def bench(checked):
    """By which nothing is executed but a program that tells its arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starter, "PROGRAM", checked)
        made = Bench(command=["/bin/echo", "%HOST", "%PORT"])
        yield made
        made.close()


def test_it_is_compiled_without_a_warning(tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    for level in ("-O2", "-O0"):
        command = ["gcc", *STRICT, level, "-o", tmp_path / "starter", SOURCE]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_both_sides_know_the_same():
    source = SOURCE.read_text()
    names = re.search(r"enum \{ (SITE = .*?) \};", source)[1]
    marks = {name: chr(int(code)) for name, code in re.findall(r"(\w+) = (\d)", names)}
    assert marks == {name: getattr(render, name) for name in ("SITE", "PORT", "PID", "NAME")}
    assert f"VERSION = {starter._VERSION} }}" in source
    head = re.search(r"struct head \{(.*?)\};", source, re.DOTALL)[1]
    numbers = [
        name for names in re.findall(r"int64_t ([\w, ]+);", head) for name in names.split(",")
    ]
    assert len(numbers) * 8 == starter._HEAD.size


TEXT = st.text(st.sampled_from("a%HOSTPRUID\x01\x03:é=/"), max_size=12).filter(
    lambda text: "%SOCKET" not in text and "%FD" not in text
)
SITES = st.sampled_from(["a.example", "x", "[::1]", "xn--a-1.b_c"])


@given(words=st.lists(TEXT, max_size=3), env=TEXT, site=SITES, port=st.none() | st.just(20001))
def test_a_blank_that_is_filled_in_is_what_would_be_rendered(words, env, site, port):
    command = ["/bin/x", *words] + ([] if port is None else ["%PORT"])
    if port is None and any("%PORT" in text for text in (*words, env)):
        port = 20001
    config = Config(configure(command=command, env={"A": env}), root=False)
    user = users.Identity(1000, 1000, [], "me", "/home/me")
    order = wire.Start(7, site, port)
    wanted = render.render(config, "/run/x", order, user)
    blank = render.render_blank(config, "/run/x", 7, user)
    if blank is None:
        assert re.search("[\x01-\x04]", "".join(command) + env)
        return
    name = site.replace(":", "-")
    told = dict(zip("\x01\x02\x03\x04", (site, str(port), str(os.getpid()), name), strict=True))

    def fill(text):
        return re.sub("[\x01-\x04]", lambda found: told[found[0]], text)

    assert [fill(word) for word in blank.argv] == wanted.argv
    assert {key: fill(value) for key, value in blank.environ.items()} == wanted.environ


RIGHT = [(b"1 20001 a.example", "a.example 20001\n"), (b"1 65535 [::1]", "[::1] 65535\n")]


@pytest.mark.parametrize(("data", "output"), RIGHT)
def test_what_is_right_is_executed(bench, data, output):
    report, said = bench.told(data)
    site = data.split()[-1].decode()
    assert report == f"{os.geteuid()} {os.getegid()} {site} me\n"
    assert said == output


WRONG = [
    b"", b"1", b"1 ", b"1 20001", b"1 20001 ", b"2 20001 a", b"11 20001 a", b"01 20001 a",
    b"1  20001 a", b"1 0 a", b"1 020001 a", b"1 +20001 a", b"1 -1 a", b"1 65536 a", b"1 1023 a",
    b"1 99999999999999999999 a", b"1 20001x a", b"1 20001 -rf", b"1 20001 .a", b"1 20001 a/b",
    b"1 20001 a b", b"1 20001 a\0b", b"1 20001 A", b"1 20001 \xc3\xa9", b"1 20001 a\n", b"\0",
    b"1 20001 \x01", b"1 20001 x:y[a-z]", b"1 20001 [a-z]", b"1 20001 [::1]x", b"1 20001 [::1",
    b"1 20001 [", b"1 20001 []", b"1 20001 [[::1]]", b"1 20001 a:b", b"1 20001 " + b"a" * 254,
    b"1 20001 " + b"a" * 1100, b"1 20001 " + b"a" * 70000,
]  # fmt: skip


@pytest.mark.parametrize("data", WRONG)
def test_what_is_wrong_is_not(bench, data):
    report, said = bench.told(data)
    assert (report, said) == (("", "") if not data else ("!order 0\n", ""))


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=60)
    | st.builds(
        "{} {} {}".format,
        st.sampled_from(["1", "2", "", "01"]),
        st.sampled_from(["20001", "0", "1024", "x"]),
        st.text(st.sampled_from("ab.-_:[]/\x01 A0"), max_size=9) | st.just("a" * 253),
    ).map(str.encode)
)
def test_it_takes_all_that_the_spawner_takes_and_nothing_that_harms(bench, data):
    report, said = bench.told(data)
    try:
        order = wire.decode_start(data)
    except wire.WireError:
        order = None
    if order is not None and order.server == 1 and wrong_start("port", order, []) is None:
        assert said == f"{order.site} {order.port}\n"
    if said:
        site, port = said.split()
        assert data == f"1 {port} {site}".encode()
        assert re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,252}|\[[0-9a-f:.]{2,46}\]", site)
    else:
        assert report in ("", "!order 0\n")


def test_one_of_another_release_is_done_without(checked):
    for arguments in ([], ["1"], [str(starter._VERSION + 1), str(os.getpid())]):
        assert subprocess.run([checked, *arguments], check=False).returncode == 2
    assert subprocess.run([checked, str(starter._VERSION), "1"], check=False).returncode == 1


def test_descriptors_that_do_not_belong_there_are_refused(bench):
    with open("/dev/null", "rb") as file:
        for count in (1, 2, 9, 200):
            assert bench.told(b"1 20001 a", [file.fileno()] * count)[0] == "!order 0\n"


def test_what_is_handed_over_must_listen(checked, monkeypatch):
    monkeypatch.setattr(starter, "PROGRAM", checked)
    handed = Bench(command=["/bin/readlink", "/proc/self/fd/%FD"])
    with open("/dev/null", "rb") as file, socket.socket(socket.AF_UNIX) as mute:
        assert handed.told(b"1 0 a", [file.fileno()])[0] == "!order 0\n"
        assert handed.told(b"1 0 a", [mute.fileno()])[0] == "!order 0\n"
        assert handed.told(b"1 0 a")[0] == "!order 0\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        report, said = handed.told(b"1 0 a", [listener.fileno()])
    assert report.endswith(" a me\n")
    assert said.startswith("socket:")
    handed.close()


def test_it_refuses_what_is_no_message(bench):
    """Nobody but the spawner can send any, but a fault of its own must not go further."""
    whole = starter._pack(bench.config, "/run/x", {}, 1, bench.user, os.getpid())
    with open("/dev/null", "rb") as file:
        beside = (file.fileno(),) * 3
        for data in (
            b"\0", whole[:50], whole[:-1], whole + b"x\0", whole[:104],
            *(whole[: 8 * at] + b"\xff" * 7 + b"\x7f" + whole[8 * at + 8 :] for at in range(8, 13)),
            *(whole[: 8 * at] + b"\xff" * 8 + whole[8 * at + 8 :] for at in range(8, 13)),
        ):  # fmt: skip
            channel.send(bench.starter._sock, data, beside)
            assert bench.starter._answer() is None, data
        channel.send(bench.starter._sock, whole)
        assert bench.starter._answer() is None
    assert bench.told(b"1 20001 a")[1] == "a 20001\n"


@pytest.mark.usefixtures("has_starter")
def test_another_one_takes_the_place_of_one_that_was_killed(as_user):
    as_user.launch(command=["sh", "-c", "echo $LISTEN_FDNAMES; exec sleep 1000"])
    for server in range(1, 4):
        first = as_user.starter
        os.kill(first, signal.SIGKILL)
        _, output = as_user.run(server, f"s{server}.example")
        os.set_blocking(output, True)
        assert os.read(output, 100) == f"s{server}.example\n".encode()
        as_user.wait(wire.Running)
        assert wait_until(lambda first=first: as_user.starter not in (None, first))
        assert wait_until(as_user.waiting)
    assert len(as_user.silent()) == 3


@pytest.mark.usefixtures("has_starter")
def test_one_that_does_not_answer_is_not_waited_for(as_user):
    as_user.launch(command=["sleep", "1000"])
    assert wait_until(as_user.waiting)
    stopped = as_user.starter
    os.kill(stopped, signal.SIGSTOP)
    as_user.run(7)  # none waits for that number
    as_user.wait(wire.Running)
    as_user.run(8)
    as_user.wait(wire.Running)
    os.kill(stopped, signal.SIGCONT)
    assert wait_until(lambda: tree.status(stopped) is None)
    server = 8
    while as_user.starter is None and server < 20:  # once all that were forked are used
        server += 1
        as_user.run(server)
        as_user.wait(wire.Running)
        wait_until(lambda: as_user.starter is not None, 0.3)
    assert as_user.starter not in (None, stopped)
    assert len(as_user.silent()) == server - 6


def run_each(network, count, until=lambda: True):
    """Start so many servers, one after another, and see each run and something be true then."""
    for server in range(1, count + 1):
        network.run(server)
        network.wait(wire.Running)
        assert wait_until(until)
    assert len(network.silent()) == count


@pytest.mark.parametrize("program", ["/bin/false", "/etc/passwd", "/"])
def test_one_that_cannot_run_is_done_without(as_user, monkeypatch, program):
    monkeypatch.setattr(launching, "_CODE", FORKING.replace("/nonexistent", program))
    as_user.launch(command=["sleep", "1000"], awaited=False)
    run_each(as_user, 2)
    assert wait_until(lambda: as_user.starter is None)


def lacking(call, folder, monkeypatch):
    """Have spawners use a starter for whom the kernel has no such system call."""
    first, program = Path(folder) / "first.h", f"{folder}/starter"
    number = f"#include <sys/syscall.h>\n#undef SYS_{call}\n#define SYS_{call} 9999\n"
    first.write_text(number)
    os.chmod(folder, 0o777)  # all that is run here is run as the user
    gcc = ["gcc", "-D_GNU_SOURCE", "-w", "-include", first, "-o", program, SOURCE]
    subprocess.run(gcc, check=True)
    monkeypatch.setattr(launching, "_CODE", FORKING.replace("/nonexistent", program))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_where_the_kernel_cannot_close_ranges_all_is_forked(as_user, monkeypatch, folder):
    lacking("close_range", folder, monkeypatch)
    as_user.launch(command=["sleep", "1000"], awaited=False)
    run_each(as_user, 5, lambda: as_user.children() and as_user.starter is None)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_where_it_cannot_clone_into_a_cgroup_all_is_forked(as_root, monkeypatch, folder):
    lacking("clone3", folder, monkeypatch)
    as_root.launch(command=["sleep", "1000"], awaited=False)
    folder = as_root.hello.runtime_dir
    run_each(as_root, 6, lambda: os.path.exists(f"{folder}/{as_root.last + 1}"))
    assert (as_root.starter is None) == ("each has a cgroup of its own" in as_root.hello.words)


@pytest.mark.usefixtures("has_starter")
def test_it_goes_with_the_spawner_and_so_do_those_that_wait(network):
    network.launch(command=["sleep", "1000"])
    assert wait_until(network.waiting)
    pids = [network.starter, *network.children()]
    os.kill(network.spawner, signal.SIGKILL)
    assert wait_until(lambda: not any(tree.status(pid) for pid in pids if pid is not None))


@pytest.mark.usefixtures("has_starter")
def test_it_keeps_nothing_of_ours_open(as_root):
    as_root.launch(command=["sleep", "1000"])
    assert wait_until(as_root.waiting)
    (waiting,) = as_root.waiting()

    def held(pid):
        return {one: os.readlink(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd")}

    # once it waits for more, and the child for its order
    assert wait_until(lambda: sorted(held(as_root.starter)) == ["0", "1", "2", "3"])
    kinds = ["/dev/null", "pipe", "pipe", "pipe", "socket"]
    assert wait_until(
        lambda: [at.split(":")[0] for _, at in sorted(held(waiting).items())] == kinds
    )
    status = processes.status(waiting)
    for name in ("CapBnd", "CapPrm", "CapEff", "SigBlk", "SigCgt"):
        assert int(status[name], 16) == 0, (name, status[name])
    # 32 and 33 are the C library's, and stay as whoever started the spawner had them
    assert int(status["SigIgn"], 16) & ~(0b11 << 31) == 0, status["SigIgn"]
    assert status["NoNewPrivs"] == "1"


@pytest.mark.usefixtures("has_starter")
def test_what_it_cannot_be_told_is_started_without_it(as_user):
    script = "import os; print(ascii(os.environ['A']))"
    as_user.launch(command=[*PYTHON, script], env={"A": "\x01 %HOST"})
    _, output = as_user.run(1)
    assert read_all(output) == "'\\x01 a.example'\n"


def test_what_cannot_be_encoded_is_told_when_somebody_waits(each_way):
    each_way.launch(command=["sleep", "1000"], env={"A": "\ud800"})
    each_way.start(1)
    assert "UnicodeEncodeError" in each_way.wait(wire.Failed).message
    assert each_way.silent() == []


def test_a_folder_that_is_half_made_is_not_in_the_way_of_its_own_server(each_way, monkeypatch):
    code = "import os; os.chmod = lambda *_: os.stat('/nonexistent'); from luisito.spawner.main"
    monkeypatch.setattr(
        launching, "_CODE", launching._CODE.replace("from luisito.spawner.main", code, 1)
    )
    each_way.launch(command=["sleep", "1000"], awaited=False)
    each_way.start(1)
    assert "FileNotFoundError" in each_way.wait(wire.Failed).message
    assert each_way.silent() == []


SLOW = (
    "from luisito.spawner import stuck; "
    "stuck._try = lambda *_, **__: __import__('time').sleep(60); from"
)


@pytest.mark.usefixtures("has_starter")
def test_where_nobody_can_look_the_number_must_do(as_user, monkeypatch):
    monkeypatch.setattr(launching, "_CODE", launching._CODE.replace("from", SLOW, 1))
    as_user.launch(command=["/nonexistent"])
    begun = time.monotonic()
    as_user.start(1)
    fact = as_user.wait(wire.Failed)
    assert time.monotonic() < begun + 30
    assert fact.message == (
        "before the command could run: FileNotFoundError: [Errno 2] exec: No such file or directory"
    )
    as_user.start(2)
    assert as_user.wait(wire.Failed).server == 2
