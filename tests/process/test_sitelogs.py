"""What the sites' servers write, on its way into real files; the clock stands still."""

import os
import queue
import re
import threading
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from luisito.core import wire
from luisito.process import sitelog
from luisito.process.sitelogs import SiteLogs
from luisito.process.told import LogFile
from luisito.process.writer import Writer
from luisito.spawner.logs import open_log
from tests.net.turns import descriptors

OURS = re.compile(rb"(?m)^[-+:T0-9]{24} luisito: (.*)\n")

RATE = 1 << 19
HELD = 2 * RATE


class Rig:
    """The logs of some sites, with the reactor's part done by hand."""

    def __init__(self, folder, max_size=1 << 20, keep=5):
        self.folder = folder
        self.config = SimpleNamespace(
            access_log=None, output_log_dir=str(folder), log_max_size=max_size, log_keep=keep
        )
        self.clock = Clock()
        self.calls = queue.SimpleQueue()
        self.asked = []
        self.logs = SiteLogs(self.clock, self.call, self.open, str(folder), max_size, RATE)
        self.open_file = self.open_now

    def call(self, function, *args):
        self.calls.put((function, args))

    def open(self, site, rotate):
        self.asked.append((site, rotate))
        return self.open_file(site, rotate)

    def open_now(self, site, rotate):
        fact, fds = open_log(self.config, wire.AskLog(1, site, rotate))
        if not fds:
            return fail(OSError(fact.message))
        return succeed(LogFile(fds[0], fact.size, fact.midline))

    def run(self, seconds=0.1):
        """Lets time pass, and what the writer has done be told."""
        self.clock.advance(seconds)
        while True:
            try:
                function, args = self.calls.get(timeout=0.05)
            except queue.Empty:
                return
            function(*args)

    def text(self, name="a.log"):
        return (self.folder / name).read_bytes()


@pytest.fixture
def rig(tmp_path):
    before = descriptors(), threading.active_count()
    rigs = []

    def make(*args, **how):
        rigs.append(Rig(tmp_path, *args, **how))
        return rigs[0]

    yield make
    for one in rigs:
        one.logs.close()
        assert one.logs.held == 0
        assert one.clock.getDelayedCalls() == []
    assert (descriptors(), threading.active_count()) == before


def test_output_and_lines_of_ours(rig):
    one = rig()
    log = one.logs.open("a")
    log.say("started: serve")
    log.append(b"one\ntwo")
    log.say("ready")
    log.append(b"three\n")
    log.say("exited")
    one.run()
    lines = one.text().splitlines()
    assert OURS.findall(one.text()) == [b"started: serve", b"ready", b"exited"]
    assert [lines[1], lines[2], lines[4]] == [b"one", b"two", b"three"]
    assert log.quiet


def test_nothing_is_asked_for_before_it_is_needed(rig):
    one = rig()
    one.logs.open("a").release()
    one.run()
    assert one.asked == []


def test_a_line_that_an_earlier_one_left_unfinished(rig):
    one = rig()
    (one.folder / "a.log").write_bytes(b"cut o")
    log = one.logs.open("a")
    log.say("started")
    one.run()
    assert re.fullmatch(rb"cut o\n.{24} luisito: started\n", one.text())


def test_two_servers_of_a_site_share_its_file(rig):
    one = rig()
    old, new = one.logs.open("a"), one.logs.open("a")
    assert old is new
    old.append(b"old\n")
    old.release()
    one.run()
    new.append(b"new\n")
    new.release()
    one.run(0)
    assert one.text() == b"old\nnew\n"
    assert one.asked == [("a", False)]
    assert one.logs.open("a") is not old


def test_rotation_loses_nothing(rig):
    one = rig(max_size=10_000, keep=100)
    log = one.logs.open("a")
    expected = b""
    for number in range(300):
        data = b"%06d %s\n" % (number, b"x" * (number % 97)) * 3
        expected += data
        log.append(data)
        if number % 7 == 0:
            one.run()
    log.release()
    for _ in range(20):
        one.run()
    names = sorted(os.listdir(one.folder), key=lambda n: -int(n[6:] or 0))
    assert len(names) > 4
    assert b"".join(map(one.text, names)) == expected
    assert all(len(one.text(name)) <= 10_000 for name in names)
    assert all(one.text(name).endswith(b"\n") for name in names)
    assert one.logs.dropped_bytes == 0


