"""Asks once, or loads a proxy with wrk and weighs the CPU time that it took for it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import BenchError, cpu_seconds

if TYPE_CHECKING:
    from bench.peers import Peer

_LUA = Path(__file__).parent / "lua"
_REPORT = re.compile(r"^bench (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What wrk is to do, and through which door of a proxy."""

    path: str = "/"
    script: str = "plain.lua"
    connections: int = 64
    door: str = "logged"


@dataclass(frozen=True)
class Sample:
    """One run: CPU seconds of the proxy, seconds on the clock, and what got through.

    `opened` counts the connections that the app server accepted meanwhile.
    """

    cpu: float
    elapsed: float
    requests: int
    received: int
    opened: int
    latency_median: float
    latency_99: float


def ask(port: int, host: str, path: str = "/", timeout: float = 60.0) -> tuple[float, bytes]:
    """GET over a new loopback connection: seconds from request to whole response, and its body.

    Raises:
        BenchError: the answer is not a whole 200.
        OSError: there is none.
    """
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        begun = time.perf_counter()
        body = ask_over(connection, host, path)
        return time.perf_counter() - begun, body


def ask_over(connection: socket.socket, host: str, path: str = "/") -> bytes:
    """GET over a connection that stands; the body. Raises as `ask` does."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    received = b""
    while True:
        head, blank, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if blank and length and len(body) >= int(length[1]):
            break
        more = connection.recv(65536)
        if not more:
            raise BenchError(f"{host}{path}: the answer broke off after {received[:200]!r}")
        received += more
    if b" 200 " not in head[:13]:
        raise BenchError(f"{host}{path}: answered {received[:300]!r}")
    return body


def run(peer: Peer, load: Load, host: str, core: int, seconds: int) -> Sample:
    """Load one proxy for some seconds from one core.

    Raises:
        BenchError: requests failed, or a proxy that is to keep its connections to the app did not.
    """
    door = peer.door(load.door)
    argv = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s"]
    argv += ["-H", f"Host: {host}", "-s", str(_LUA / load.script)]
    argv += [f"http://127.0.0.1:{door.port}{load.path}"]
    environment = {**os.environ, "LUA_PATH": f"{_LUA}/?.lua"}
    opened = -_app_connections(door.port, host)
    before = cpu_seconds(door.pid, door.parts)
    output = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    cpu = cpu_seconds(door.pid, door.parts) - before
    found = _REPORT.search(output.stdout)
    if found is None:
        raise BenchError(f"wrk said: {output.stdout}{output.stderr}")
    requests, received, elapsed, refused, broken, median, worst = map(int, found.groups())
    if not requests or refused or broken:
        raise BenchError(
            f"{peer.name}, {load}: of {requests} requests {refused} were answered with an error "
            f"and {broken} failed on the socket"
        )
    opened += _app_connections(door.port, host)
    if peer.verified:
        _check_reuse(peer, load, requests, opened)
    return Sample(cpu, elapsed / 1e6, requests, received, opened, median / 1e6, worst / 1e6)


def _app_connections(port: int, host: str) -> int:
    """How many connections the app server has accepted so far (nginx's stub_status)."""
    _, body = ask(port, host, "/status")
    counted = re.search(rb"requests\s+(\d+)", body)
    if counted is None:
        raise BenchError(f"{host}/status: no count in {body!r}")
    return int(counted[1])


def _check_reuse(peer: Peer, load: Load, requests: int, opened: int) -> None:
    # nginx gives up each connection after keepalive_requests (1,000).
    allowed = 2 * load.connections + requests // 500
    if opened > allowed:
        raise BenchError(
            f"{peer.name}, {load}: {opened} connections to the app for {requests} requests; with "
            f"keep-alive they are at most {allowed}, so the comparison would not be one"
        )
