"""What a spawn costs: from the order to the program's own first act, beside a plain Popen.

The program is date(1), which tells when it ran; the two are started in turn.

Usage: python bench/spawn.py [COUNT [PAUSE]]    PAUSE: seconds between two starts, 0.02
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench.report import Row, Verdict
from luisito.core import wire
from luisito.process.launch import launch
from luisito.spawner import channel
from tests.harness.orders import configure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.process.launch import Launched

COMMAND = ["/bin/date", "+%s%N"]
CONFIGURE = configure(max_servers=10, command=COMMAND, log_max_size=10 << 20)


class Orders:
    """Orders servers as luisito.process.client does, and times it.

    The child that waits to be the next server, where there is one, is told directly too.
    """

    def __init__(self, sock: socket.socket, listener: socket.socket) -> None:
        self._sock, self._listener = sock, listener
        self._waiting: tuple[int, socket.socket] | None = None

    @property
    def spare(self) -> int | None:
        """The server that a child waits to be."""
        return None if self._waiting is None else self._waiting[0]

    def start(self, server: int) -> dict[str, float]:
        """Start one server; return when things happened, in seconds from the order."""
        while self.read(0.0):
            pass
        begun = time.time()
        order, handed = wire.Start(server, "a.localhost", None), (self._listener.fileno(),)
        if self._waiting is not None and self._waiting[0] == server:
            with contextlib.suppress(OSError):  # it has gone: the spawner starts another
                channel.send(self._waiting[1], wire.encode_start(order), handed)
            self.close()
        channel.send(self._sock, wire.encode(order), handed)
        times = {"order sent": time.time() - begun}
        output = -1
        while "Exited" not in times:
            for name, descriptors in self.read(None):
                times[name] = time.time() - begun
                if name == "Started":
                    output, notify = descriptors
                    os.close(notify)
        times["program runs"] = int(os.read(output, 100)) / 1e9 - begun
        os.close(output)
        return times

    def read(self, timeout: float | None) -> list[tuple[str, list[int]]]:
        """A fact by its name, and its descriptors, where one comes within some seconds."""
        if not select.select([self._sock], [], [], timeout)[0]:
            return []
        data, descriptors = channel.receive(self._sock)
        fact = wire.decode_fact(data)
        if isinstance(fact, wire.Spare):
            self.close()
            self._waiting = fact.server, socket.socket(fileno=descriptors[0])
        return [(type(fact).__name__, descriptors)]

    def close(self) -> None:
        """Let the waiting child go."""
        if self._waiting is not None:
            self._waiting[1].close()
            self._waiting = None


def begin() -> Launched:
    """A spawner that takes orders."""
    launched = launch(CONFIGURE)
    if launched.killer >= 0:
        os.close(launched.killer)
    channel.send(launched.sock, wire.encode(wire.Serve()))
    select.select([launched.sock], [], [])
    taken = wire.decode_fact(channel.receive(launched.sock)[0])
    assert isinstance(taken, wire.Take), taken
    return launched


@contextlib.contextmanager
def ordering(sock: socket.socket) -> Iterator[Orders]:
    """Orders for a spawner that ends with them."""
    with (
        sock,
        socket.create_server(("127.0.0.1", 0)) as listener,
        contextlib.closing(Orders(sock, listener)) as orders,
    ):
        yield orders
        channel.send(sock, wire.encode(wire.Quit()))


def straight() -> float:
    """Start the same program without a spawner."""
    begun = time.time()
    done = subprocess.run(COMMAND, stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 1e9 - begun


def rows(count: int) -> list[Row]:
    """The row for what an order to start takes of the network process's time."""
    sock, process, *_ = begin()
    held = []
    with ordering(sock) as orders:
        for server in range(1, count + 1):
            time.sleep(0.02)
            held.append(orders.start(server)["order sent"] * 1e3)
    process.wait()
    median = statistics.median(held)
    return [
        Row(
            "an order to start holds the reactor",
            {"Luisito": f"{median:.3f} ms"},
            [Verdict(median, 0.3, " ms")],
            {"held": held},
        )
    ]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    pause = float(sys.argv[2]) if len(sys.argv) > 2 else 0.02
    begun = time.time()
    sock, process, hello, _ = begin()
    print(
        f"containment: {hello.containment}; spawner ready in {1000 * (time.time() - begun):.0f} ms"
    )
    rows: dict[str, list[float]] = {}
    with ordering(sock) as orders:
        for server in range(1, count + 1):
            time.sleep(pause)
            for name, value in orders.start(server).items():
                rows.setdefault(name, []).append(value)
            time.sleep(pause)
            rows.setdefault("straight: program runs", []).append(straight())
    process.wait()
    print(f"{'from the order to':24} {'median ms':>10} {'95 % ms':>10}   ({count} servers)")
    for name, values in rows.items():
        late = sorted(values)[int(len(values) * 0.95)]
        print(f"{name:24} {statistics.median(values) * 1000:10.3f} {late * 1000:10.3f}")


if __name__ == "__main__":
    main()
