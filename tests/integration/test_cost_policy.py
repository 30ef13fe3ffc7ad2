"""POLICY = "cost" with whole servers that take memory, and time to start, for real."""

import re
import sys

from tests.harness import processes
from tests.integration.test_control import listed
from tests.integration.test_max_memory import MB, hungry, memory


def test_a_large_one_that_starts_soon_goes_before_one_that_starts_slowly(serve):
    """Although it was used later, and as often: by LRU it would be the other one."""
    command = [sys.executable, "-I", "-S", "hungry.py", "%PORT", "%HOST"]
    server = hungry(serve, 1000, POLICY="cost", MAX_SERVERS=2, CMD_TPL=command)
    assert server.request(host="slow.localhost").status == 200
    assert server.request("/take/150", host="large.localhost").status == 200
    processes.until(lambda: memory(server, "large.localhost") > 150 * MB, 20, "its figure")
    processes.until(lambda: memory(server, "slow.localhost"), 20, "the other one's")
    assert server.request(host="new.localhost").status == 200
    stopped = re.findall(r"(\S+): stopping pid \d+: room was needed for new", server.log())
    assert stopped == ["large.localhost"]
    kept = {"slow.localhost", "new.localhost"}
    processes.until(lambda: set(listed(server)) == kept, 20, "the end")
