"""What a spawn costs: from the order to the program's own first act, beside a plain Popen.

The program is date(1), which tells when it ran; the two are started in turn.

Usage: python bench/spawn.py [COUNT [PAUSE]]    PAUSE: seconds between two starts, 0.02
"""

from __future__ import annotations

import os
import select
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench.report import Row, Verdict
from luisito.core import wire
from luisito.process.launch import launch
from luisito.spawner import channel

COMMAND = ["/bin/date", "+%s%N"]
CONFIGURE = wire.Configure(
    version=wire.VERSION,
    max_servers=10,
    overlap=1,
    command=COMMAND,
    env={},
    project_path=None,
    cwd="/",
    run_as=None,
    allow_root=False,
    min_uid=1,
    umask=0o022,
    output_log_dir=None,
    access_log=None,
    runtime_dir=None,
    network_gid=os.getgid(),
)


def spawn(sock: socket.socket, listener: socket.socket, server: int) -> dict[str, float]:
    """Start one server; return when things happened, in seconds from the order."""
    begun = time.time()
    start = wire.Start(server, "a.localhost", None)
    channel.send(sock, wire.encode(start), (listener.fileno(),))
    times = {"order sent": time.time() - begun}
    output = -1
    while "Exited" not in times:
        select.select([sock], [], [])
        data, descriptors = channel.receive(sock)
        times[type(wire.decode_fact(data)).__name__] = time.time() - begun
        if descriptors:
            output, notify = descriptors
            os.close(notify)
    times["program runs"] = int(os.read(output, 100)) / 1e9 - begun
    os.close(output)
    return times


def straight() -> float:
    """Start the same program without a spawner."""
    begun = time.time()
    done = subprocess.run(COMMAND, stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 1e9 - begun


def rows(count: int) -> list[Row]:
    """The row for what an order to start takes of the network process's time."""
    sock, process, _ = launch(CONFIGURE)
    with sock, socket.create_server(("127.0.0.1", 0)) as listener:
        held = []
        for server in range(1, count + 1):
            time.sleep(0.02)
            held.append(spawn(sock, listener, server)["order sent"] * 1e3)
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
    sock, process, hello = launch(CONFIGURE)
    print(
        f"containment: {hello.containment}; spawner ready in {1000 * (time.time() - begun):.0f} ms"
    )
    rows: dict[str, list[float]] = {}
    with sock, socket.create_server(("127.0.0.1", 0)) as listener:
        for server in range(1, count + 1):
            time.sleep(pause)
            for name, value in spawn(sock, listener, server).items():
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
