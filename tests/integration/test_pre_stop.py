"""Servers that are asked before they are stopped (pre_stop), by whole servers."""

import re
import signal
import time

import pytest

from tests.harness import processes
from tests.integration.test_control import luisito
from tests.integration.test_sites import Sites

LATER = r"a\.example: pid \d+ asks to be stopped later \(pre_stop\); "
STOPS = r"a\.example: stopping pid \d+: "


class Asked(Sites):
    """The site a.example, whose server has work while there is a file."""

    def __init__(self, serve, keys="", settings=None, way="fd", path="/may_stop", **how):
        self.keys, self.way = f'pre_stop = "{path}"\n{keys}', way
        super().__init__(serve, {"b.example": "", "c.example": ""}, settings, **how)
        self.jobs = self.log.parent / "jobs"
        self.jobs.touch()
        self.site_file()
        self.until("a.example", "a.example")

    def site_file(self, **options):
        """Writes it, with another server than before where options differ."""
        command = self.command(self.way, jobs=str(self.jobs), **options)
        self.write("a.example", self.keys, command)

    def asked(self, path="/may_stop"):
        return [one for one in self.server.seen("head") if one["target"] == path]


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_45_who_says_not_yet_is_no_victim(serve, way):
    """FAULTS 45: the next one goes; and who says yes goes at once."""
    served = Asked(serve, settings={"MAX_SERVERS": 2, "OUTPUT_LOG_DIR": "<folder>/logs"}, way=way)
    (pid,) = served.server.warm("a.example").values()
    served.server.warm("b.example")
    assert served.status("c.example") == 200
    served.server.wait_for_log(rf"{LATER}room was needed for c\.example")
    served.server.wait_for_log(r"b\.example: stopping pid \d+: room was needed for c\.example")
    assert served.server.warm("a.example") == {"a.example": pid}
    (asked,) = served.asked()
    assert "\r\nHost: a.example\r\n" in asked["head"]
    # what the site's user reads does not name the other site
    said = "room was needed for another site"
    for site in ("a.example", "b.example"):
        log = served.server.folder / "logs" / f"{site}.log"
        processes.until(lambda log=log: log.exists() and said in log.read_text())
        assert "c.example" not in log.read_text()


@pytest.mark.parametrize("path", ["/may_stop", "/sleep/60", "/close_silently", "/garbage"])
def test_any_other_answer_lets_it_go(serve, path):
    served = Asked(serve, settings={"MAX_SERVERS": 1}, path=path)
    served.jobs.unlink()
    began = time.monotonic()
    assert served.status("b.example") == 200
    assert path != "/sleep/60" or time.monotonic() - began >= 1
    served.server.wait_for_log(rf"{STOPS}room was needed for b\.example")
    assert len(served.asked(path)) == 1
    assert not re.search(LATER, served.server.log())


def test_not_yet_counts_for_busy_max(serve):
    """And begins anew with a use of it."""
    served = Asked(serve, "idle_timeout = 0.3\nbusy_max = 1.5\n")
    served.server.wait_for_log(rf"{LATER}unused for 0\.3 s")
    began = time.monotonic()
    assert served.status("a.example") == 200
    served.server.wait_for_log(rf"{STOPS}unused for 0\.3 s")
    assert time.monotonic() - began >= 1.5
    assert len(served.server.seen("boot")) == 1


def test_a_request_is_served_while_it_is_asked(serve):
    """The server has not answered yet, and goes on."""
    served = Asked(serve, "idle_timeout = 1\n", path="/sleep/0.7")
    processes.until(lambda: served.asked("/sleep/0.7"), 20, "the question")
    (pid,) = served.server.warm("a.example").values()
    processes.until(lambda: len(served.asked("/sleep/0.7")) == 2, 20, "another one")
    assert served.server.warm("a.example") == {"a.example": pid}


def test_one_that_was_replaced_is_asked_when_it_is_idle(serve):
    served = Asked(serve, "busy_max = 1\n")
    (pid,) = served.server.warm("a.example").values()
    with served.server.client() as busy:
        busy.ask("/sleep/1.5", "a.example")
        processes.until(lambda: len(served.server.seen("head")) >= 3, 20, "the request")
        served.site_file(idle=61)
        processes.until(
            lambda: served.server.warm("a.example") != {"a.example": pid}, 20, "the new one"
        )
        assert not served.asked()
        assert busy.response().status == 200
    served.server.wait_for_log(rf"{LATER}its site has a newer server, which is ready")
    began = time.monotonic()
    served.server.wait_for_log(rf"{STOPS}its site has a newer server, which is ready")
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("how", ["stop", "end"])
def test_whoever_says_stop_is_not_made_to_wait(serve, how):
    served = Asked(serve)
    if how == "stop":
        assert luisito(served.server, "stop", "a.example").returncode == 0
        served.server.wait_for_log(STOPS)
    else:
        served.server.send_signal(signal.SIGTERM)
        served.server.wait(20)
    assert not served.asked()
