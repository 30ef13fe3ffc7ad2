"""Endpoints that belong to one site: opened with all rights, kept over reloads and crashes."""

import contextlib
import json
import os
import signal
import socket

import pytest

from tests.faults.test_reload import crash, reload, replaced
from tests.harness import processes
from tests.harness.client import compose
from tests.harness.http import reader
from tests.harness.server import free_port
from tests.integration.test_control import luisito, status_of
from tests.integration.test_sites import Sites, lines


class Owning(Sites):
    """Sites of which a.example has a unix socket of its own from the start."""

    def __init__(self, serve, more=()):
        self.more = more
        super().__init__(serve, {"b.example": ""})

    def prepare(self, folder):
        self.place = folder / "own" / "a.sock"
        self.place.parent.mkdir()
        owner = os.stat(folder)
        os.chown(self.place.parent, owner.st_uid, owner.st_gid)
        super().prepare(folder)
        self.write("a.example", self.listen(*self.more))

    def listen(self, *more):
        return f"listen = {json.dumps([f'unix:{self.place}', *more])}\n"

    def connect(self, place=None):
        place = place or str(self.place)
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        sock = socket.socket(family)
        sock.settimeout(20)
        try:
            sock.connect(place)
        except OSError:
            sock.close()
            raise
        return sock

    def refuses(self):
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
            self.connect().close()
            return False
        return True


def ask(sock, host, target="/echo"):
    """The site that answers, the Host that it was asked with, and the status."""
    sock.sendall(compose("GET", target, host))
    response = reader(sock).response("GET")
    told = json.loads(response.body) if response.status == 200 else {}
    return response.get("x-site"), told
