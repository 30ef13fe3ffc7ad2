"""Plays the spawner of a preloaded interpreter: starts one, and sends it orders."""

from __future__ import annotations

import array
import ast
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import luisito
from luisito.spawner import tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BOOT = Path(luisito.__file__).parent / "app" / "boot.py"
PATIENCE = 60  # seconds

_NUMBERS = itertools.count(1000)  # of interpreters, as the spawner has them, too

ASKED = """
def app(environ, start_response):
    value = repr(eval(environ["wsgi.input"].read(), globals()))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [value.encode()]
"""


class Server:
    """A child of a preloaded interpreter, which is our own child, too."""

    def __init__(self, answer: dict, path: Path, orders: socket.socket, output: int) -> None:
        self.answer = answer
        self.path = path
        self.pid = answer.get("pid")
        self.orders = orders
        self.output = os.fdopen(output, "r")
        self.status: int | None = None

    def here(self) -> bytes:
        return self.orders.recv(100)

    def go(self) -> Server:
        assert self.pid is not None, self.answer
        assert self.here() == b"here", self.wait_and_read()
        self.orders.send(b"go")
        return self

    def wait(self) -> int:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def wait_and_read(self) -> str:
        self.wait()
        return self.output.read()

    def ask(self, expression: str) -> str:
        """What an expression has for a value in it (see `ASKED`)."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.path))
            body = expression.encode()
            head = f"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        head, _, value = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.partition(b"\r\n")[0], answer
        return value.decode()

    def close(self) -> None:
        self.orders.close()
        if self.pid is not None and self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.output.close()


class Interpreter:
    """A preloaded interpreter."""

    def __init__(
        self,
        folder: Path,
        *modules: str,
        python: str = sys.executable,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        (folder / "asked.py").write_text(ASKED)
        self.learned = folder / "learned"
        self.learned.mkdir(exist_ok=True)
        self.path = folder / "preload"
        self.path.unlink(missing_ok=True)
        self.servers: list[Server] = []
        self.number = next(_NUMBERS)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self.path))
            number = listener.fileno()

            def take_place() -> None:
                os.dup2(number, 3)

            self.process = subprocess.Popen(
                [python, BOOT, "preload", *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(3, number),
                preexec_fn=take_place,  # noqa: PLW1509
                env={
                    "PATH": os.environ["PATH"],
                    "LUISITO_LEARN": str(self.learned),
                    "LUISITO_SERVER": str(self.number),
                    **(environ or {}),
                },
                text=True,
            )

    def has(self, module: str) -> None:
        """Wait until it has loaded a module."""
        end = time.monotonic() + PATIENCE
        while module not in self.modules():
            assert time.monotonic() < end, (module, self.process.poll())
            time.sleep(0.02)

    def modules(self) -> set[str]:
        server = self.order().go()
        found = server.ask("sorted(__import__('sys').modules)")
        server.close()
        return set(ast.literal_eval(found))

    def ahead(self) -> int:
        """Wait until a child waits that nobody has asked for yet; its pid."""
        mark = f"LUISITO_SERVER={self.number}\0".encode()
        end = time.monotonic() + PATIENCE
        while True:
            for pid in tree.children(os.getpid()):
                title, marks = (tree.read(f"/proc/{pid}/{name}") for name in ("cmdline", "environ"))
                if title.startswith(b"luisito preload-ahead\0") and marks.startswith(mark):
                    return pid
            assert time.monotonic() < end, self.process.poll()
            time.sleep(0.02)

    def found(self) -> dict[str, str]:
        """Wait until modules have been tried; what is against them."""
        end = time.monotonic() + PATIENCE
        while not (self.learned / "probed").exists():
            assert time.monotonic() < end, self.process.poll()
            time.sleep(0.02)
        return json.loads((self.learned / "probed").read_text())["dirty"]

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> dict:
        """Send anything; the answer, of whoever has answered and has ended then."""
        with self.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            send(connection, data, descriptors)
            answer, ancillary, *_ = connection.recvmsg(65536, 1000)
            pid = array.array("i", ancillary[0][2])[0]
        if pid != self.process.pid:
            os.waitpid(pid, 0)
        return json.loads(answer)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while connection.connect_ex(str(self.path)) != 0:  # it has not loaded yet
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)
        return connection

    def order(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        folder: Path | None = None,
        argv: Sequence[str] = ("asked:app", "--fd", "3"),
        **more: object,
    ) -> Server:
        """Ask for a server, as the spawner's child does (luisito.spawner.preloaded)."""
        number = len(self.servers)
        path = self.folder / f"site{number}"
        order = {
            "site": f"site{number}.example",
            "server": number,
            "argv": list(argv),
            "environ": {
                "PATH": os.environ["PATH"],
                "LUISITO_SERVER": str(number),
                **(environ or {}),
            },
            "spawner": os.getpid(),
            **more,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(PATIENCE)
        reader, writer = os.pipe()
        cwd = os.open(folder or self.folder, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as listener, theirs, self.connect() as connection:
            listener.bind(str(path))
            listener.listen(64)
            numbers = [listener.fileno(), writer, cwd, theirs.fileno()]
            send(connection, json.dumps(order).encode(), numbers)
            answer = json.loads(connection.recv(65536) or b"null")
        os.close(writer)
        os.close(cwd)
        server = Server(answer or {}, path, ours, reader)
        self.servers.append(server)
        return server

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.end()

    def end(self) -> str:
        """End it; what it has written."""
        self.process.terminate()
        return self.process.communicate(timeout=PATIENCE)[0]


def send(connection: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    connection.sendmsg([data], [rights] if descriptors else [])
