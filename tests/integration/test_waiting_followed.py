"""Whoever follows the waiting page comes to the app, or to the reason why there is none."""

import os
import re
import signal
import subprocess

import pytest

from tests.harness import processes
from tests.integration.test_sites import Sites, lines

BROWSER = [("Accept", "text/html,*/*;q=0.8"), ("Sec-Fetch-Mode", "navigate")]
PROXIED = ("X-Forwarded-For", "192.0.2.1")


class Waiting(Sites):
    """A site with the page, whose app has options."""

    def __init__(self, serve, way="fd", **options):
        self.way, self.options = way, options
        super().__init__(serve, {"a.test": "waiting_page = true\n"})

    def command(self):
        return super().command(self.way, **self.options)

    def follow(self, *more):
        """Asks as the page does until something else comes; returns that, and how often it was."""
        pages = []

        def comes():
            response = self.server.request(host="a.test", fields=[*BROWSER, *more])
            if response.status != 503:
                return response
            assert b"location.reload()" in response.body
            assert response.get("retry-after") == "1"
            pages.append(response)
            return None

        return processes.until(comes, 20, "the app"), len(pages)


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_it_is_followed_to_the_app(serve, way):
    served = Waiting(serve, way, boot_delay=0.5)
    response, pages = served.follow()
    assert (response.status, response.get("x-site")) == (200, "a.test")
    assert pages > 1
    processes.until(lambda: len(lines(served.server)) == pages + 1, 10, "the access lines")
    reasons = [line["reason"] for line in lines(served.server)]
    assert reasons == ["waiting"] * pages + [""]
    assert len(served.server.seen("boot")) == 1
    assert len(served.server.seen("head")) == 1  # the app has seen no more than its own request


def test_a_program_waits(serve):
    served = Waiting(serve, boot_delay=0.5)
    assert served.server.request(host="a.test", fields=BROWSER).status == 503
    assert served.server.request(host="a.test").status == 200
    assert len(served.server.seen("boot")) == 1


@pytest.mark.parametrize("whose", ["operator", "stranger"])
def test_it_is_followed_to_the_reason(serve, whose):
    served = Waiting(serve, boot_delay=0.3, say="no such table: users", exit_early=3)
    served.server.expect("502 for GET", "a.test: .*exited with code 3")
    response, pages = served.follow(*([] if whose == "operator" else [PROXIED]))
    assert (response.status, pages > 0) == (502, True)
    assert (b"no such table: users" in response.body) == (whose == "operator")
    assert b"location.reload()" not in response.body
    assert re.search(rb"The site could not answer", response.body)


@pytest.mark.needs("chromium")
def test_a_browser_comes_to_the_app_by_itself(serve, tmp_path):
    served = Waiting(serve, boot_delay=1)
    host, port = served.server.address
    command = [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path}", f"--host-resolver-rules=MAP *.test {host}",
        "--remote-debugging-port=0", f"http://a.test:{port}/echo#there",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as browser:
        try:
            processes.until(
                lambda: "/echo" in [line["target"] for line in served.server.seen("head")],
                60,
                "the browser to come to the app",
            )
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
    server = served.server
    said = [line for line in lines(server) if line["target"] == "/echo"]
    assert [line["reason"] for line in said][:1] == ["waiting"]
    assert len(server.seen("boot")) == 1
    server.unchecked |= {"conservation", "access lines", "matching"}
