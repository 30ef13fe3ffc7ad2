"""Endpoints that belong to one site: opened with all rights, kept over reloads and crashes."""

import json
import os
import signal
import socket

import pytest

from tests.faults.test_reload import crash, reload, replaced
from tests.harness import processes
from tests.harness.client import Client, connect
from tests.harness.server import free_port
from tests.integration.test_control import luisito, status_of
from tests.integration.test_sites import Sites, lines


class Owning(Sites):
    """Sites of which a.example has a unix socket of its own from the start, and perhaps more."""

    def __init__(self, serve, *more, **how):
        self.more = more
        super().__init__(serve, {"b.example": ""}, **how)
        self.server.wait_for_log(r"Listening on unix:\S+ for a\.example", 60)

    def prepare(self, folder):
        self.place = str(folder / "own" / "a.sock")
        os.mkdir(folder / "own")
        owner = os.stat(folder)
        os.chown(folder / "own", owner.st_uid, owner.st_gid)
        super().prepare(folder)
        self.write("a.example", self.said(*self.more))

    def said(self, *more):
        return f"listen = {json.dumps([f'unix:{self.place}', *more])}\n"

    def own(self, address=None):
        return Client(address or self.place, self.server.ledger, 60)

    def refuses(self, address=None):
        try:
            connect(address or self.place).close()
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        return False

    def told(self):
        """What is wrong with files, as `luisito status` has it."""
        return [one["error"] for one in status_of(self.server)["site_files"]["broken"]]

    def until_told(self, count):
        processes.until(lambda: len(self.told()) == count, 20, f"{count} wrong files")
        return self.told()


def asked(connection, host):
    """The site that answers, and the Host that it was asked with."""
    response = connection.request("/head", host)
    assert response.status == 200, response
    head = response.body.decode().split("\r\n")
    return response.get("x-site"), [one[6:] for one in head if one.startswith("Host: ")]


def test_all_that_comes_in_there_is_for_its_site(serve):
    port = free_port()
    served = Owning(serve, f"tcp:{port}:interface=127.0.0.1")
    for address in (served.place, ("127.0.0.1", port)):
        with served.own(address) as connection:
            for host in ("a.example", "b.example", "nobody.example:81", "b.example", "b.example"):
                assert asked(connection, host) == ("a.example", [host])
    for host in (None, "a b"):
        with served.own() as connection:
            assert connection.request(host=host).status == 400
    assert (served.site("b.example"), served.site("nobody.example")) == ("b.example", 404)
    processes.until(lambda: len(lines(served.server)) == 14, 20, "all access lines")
    sites = [one["site"] for one in lines(served.server) if one["status"] == 200]
    assert sorted(sites) == ["a.example"] * 10 + ["b.example"]


@pytest.mark.parametrize("crashes", [False, True])
def test_it_stays_over_a_restart_and_a_crash(serve, crashes):
    """FAULTS 30: whoever waits in its backlog, or is idle, is served by the next process."""
    served = Owning(serve, how="daemon")
    server = served.server
    server.expect(r"a\.example\.toml:3: is not TOML")
    with served.own() as idle:
        assert asked(idle, "b.example")[0] == "a.example"
        inode = os.stat(served.place).st_ino
        if crashes:
            server.expect("Taking over: the network process has gone")
            server.unchecked |= {"conservation", "access lines"}
            crash(server, ["a.example"])
            with served.own() as waits:
                assert asked(waits, "b.example")[0] == "a.example"
            replaced(server)
        else:
            reload(server)
            # it was handed over, and is this site's still
            assert asked(idle, "b.example")[0] == "a.example"
            served.write("a.example", served.said() + "idle_timeout = 50\n")
    served.write("a.example", served.said() + "no key\n")
    assert ":3: " in served.until_told(1)[0]
    served.write("a.example", served.said())
    served.until_told(0)
    assert os.stat(served.place).st_ino == inode
    with served.own() as connection:
        assert asked(connection, "b.example")[0] == "a.example"


def test_it_comes_and_goes_with_its_file(serve):
    served = Owning(serve)
    server, first, second = served.server, free_port(), free_port()
    server.expect(r"[ab]\.example\.toml: listen = .* is not open yet; run luisito restart")
    with served.own() as idle:
        assert asked(idle, "b.example")[0] == "a.example"
        served.write("a.example", f'listen = "tcp:{first}:interface=127.0.0.1"\n')
        processes.until(served.refuses, 20, "its end")
        assert idle.sock.recv(1) == b""
    (said,) = served.until_told(1)
    path = served.path / "a.example.toml"
    expected = f'{path}: listen = "tcp:{first}:interface=127.0.0.1": is not open yet;'
    assert said == f"{expected} run luisito restart"
    assert said in luisito(server, "status").stdout
    assert served.refuses(("127.0.0.1", first))
    assert served.site("a.example") == "a.example"
    reload(server, signal.SIGUSR2)
    with served.own(("127.0.0.1", first)) as connection:
        assert asked(connection, "b.example")[0] == "a.example"
    assert served.told() == []
    # what was closed once is opened anew, though the spawner has kept it
    path.unlink()
    processes.until(lambda: served.refuses(("127.0.0.1", first)), 20, "its end")
    served.write("a.example", f'listen = ["tcp:{first}", "tcp:{second}"]\n')
    served.write("b.example", f'listen = "tcp:{first}:interface=127.0.0.1"\n')
    served.until_told(2)
    reload(server, times=2)
    server.expect(r"b\.example\.toml: listen = .* cannot be opened")
    (said,) = served.until_told(1)
    assert f"Address already in use (a.example listens on tcp:{first}); write another" in said
    for port in (first, second):
        with served.own(("127.0.0.1", port)) as connection:
            assert asked(connection, "b.example")[0] == "a.example"
    assert served.site("b.example") == "b.example"


def test_one_that_another_program_has_waits_for_the_next_restart(serve):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        served = Owning(serve, f"tcp:{port}:interface=127.0.0.1")
        served.server.expect(r"a\.example\.toml: listen = .* cannot be opened")
        (said,) = served.until_told(1)
        assert "Address already in use (see LISTEN, and ss -ltnp); free it or write" in said
        assert served.site("a.example") == "a.example"
        with served.own() as connection:
            assert asked(connection, "b.example")[0] == "a.example"
    reload(served.server)
    assert served.told() == []
    with served.own(("127.0.0.1", port)) as connection:
        assert asked(connection, "b.example")[0] == "a.example"
