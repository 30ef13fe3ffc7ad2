"""Site files of whole servers: hosts, redirects, changes while they serve, and broken ones."""

import json
import os
import re
import shutil
import signal
import time

import pytest

from tests.faults.test_reload import reload
from tests.harness import processes
from tests.harness.server import PYTHON, ROOT, Server
from tests.integration.test_control import luisito, status_of


class Sites:
    """A server with a folder of site files; by default there is no template."""

    def __init__(self, serve, files, settings=None, ordinary=False, **how):
        self.files, self.owner, self.serve = files, None, serve
        names = {"CMD_TPL": None, "SITES_DIR": "<folder>/sites", **(settings or {})}
        self.server = serve(names, ordinary=ordinary, prepare=self.prepare, **how)

    def prepare(self, folder):
        self.path = folder / "sites"
        self.path.mkdir(mode=0o755)
        self.origin = folder / "origin.py"
        shutil.copy(ROOT / "tests" / "apps" / "origin.py", self.origin)
        self.origin.chmod(0o644)
        self.log = folder / "seen" / "origin.log"
        self.owner = os.stat(folder)
        os.chown(self.path, self.owner.st_uid, self.owner.st_gid)
        for name, text in self.files.items():
            self.write(name, text)

    def command(self, way="fd", **options):
        words = [
            PYTHON, "-I", "-S", str(self.origin), f"--{way}", f"%{way.upper()}", "--site", "%HOST",
            "--log", str(self.log), "--options", json.dumps({"*": options}).replace("%", "%%"),
        ]  # fmt: skip
        return f"command = {json.dumps(words)}\n"

    def write(self, name, text="", command=None):
        """Puts a file there at once; returns its path."""
        path = self.path / f"{name}.toml"
        aside = self.path / f"{name}.toml~"
        aside.write_text((self.command() if command is None else command) + text)
        os.chown(aside, self.owner.st_uid, self.owner.st_gid)
        aside.rename(path)
        return path

    def status(self, host, target="/echo", **how):
        return self.server.request(target, host=host, **how).status

    def site(self, host):
        """The site that answers for a host."""
        response = self.server.request(host=host)
        return response.get("x-site") if response.status == 200 else response.status

    def until(self, host, site):
        """Waits until a host is answered so; returns the seconds that took."""
        began = time.monotonic()
        processes.until(lambda: self.site(host) == site, 15, f"{host} to be {site}")
        return time.monotonic() - began


@pytest.fixture
def sites(serve):
    def make(files, settings=None, **how):
        return Sites(serve, files, settings, **how)

    return make


def lines(server):
    processes.until(server.access_path.exists, 10, "the access log")
    return [json.loads(line) for line in server.access_path.read_text().splitlines()]


def test_hosts_of_site_files(sites, as_whom):
    served = sites(
        {
            "shop.example": 'aliases = ["www.shop.example"]\nredirects = ["shop.example.org"]\n',
            "wild.example": 'hosts = ["*.wild.example", "!admin.wild.example"]\n',
            "near.wild.example": 'hosts = ["*.near.wild.example"]\n',
            "rest.example": "default = true\n",
        },
        ordinary=as_whom,
    )
    for host, site in {
        "shop.example": "shop.example",
        "WWW.Shop.example": "shop.example",
        "a.wild.example": "wild.example",
        "a.b.wild.example": "wild.example",
        "admin.wild.example": "rest.example",
        "a.near.wild.example": "near.wild.example",
        "else.test": "rest.example",
    }.items():
        assert served.site(host) == site
    assert len(served.server.servers()) == 4
    response = served.server.request("/a%2Fb?c=d", host="shop.example.org")
    assert response.status == 308
    assert response.get("location") == "http://shop.example/a%2Fb?c=d"
    processes.until(lambda: len(lines(served.server)) == 8, 10, "all access lines")
    assert {line["site"] for line in lines(served.server)} == {
        "shop.example", "wild.example", "near.wild.example", "rest.example",
    }  # fmt: skip