def test_reopen_loses_nothing(rig):
    one = rig()
    log = one.logs.open("a")
    log.append(b"one\n")
    one.run()
    log.append(b"two\n")
    os.rename(one.folder / "a.log", one.folder / "old")
    one.logs.reopen()
    log.append(b"three\n")
    one.run()
    one.run()
    assert (one.text("old"), one.text()) == (b"one\n", b"two\nthree\n")
    one.logs.reopen()  # without a rename, and in the middle of a line
    log.append(b"fo")
    one.run()
    one.logs.reopen()
    log.append(b"ur\n")
    one.run()
    assert one.text() == b"two\nthree\nfour\n"


def test_reopen_while_a_file_is_being_opened(rig):
    one = rig()
    log = one.logs.open("a")
    waiting = []

    def later(site, rotate):
        waiting.append(Deferred())
        return waiting[-1]

    one.open_file = later
    log.append(b"one\n")
    one.run()
    early = one.open_now("a", False).result
    os.rename(one.folder / "a.log", one.folder / "old")
    one.logs.reopen()
    assert len(waiting) == 1
    waiting[0].callback(early)
    assert len(waiting) == 2
    waiting[1].callback(one.open_now("a", False).result)
    one.run()
    assert (one.text("old"), one.text()) == (b"", b"one\n")


def test_reopen_that_fails_goes_on_with_the_old_file(rig):
    one = rig()
    log = one.logs.open("a")
    log.append(b"one\n")
    one.run()
    one.open_file = lambda *_: fail(OSError("no"))
    one.logs.reopen()
    log.append(b"two\n")
    one.run()
    assert one.text() == b"one\ntwo\n"


def test_a_file_that_cannot_be_opened_at_first(rig):
    one = rig()
    one.open_file = lambda *_: fail(OSError("no"))
    log = one.logs.open("a")
    log.append(b"one\n")
    one.run()
    for _ in range(5):
        log.append(b"more\n")
        one.run()
    assert len(one.asked) == 1  # not again at once: each is a process
    one.open_file = one.open_now
    one.run(sitelog._ASK_AGAIN)
    assert one.text() == b"one\n" + b"more\n" * 5


def test_row_39_a_full_disk_costs_lines_only(rig):
    """FAULTS 39: what is dropped is counted, and where it is missing is said."""
    one = rig(max_size=4 << 20)
    full = os.open("/dev/full", os.O_WRONLY)
    one.open_file = lambda *_: succeed(LogFile(full, 0, False))
    log = one.logs.open("a")
    line = b"x" * 99 + b"\n"
    for number in range(12_000):
        log.append(line)
        if number % 1000 == 0:
            one.run(sitelog._AGAIN)
    assert one.logs.held <= HELD
    kept = one.logs.held
    assert one.logs.dropped_bytes == 1_200_000 - kept
    assert one.logs.dropped_lines == 12_000 - kept // 100
    one.open_file = one.open_now
    one.logs.reopen()
    for _ in range(10):
        one.run(sitelog._AGAIN)
    log.append(b"again\n")
    one.run()
    text = one.text()
    assert text.count(line) == kept // 100
    note = b"%d bytes of output were dropped here" % one.logs.dropped_bytes
    assert OURS.findall(text) == [note]
    assert text.endswith(note + b"\nagain\n")


def test_a_full_disk_at_the_end(rig):
    one = rig()
    full = os.open("/dev/full", os.O_WRONLY)
    one.open_file = lambda *_: succeed(LogFile(full, 0, False))
    log = one.logs.open("a")
    log.append(b"one\n")
    log.release()
    one.run()
    assert (one.logs.held, one.logs.dropped_bytes, one.logs.dropped_lines) == (0, 4, 1)


