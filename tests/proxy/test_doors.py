"""Endpoints of sites: what a successor takes of what was kept for it."""

import os
import socket

import pytest

from luisito.core.wire import own_name
from luisito.proxy.doors import Doors
from tests.sites.made import settings


def inode(descriptor):
    """Of what is open; 0 where nothing is."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0


@pytest.mark.parametrize("read", [True, False])
def test_what_is_kept_is_taken_where_it_listens_as_it_is_called(tmp_path, read):
    """Whoever has kept it may have been taken over by somebody."""
    path = f"{tmp_path}/a.sock"
    folder = tmp_path / "sites"
    folder.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as tcp6,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as shut,
        socket.socket() as bound,
        open(os.devnull) as null,
    ):
        for sock, at in ((unix, path), (shut, f"{path}2")):
            sock.bind(at)
            sock.listen()
        shut.shutdown(socket.SHUT_RDWR)
        bound.bind(("127.0.0.1", 0))
        (port, port6, idle) = (sock.getsockname()[1] for sock in (tcp, tcp6, bound))
        good = {
            f"tcp:{port}:interface=127.0.0.1": tcp,
            rf"tcp6:{port6}:interface=0\:\:1": tcp6,
            f"unix:/{path}:mode=600": unix,
        }
        bad = {
            f"tcp:{port}": tcp,
            f"tcp:{port6}:interface=127.0.0.1": tcp,
            f"unix:{path}3": unix,
            f"unix:{path}2": shut,
            f"tcp:{idle}:interface=127.0.0.1": bound,
            "unix:/etc/passwd": null,
            "systemd:domain=INET:index=0": tcp,
        }
        kept = {
            own_name(site, endpoint): os.dup(sock.fileno())
            for site, named in (("a.example", good), ("b.example", bad))
            for endpoint, sock in named.items()
        }
        inodes = {name: inode(descriptor) for name, descriptor in kept.items()}
        before, others = dict(kept), {"tcp:1": -1, "control.sock": -1}
        kept |= others
        doors = Doors(None, None, None)
        doors.open(settings(SITES_DIR=str(folder) if read else None), kept)
        assert kept == others
        right = {own_name("a.example", endpoint) for endpoint in good} if read else set()
        assert doors.bound == {name: before[name] for name in right}
        assert {name for name in before if inode(before[name]) == inodes[name]} == right
        for listener in doors.listeners:
            listener.socket.close()