def test_a_redirect_wakes_nothing(sites):
    served = sites({"shop.example": 'redirects = ["old.example"]\n'})
    proto = [("X-Forwarded-Proto", "https")]
    response = served.server.request("/x", host="old.example", fields=proto)
    assert (response.status, response.get("location")) == (308, "https://shop.example/x")
    assert served.server.servers() == {}
    processes.until(lambda: lines(served.server), 10, "its access line")
    (line,) = lines(served.server)
    assert (line["site"], line["status"], line["start"]) == ("shop.example", 308, "")


def test_files_come_and_go_while_others_stay(sites):
    served = sites({"a.example": "", "b.example": ""})
    pids = served.server.warm("a.example", "b.example")
    assert served.site("c.example") == 404
    path = served.write("c.example")
    assert served.until("c.example", "c.example") < 10  # 2 s, where the machine is not busy
    path.unlink()
    served.until("c.example", 404)
    served.write("a.example", 'aliases = ["also.example"]\n')
    served.until("also.example", "a.example")
    # A connection that is kept goes to where its host goes now.
    served.write("c.example")
    served.until("c.example", "c.example")
    with served.server.client() as connection:
        assert connection.request("/echo", "c.example").status == 200
        path.unlink()
        served.until("c.example", 404)
        assert connection.request("/echo", "c.example").status == 404
    assert served.server.warm("a.example", "b.example") == pids
    served.server.allow("c.example")


def test_a_broken_file_keeps_the_last_good_one(sites):
    served = sites({"a.example": 'aliases = ["www.a.example"]\n', "b.example": ""})
    server = served.server
    (pid,) = server.warm("a.example").values()
    path = served.write("a.example", "memory_max = '512M'\n")
    server.expect("memory_max")
    server.wait_for_log(re.escape(f"{path}:2: memory_max"))
    assert served.site("www.a.example") == "a.example"
    assert server.warm("a.example") == {"a.example": pid}
    found = status_of(server)["site_files"]
    assert (found["sites"], found["unreadable"]) == (2, None)
    (broken,) = found["broken"]
    assert broken["path"] == str(path)
    assert broken["error"].startswith(f"{path}:2: memory_max")
    assert broken["error"] in luisito(server, "status").stdout
    # One that is touched is as broken as before, and said once.
    os.utime(path)
    served.write("b.example", 'aliases = ["also.example"]\n')
    served.until("also.example", "b.example")
    assert len(re.findall(r":2: memory_max", server.log())) == 1
    served.write("a.example", "")
    served.until("www.a.example", 404)
    assert status_of(server)["site_files"]["broken"] == []


def test_a_folder_that_goes_and_comes_back(sites):
    served = sites({"a.example": ""})
    (pid,) = served.server.warm("a.example").values()
    served.server.expect("cannot be noticed", "SITES_DIR = ")
    moved = served.path.rename(f"{served.path}.away")
    served.server.wait_for_log("cannot be noticed")
    served.server.wait_for_log("all sites stay as they were")
    assert served.server.warm("a.example") == {"a.example": pid}
    moved.rename(served.path)
    served.write("b.example")
    served.until("b.example", "b.example")
    served.server.wait_for_log("are noticed again")
    served.write("c.example")
    served.until("c.example", "c.example")
    assert served.server.warm("a.example") == {"a.example": pid}


def test_ways_and_limits_of_sites(sites):
    served = sites({}, {"MAX_BODY_SIZE": 1000})
    served.write("port.example", "max_body_size = 10\n", served.command("port"))
    served.write("socket.example", "", served.command("socket"))
    served.write("tcp.example", 'handed_socket = "tcp"\nmax_body_size = "none"\n')
    for host, size in {"port.example": 10, "socket.example": 1000, "tcp.example": 5000}.items():
        served.until(host, host)
        assert served.status(host, method="POST", body=b"x" * size) == 200
        if size < 5000:
            assert served.status(host, method="POST", body=b"x" * (size + 1)) == 413


def test_a_changed_command_rolls(sites):
    """The new server is ready before the old one goes, and only that site has another one."""
    served = sites({"a.example": "", "b.example": ""}, {"MAX_SERVERS": 2})
    before = served.server.warm("a.example", "b.example")
    with served.server.client() as busy:
        busy.ask("/sleep/2", "a.example")
        processes.until(lambda: len(served.server.seen("head")) == 3, 10, "the request")
        served.write("a.example", command=served.command(boot_delay=0.5))
        processes.until(lambda: served.server.pid("a.example") != before["a.example"], 15, "a roll")
        assert served.server.warm("b.example") == {"b.example": before["b.example"]}
        assert busy.response().status == 200
    assert len(served.server.seen("boot")) == 3


