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
    new = "127.0.0.1", free_port()
    more = f"tcp:{new[1]}:interface=127.0.0.1"
    with served.own() as idle:
        assert asked(idle, "b.example")[0] == "a.example"
        served.write("a.example", served.said(more))
        processes.until(lambda: not served.refuses(new), 20, "the new one")
        inode = os.stat(served.place).st_ino
        if crashes:
            server.expect("Taking over: the network process has gone")
            server.unchecked |= {"conservation", "access lines"}
            crash(server, ["a.example"])
            with served.own() as waits, served.own(new) as also:
                assert asked(waits, "b.example")[0] == "a.example"
                assert asked(also, "b.example")[0] == "a.example"
            replaced(server)
        else:
            reload(server)
            # it was handed over, and is this site's still
            assert asked(idle, "b.example")[0] == "a.example"
            served.write("a.example", served.said(more) + "idle_timeout = 50\n")
    served.write("a.example", served.said(more) + "no key\n")
    assert ":3: " in served.until_told(1)[0]
    served.write("a.example", served.said(more))
    served.until_told(0)
    assert os.stat(served.place).st_ino == inode
    for address in (None, new):
        with served.own(address) as connection:
            assert asked(connection, "b.example")[0] == "a.example"


def test_it_comes_and_goes_with_its_file(serve):
    served = Owning(serve)
    server, first, second = served.server, free_port(), free_port()
    assert served.site("b.example") == "b.example"
    pid = server.pid("b.example")
    with served.own() as idle:
        assert asked(idle, "b.example")[0] == "a.example"
        served.write("a.example", f'listen = "tcp:{first}:interface=127.0.0.1"\n')
        processes.until(served.refuses, 20, "its end")
        assert idle.sock.recv(1) == b""
    processes.until(lambda: not served.refuses(("127.0.0.1", first)), 20, "the new one")
    with served.own(("127.0.0.1", first)) as connection:
        assert asked(connection, "b.example")[0] == "a.example"
        # another place with the same port, at once, and one that is not to be had
        server.expect(r"b\.example\.toml: listen = .* cannot be opened")
        served.write("a.example", f'listen = ["tcp:{first}", "tcp:{second}"]\n')
        processes.until(lambda: not served.refuses(("127.0.0.2", first)), 20, "all addresses")
        assert connection.sock.recv(1) == b""
    served.write("b.example", f'listen = "tcp:{first}:interface=127.0.0.1"\n')
    (said,) = served.until_told(1)
    assert f"Address already in use (a.example listens on tcp:{first}); write another" in said
    assert said in luisito(server, "status").stdout
    assert f"does not count:\n  b.example: {said}\n" in luisito(server, "errors").stdout
    for port in (first, second):
        with served.own(("127.0.0.1", port)) as connection:
            assert asked(connection, "b.example")[0] == "a.example"
    # it is had as soon as the other one gives it up
    served.write("a.example", f'listen = "tcp:{second}"\n')
    served.until_told(0)
    with served.own(("127.0.0.1", first)) as connection:
        assert asked(connection, "a.example")[0] == "b.example"
    assert served.refuses(("127.0.0.2", first))
    assert served.site("b.example") == "b.example"
    assert server.pid("b.example") == pid


def test_it_goes_with_its_file_to_another_site(serve):
    """No right is needed to give away what one has: it is the same socket."""
    served = Owning(serve)
    inode = os.stat(served.place).st_ino
    with served.own() as idle:
        assert asked(idle, "b.example")[0] == "a.example"
        os.rename(served.path / "a.example.toml", served.path / "c.example.toml")
        assert idle.sock.recv(1) == b""
    with served.own() as connection:
        assert asked(connection, "b.example")[0] == "c.example"
    assert served.told() == []
    reload(served.server)
    with served.own() as connection:
        assert asked(connection, "b.example")[0] == "c.example"
    assert os.stat(served.place).st_ino == inode


@pytest.mark.root
def test_one_that_takes_more_rights_waits_for_the_next_restart(serve):
    served = Owning(serve)
    server, path = served.server, f"{served.place}2"
    server.expect(r"a\.example\.toml: listen = .* cannot be opened with the rights")
    served.write("a.example", served.said(f"unix:{path}:mode=666"))
    (said,) = served.until_told(1)
    assert said == (
        f'{served.path}/a.example.toml: listen = "unix:{path}:mode=666": cannot be opened with the'
        " rights that are left (Permission denied); run luisito restart"
    )
    assert said in luisito(server, "status").stdout
    with served.own() as connection:
        assert asked(connection, "b.example")[0] == "a.example"
    reload(server, signal.SIGUSR2)
    assert served.told() == []
    with served.own(path) as connection:
        assert asked(connection, "b.example")[0] == "a.example"


def test_one_that_another_program_has_is_tried_again(serve):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        served = Owning(serve, f"tcp:{port}:interface=127.0.0.1")
        served.server.expect(r"a\.example\.toml: listen = .* cannot be opened")
        (said,) = served.until_told(1)
        assert "in use (see LISTEN, and ss -ltnp); free it and touch this file, or write" in said
        assert served.site("a.example") == "a.example"
        with served.own() as connection:
            assert asked(connection, "b.example")[0] == "a.example"
    os.utime(served.path / "a.example.toml")
    served.until_told(0)
    with served.own(("127.0.0.1", port)) as connection:
        assert asked(connection, "b.example")[0] == "a.example"
