"""Median times of a spawn: from the order to exec, and what it holds the network process.

Usage: python bench/spawn.py [COUNT [PAUSE]]    PAUSE: seconds between two starts, 0.02
"""

from __future__ import annotations

import os
import select
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from luisito.core import wire
from luisito.process.launch import launch
from luisito.spawner import channel


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    pause = float(sys.argv[2]) if len(sys.argv) > 2 else 0.02
    configure = wire.Configure(
        version=wire.VERSION,
        max_servers=10,
        overlap=1,
        command=["/bin/true"],
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
    begun = time.perf_counter()
    launched = launch(configure)
    ready = time.perf_counter() - begun
    listener = socket.create_server(("127.0.0.1", 0))
    times: dict[str, list[float]] = {"order sent": [], "Started": [], "Running": [], "Exited": []}
    for server in range(1, count + 1):
        time.sleep(pause)
        begun = time.perf_counter()
        start = wire.Start(server, "a.localhost", None)
        channel.send(launched.sock, wire.encode(start), (listener.fileno(),))
        times["order sent"].append(time.perf_counter() - begun)
        name = ""
        while name != "Exited":
            select.select([launched.sock], [], [])
            data, descriptors = channel.receive(launched.sock)
            fact = wire.decode_fact(data)
            name = type(fact).__name__
            times[name].append(time.perf_counter() - begun)
            channel.close(descriptors)
    print(f"containment: {launched.hello.containment}; spawner ready in {ready * 1000:.0f} ms")
    print(f"{'from the order to':20} {'median ms':>10} {'95 % ms':>10}   ({count} servers)")
    for name, values in times.items():
        late = sorted(values)[int(len(values) * 0.95)]
        print(f"{name:20} {statistics.median(values) * 1000:10.3f} {late * 1000:10.3f}")
    launched.sock.close()
    launched.process.wait()


if __name__ == "__main__":
    main()
