"""Whoever follows the waiting page comes to the app, or to the reason why there is none."""

import os
import pwd
import re
import signal
import subprocess

import pytest

from tests.harness import processes
from tests.integration.test_control import status_of
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


class OwnPage(Sites):
    """A site with a page of its own, which has no scripts, in a folder of its user."""

    def __init__(self, serve, page="%HOST.html", **options):
        self.options, self.page = options, page
        super().__init__(serve, {}, {"START_TIMEOUT": 120})  # a browser takes its time
        text = f'folder = "{self.folder}"\nwaiting_page = "{page}"\n'
        self.write("a.test", text, self.command(**options))
        processes.until(lambda: status_of(self.server)["site_files"]["sites"] == 1, 20, "the file")

    def prepare(self, folder):
        super().prepare(folder)
        self.folder = folder / "of-a"
        self.folder.mkdir(mode=0o700)
        own = self.owner.st_uid if os.geteuid() else pwd.getpwnam("games").pw_uid
        page = self.folder / "a.test.html"
        long = "<p>long</p>" * 3000
        page.write_text(f"<!doctype html><title>Ours</title>{long}<p>The end: \u20ac")
        page.chmod(0o600)
        (self.folder / "link.html").symlink_to("a.test.html")
        (self.folder / "large.html").write_text("x" * 65537)
        os.mkfifo(self.folder / "fifo.html")
        (self.folder / "latin.html").write_bytes(b"\xe4")
        secret = folder / "secret"
        secret.write_text("root's")
        secret.chmod(0o600)
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, own, own if os.geteuid() == 0 else -1, follow_symlinks=False)

    def asked(self):
        return self.server.request(host="a.test", fields=BROWSER)


def test_the_page_may_be_the_sites_own(serve):
    served = OwnPage(serve, boot_delay=1)
    processes.until(lambda: b"The end" in served.asked().body, 20, "the page")
    response = served.asked()
    assert response.body == (served.folder / "a.test.html").read_bytes()
    assert (response.status, response.get("retry-after")) == (503, "1")
    assert response.get("refresh") == '1; url="/echo"'
    assert response.get("content-type") == "text/html; charset=utf-8"
    processes.until(lambda: served.asked().status == 200, 20, "the app")


def test_a_touched_file_has_it_read_again(serve):
    served = OwnPage(serve, exit_early=3, boot_delay=300)
    processes.until(lambda: b"The end" in served.asked().body, 20, "the page")
    (served.folder / "a.test.html").write_text("Another one")
    assert b"The end" in served.asked().body
    os.utime(served.path / "a.test.toml")
    processes.until(lambda: served.asked().body == b"Another one", 20, "the other one")
    assert len(served.server.seen("boot")) == 1


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("none.html", "No such file or directory; let the site's user read it, or mend"),
        ("link.html", "is a symbolic link"),
        ("large.html", "has more than 65536 bytes"),
        ("fifo.html", "is no regular file"),
        ("latin.html", "is no UTF-8"),
        pytest.param("../secret", "Permission denied", marks=pytest.mark.root),
    ],
)
def test_what_is_no_page_is_said_and_ours_is_shown(serve, page, why):
    served = OwnPage(serve, page, boot_delay=1)
    served.server.expect(rf"a\.test: waiting_page '.*': {why}")
    served.server.wait_for_log(rf"a\.test: waiting_page '.*': {why}")
    assert b"a.test is waking up" in served.asked().body


def chromium(served, tmp_path, *more):
    host, port = served.server.address
    return [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path}", f"--host-resolver-rules=MAP *.test {host}",
        *more, f"http://a.test:{port}/echo#there",
    ]  # fmt: skip


@pytest.mark.needs("chromium")
def test_a_browser_shows_the_whole_of_a_sites_own_page(serve, tmp_path):
    served = OwnPage(serve, boot_delay=300)
    served.server.allow("not ready after", "favicon")
    processes.until(lambda: b"The end" in served.asked().body, 20, "the page")
    command = chromium(served, tmp_path, "--dump-dom")
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    assert "<title>Ours</title>" in shown
    assert "The end: \u20ac" in shown
    assert shown.count("<p>long</p>") == 3000
    served.server.unchecked |= {"conservation", "access lines", "matching"}


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("kind", [Waiting, OwnPage])
def test_a_browser_comes_to_the_app_by_itself(serve, tmp_path, kind):
    served = kind(serve, boot_delay=1)
    command = chromium(served, tmp_path, "--remote-debugging-port=0")
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