def test_a_changed_command_that_does_not_start(sites):
    """The old server stays."""
    served = sites({"a.example": ""})
    pids = served.server.warm("a.example")
    served.server.expect("a.example: .*no_such_program")
    served.write("a.example", command='command = "no_such_program %PORT"\n')
    served.server.wait_for_log("no_such_program", 15)
    assert served.server.warm("a.example") == pids


def test_limits_of_a_site_count_while_it_serves(sites):
    served = sites({"a.example": "", "b.example": ""})
    served.server.warm("a.example", "b.example")
    served.write("a.example", "idle_timeout = 0.5\n")
    served.server.wait_for_log(r"a\.example: stopping pid \d+: unused for 0\.5 s", 15)
    assert "b.example: stopping" not in served.server.log()


def test_a_server_that_has_answered_enough_is_replaced(sites):
    """One that is answering still is not disturbed, and nobody waits for the new one."""
    served = sites({"a.example": "max_requests = 3\n", "b.example": ""})
    server = served.server
    before = server.warm("a.example", "b.example")
    with server.client() as busy:
        busy.ask("/sleep/3", "a.example")

        def replaced():
            assert served.status("a.example") == 200
            return server.pid("a.example") != before["a.example"]

        processes.until(replaced, 20, "another server")
        assert busy.response().status == 200
    server.wait_for_log(r"it has answered \d+ requests \(max_requests\)")
    assert server.warm("b.example") == {"b.example": before["b.example"]}


def test_a_server_that_is_old_is_replaced(sites):
    served = sites({"a.example": "max_age = 1\n"})
    (before,) = served.server.warm("a.example").values()
    processes.until(lambda: served.server.pid("a.example") not in (before, None), 20, "a new one")
    served.server.wait_for_log(r"it was ready for 1 s \(max_age\)")


def test_a_template_beside_site_files(serve):
    made = {}

    def prepare(folder):
        path = folder / "sites"
        path.mkdir(mode=0o755)
        (path / "a.localhost.toml").write_text('aliases = ["www.a.test"]\n')
        made["path"] = path

    server = serve({"SITES_DIR": "<folder>/sites"}, prepare=prepare)
    for host, site in {
        "a.localhost": "a.localhost", "www.a.test": "a.localhost", "b.localhost": "b.localhost",
    }.items():  # fmt: skip
        assert server.request(host=host).get("x-site") == site
    assert server.request(host="else.test").status == 404


def test_a_successor_reads_them_anew(sites):
    served = sites({"a.example": ""})
    pids = served.server.warm("a.example")
    before = served.server.network
    served.server.send_signal(signal.SIGHUP)
    processes.until(lambda: served.server.network != before, 20, "a successor")
    assert served.server.warm("a.example") == pids
    served.write("b.example")
    served.until("b.example", "b.example")


def test_without_a_folder_there_is_no_start(serve, tmp_path):
    server = serve({"CMD_TPL": None, "SITES_DIR": f"{tmp_path}/none"}, wait=False)
    assert isinstance(server, Server)
    server.expect("SITES_DIR", "Cannot start")
    server.wait_for_log("Cannot start: .*SITES_DIR")
    assert server.wait() != 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_who_takes_over_lets_the_old_server_stay_until_a_new_one_is_ready(sites, number):
    served = sites({"a.example": "", "b.example": ""}, how="daemon")
    server = served.server
    server.expect("a.example: the command exited with code 7")
    pids = server.warm("a.example", "b.example")
    served.write("a.example", command='command = ["sh", "-c", "exit 7", "%PORT"]\n')
    server.wait_for_log("a.example: the command exited with code 7", 20)
    reload(server, number)
    assert server.warm("a.example", "b.example") == pids
    served.write("a.example", 'env.NEW = "1"\n')
    processes.until(lambda: server.warm("a.example") != {"a.example": pids["a.example"]}, 20)
    server.wait_for_log("its site has a newer server, which is ready")
