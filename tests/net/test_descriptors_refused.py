"""Descriptors that somebody sends us would be closed by us, for as long as the sender likes."""

import array
import os
import socket
import tempfile

import pytest

from luisito.control import door
from luisito.net.backend import Backend
from luisito.spawner.channel import refuse_descriptors

_RIGHTS = array.array("i", [0])


def supported():
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, 83, 0)
        except OSError:
            return False
    return True


def refuses(sender):
    """Whether the kernel refuses it, where it can: an older one changes nothing for the bytes."""
    if not supported():
        return True
    with pytest.raises(PermissionError):
        sender.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _RIGHTS)])
    return True


def test_by_a_pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        refuse_descriptors(ours)
        assert refuses(theirs)
        theirs.send(b"bytes go on")
        assert ours.recv(100) == b"bytes go on"


def test_by_the_control_socket_and_its_connections():
    with (
        tempfile.TemporaryDirectory() as folder,
        door.bind(f"{folder}/control.sock") as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(f"{folder}/control.sock")
        assert refuses(client)  # not accepted yet
        accepted, _ = listener.accept()
        with accepted:
            assert refuses(client)


def test_by_a_connection_to_an_app_server():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as app:
        app.bind(f"{folder}/app")
        app.listen()
        sock, _ = Backend(f"{folder}/app").connect()
        accepted, _ = app.accept()
        with sock, accepted:
            assert refuses(accepted)
            assert os.path.exists(f"{folder}/app")
