"""What the spawner measures of its servers' memory: real processes that allocate."""

import mmap
import os
import subprocess
import time

import pytest

from luisito.core import wire
from luisito.spawner import scales, tree
from luisito.spawner.scales import Load

from .conftest import PYTHON, wait_until

MB = 1024 * 1024

# It takes as many megabytes as the last three digits of its argument say.
TAKES = """
import os, sys, time
megabytes = int(sys.argv[1]) % 1000
mine = bytearray(os.urandom(1)) * (megabytes << 20)
print("has it", flush=True)
time.sleep(1000)
"""

LEAVES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        taken = b"x" * (40 << 20)
        print("has it", flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
"""

# Three processes with the same 60 MB.
SHARES = """
import mmap, os, time
shared = mmap.mmap(-1, 60 << 20)
shared.write(b"x" * (60 << 20))
for _ in range(2):
    if os.fork() == 0:
        sum(shared[::4096])
        print("has it", flush=True)
        time.sleep(1000)
time.sleep(1000)
"""


@pytest.fixture
def child():
    """The pid of a process that has taken 30 MB."""
    with subprocess.Popen([*PYTHON, TAKES, "30"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process.pid
        process.kill()


def weighed(network, server):
    """Wait until a server was weighed."""
    while True:
        fact = network.wait(wire.Memory)
        found = {row["server"]: row["memory"] for row in fact.servers}
        if server in found:
            return found[server]


def say(output, times=1):
    os.set_blocking(output, True)
    said = b""
    while said.count(b"has it") < times:
        said += os.read(output, 100)


def test_servers_are_weighed_with_all_that_they_have_started(network):
    network.launch(command=[*PYTHON, LEAVES], max_memory=1 << 30)
    _, output = network.run()
    say(output)
    assert wait_until(lambda: 40 * MB < weighed(network, 1) < 70 * MB)
    assert wait_until(lambda: (network.silent()[0]["memory"] or 0) > 40 * MB)


def test_what_they_share_counts_once(network):
    network.launch(command=[*PYTHON, SHARES], max_memory=1 << 30)
    _, output = network.run()
    say(output, 2)
    assert wait_until(lambda: 60 * MB < weighed(network, 1) < 110 * MB)


def test_each_is_weighed_by_itself(network):
    network.launch(command=[*PYTHON, TAKES, "%PORT"], max_memory=1 << 30)
    for server, megabytes in ((1, 20), (2, 60)):
        network.order(wire.Start(server, f"s{server}.example", 20000 + megabytes))
        network.wait(wire.Running)
    assert wait_until(lambda: 20 * MB < weighed(network, 1) < 45 * MB)
    assert wait_until(lambda: 60 * MB < weighed(network, 2) < 85 * MB)


def test_without_max_memory_nobody_is_weighed_at_once(network):
    network.launch()
    network.start(1)
    network.wait(wire.Running)
    time.sleep(1.5)  # a sleep, as nothing is what is to come
    assert network.silent()[0]["memory"] is None


def test_who_weighs_lets_everybody_else_go_first(network):
    network.launch(command=[*PYTHON, TAKES, "1"], max_memory=1 << 30)
    network.run()
    nices = set()
    deadline = time.monotonic() + 30
    # It lives for some milliseconds every few seconds: no sleep in between.
    while 19 not in nices and time.monotonic() < deadline:
        for pid in network.children():
            fields = tree.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            if fields:
                nices.add(int(fields[16]))
    assert 19 in nices


def test_a_cgroup_without_what_can_be_given_back(tmp_path):
    (tmp_path / "memory.current").write_text("9000\n")
    (tmp_path / "memory.stat").write_text("anon 4000\ninactive_file 3000\nactive_file 10\n")
    load = Load(7, os.getpid(), None, str(tmp_path))
    assert list(scales.weigh([load], [])) == [(7, 6000)]


def test_a_cgroup_that_does_not_count_memory(tmp_path, child):
    ((number, size),) = scales.weigh([Load(7, child, None, str(tmp_path))], [])
    assert number == 7
    assert size > 30 * MB


def test_what_has_gone_takes_nothing():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert list(scales.weigh([Load(7, child, None, None)], [child])) == [(7, 0)]
    finally:
        os.waitpid(child, 0)
    assert list(scales.weigh([Load(7, child, None, None)], [child])) == [(7, 0)]


def test_what_may_not_be_read_counts_with_all_that_it_has_mapped(monkeypatch, child):
    real = tree.read

    def read(path, limit=1 << 16):
        return b"" if path.endswith("/smaps_rollup") else real(path, limit)

    ((_, share),) = scales.weigh([Load(7, child, None, None)], [])
    monkeypatch.setattr(scales.tree, "read", read)
    ((_, size),) = scales.weigh([Load(7, child, None, None)], [])
    assert size == int(real(f"/proc/{child}/statm").split()[1]) * mmap.PAGESIZE > share