def test_a_disk_that_hangs_holds_up_nobody(rig):
    """A pipe that nobody reads is as a disk that hangs: all calls return, memory is bounded."""
    one = rig()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    one.open_file = lambda *_: succeed(LogFile(os.dup(writer), 0, False))
    log, other = one.logs.open("a"), one.logs.open("b")
    for _ in range(50):
        log.append(b"x" * 65535 + b"\n")
        other.append(b"y\n")
        one.run(0)
    assert one.logs.held <= 2 * HELD
    assert one.logs.dropped_bytes >= 49 * 65536 - HELD  # one went into the pipe
    settled = []
    one.logs.settle().addCallback(settled.append)
    one.run(1)
    assert settled == []
    one.clock.advance(10)
    assert settled == [None]
    got = b""
    log.release()
    other.release()
    os.close(writer)

    def drain():
        nonlocal got
        while part := os.read(reader, 1 << 20):
            got += part

    thread = threading.Thread(target=drain)
    thread.start()
    for _ in range(40):
        one.run()
    thread.join()  # every writing end has been closed
    os.close(reader)
    assert got.count(b"x") == (50 * 65536 - one.logs.dropped_bytes) // 65536 * 65535


def test_of_all_sites_together_no_more_is_held(rig):
    one = rig()
    one.open_file = lambda *_: Deferred()
    logs = [one.logs.open(f"site-{number}") for number in range(40)]
    assert one.logs.most == HELD == 1 << 20
    for log in logs:
        log.append(b"x" * HELD)
    assert one.logs.held == one.logs.most_of_all
    assert one.logs.dropped_bytes == 8 << 20


def test_settle_writes_at_once(rig):
    one = rig()
    log = one.logs.open("a")
    log.append(b"one\n")
    settled = []
    one.logs.settle().addCallback(settled.append)
    assert settled == []
    one.run(0)
    assert settled == [None]
    assert one.text() == b"one\n"
    one.logs.settle().addCallback(settled.append)
    assert settled == [None, None]


def test_close_writes_what_is_held(rig):
    one = rig(max_size=100)
    log, unopened = one.logs.open("a"), one.logs.open("b")
    log.append(b"x" * 79 + b"\n")
    one.run()
    log.append(b"fits\n")
    log.append(b"y" * 60 + b"\n")
    unopened.append(b"lost\n")
    one.logs.close()
    assert one.text() == b"x" * 79 + b"\nfits\n"
    assert one.logs.dropped_bytes == 61 + 5


def test_close_while_something_is_under_way(rig):
    one = rig()
    log = one.logs.open("a")
    waiting = Deferred()
    one.open_file = lambda *_: waiting
    log.append(b"one\n")
    one.run()
    one.logs.close()
    waiting.callback(one.open_now("a", False).result)
    assert one.text() == b""
    assert one.logs.dropped_bytes == 4


def test_close_while_a_write_is_under_way(rig):
    one = rig()
    log = one.logs.open("a")
    log.append(b"one\n")
    one.clock.advance(0.1)
    log.append(b"two\n")
    one.logs.close()
    one.run()
    assert one.text() == b"one\ntwo\n"
    assert one.logs.held == 0


def test_no_thread_can_be_started(rig, monkeypatch):
    """FAULTS 36: a thread is a process to RLIMIT_NPROC."""
    one = rig()

    def start(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        log = one.logs.open("a")
        log.append(b"one\n")
        one.run()
        assert one.text() == b""
    one.run(sitelog._AGAIN)
    assert one.text() == b"one\n"


def test_signals_are_left_to_the_reactor_s_thread():
    import signal

    told = queue.SimpleQueue()
    writer = Writer(lambda told, *args: told(*args))
    masks = []

    def note(*_):
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        told.put(None)

    reader, end = os.pipe()
    writer.write(end, b"x", note)
    told.get(timeout=5)
    writer.close(end)
    writer.stop()
    os.close(reader)
    assert signal.SIGTERM in masks[0]
