"""The four proxies and the app server behind them: their configurations, their start, their end."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import ask
from bench.processes import BenchError, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
APPS = HERE / "apps"
SITE = "bench.localhost"
DOWNLOAD_BYTES = 10_000_000
# How Luisito is started. {settings}, {port} and {upstream} are filled in.
COMMAND = f"{Path(sys.executable).parent}/twistd -n --pidfile= luisito --settings {{settings}}"
# Seconds until a proxy has to answer its first request.
_START_TIMEOUT = 30.0

_NGINX = """
user nobody nogroup;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    sendfile on;
    tcp_nopush on;
    log_format ours escape=json '{{"time":"$time_iso8601","client":"$remote_addr",'
        '"site":"$host","method":"$request_method","target":"$request_uri","status":$status,'
        '"in":$request_length,"out":$bytes_sent,"first_byte":"$upstream_header_time",'
        '"total":$request_time,"start":"warm","waited":"$upstream_connect_time",'
        '"end":"$request_completion"}}';
    upstream app {{
        server 127.0.0.1:{upstream};
        keepalive 64;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header Forwarded "for=$remote_addr;host=$http_host;proto=$scheme";
    server {{
        listen 127.0.0.1:{logged};
        access_log access.log ours buffer=64k flush=1s;
        location / {{ proxy_pass http://app; }}
    }}
    server {{
        listen 127.0.0.1:{bare};
        access_log off;
        location / {{ proxy_pass http://app; }}
    }}
}}
"""

_HAPROXY = """
global
    nbthread 1
    maxconn 4096
    log stdout format raw local0
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    http-reuse always
    option forwardfor
    log global
    log-format '{{"time":"%t","client":"%ci","site":"%[capture.req.hdr(0),json]",\
"method":"%HM","target":"%[capture.req.uri,json]","status":%ST,"in":%U,"out":%B,\
"first_byte":%Tr,"total":%Ta,"start":"warm","waited":%Tc,"end":"%ts"}}'
backend app
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto=http
    server app 127.0.0.1:{upstream}
frontend logged
    bind 127.0.0.1:{logged}
    capture request header Host len 255
    default_backend app
frontend bare
    bind 127.0.0.1:{bare}
    no log
    default_backend app
frontend spliced
    bind 127.0.0.1:{spliced}
    capture request header Host len 255
    # With splice-auto, 2.6 was not seen to splice a 10 MB response once.
    option splice-response
    default_backend app
"""


@dataclass(frozen=True)
class Door:
    """A port that a proxy listens on, and the process that stands at the head of it."""

    port: int
    pid: int


@dataclass(frozen=True)
class Peer:
    """A proxy, and its doors.

    Of a `verified` one it is checked that it keeps its connections to the app alive, as it is
    configured to: if it did not, Luisito would be compared with less than it claims.

    The doors are `logged` (with an access log), `bare` (with none) and, where that is something
    else than `logged`, `spliced` (bodies moved inside the kernel).
    """

    name: str
    verified: bool
    doors: Mapping[str, Door]

    def door(self, kind: str) -> Door:
        """The door of this kind, else the logged one."""
        return self.doors.get(kind, self.doors["logged"])


def require_programs() -> None:
    """Raise BenchError, with the line that installs them, where a program is missing."""
    os.environ["PATH"] += ":/usr/sbin"  # where Debian keeps servers, outside a user's PATH
    packages = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "taskset": "util-linux"}
    missing = [program for program in packages if shutil.which(program) is None]
    if missing:
        raise BenchError(
            f"{', '.join(missing)} not found: "
            f"apt install -y {' '.join(packages[program] for program in missing)}"
        )


def versions() -> list[str]:
    """What is compared, with versions, and what by."""
    found = []
    for argv in (["nginx", "-v"], ["haproxy", "-v"], ["wrk", "-v"]):
        output = subprocess.run(argv, capture_output=True, text=True, check=False)
        version = re.search(r"\d+(\.\d+)+", output.stdout + output.stderr)
        found.append(f"{argv[0]} {version[0] if version else '?'}")
    return [*found, f"Twisted {metadata.version('twisted')}", f"Python {platform.python_version()}"]


@contextlib.contextmanager
def luisito(
    folder: Path,
    name: str,
    settings: Mapping[str, object],
    cores: Sequence[int],
    command: str = COMMAND,
    upstream: int = 0,
) -> Iterator[Door]:
    """A Luisito with these settings; LISTEN is added. Its first site may still be asleep."""
    port = free_port()
    path = folder / f"{name}.py"
    listen = f"tcp:{port}:interface=127.0.0.1"
    lines = [f"{key} = {value!r}" for key, value in {"LISTEN": listen, **settings}.items()]
    path.write_text("\n".join(lines) + "\n")
    argv = shlex.split(command.format(settings=path, port=port, upstream=upstream))
    log = folder / f"{name}.log"
    environment = {"PYTHONPATH": str(HERE.parent)}
    with running(argv, cores, log, folder, environment) as process:
        yield Door(port, process.pid)


@contextlib.contextmanager
def every_peer(folder: Path, cores: tuple[int, int], command: str) -> Iterator[list[Peer]]:
    """All four, warm: the proxies on the first core, the app servers on the second."""
    scratch = _upstream_folder(folder)
    app = ["/bin/sh", str(scratch / "upstream.sh"), str(scratch)]
    proxy_core, app_core = cores
    with contextlib.ExitStack() as stack:
        upstream = free_port()
        argv = [*app, str(upstream), str(app_core)]
        process = stack.enter_context(running(argv, [app_core], folder / "app.log", folder))
        await_answer(Door(upstream, process.pid), folder / "app.log", process)
        # One more process for Luisito: its access log is a setting of the whole.
        doors = {}
        for kind, log in (("logged", str(folder / "luisito-access.log")), ("bare", None)):
            settings = {
                "CMD_TPL": [*app, "%PORT", str(app_core)],
                "ALLOWED_HOSTS": ["*.localhost"],
                "ACCESS_LOG": log,
                "MAX_SERVERS": 2,
            }
            doors[kind] = stack.enter_context(
                luisito(folder, f"luisito-{kind}", settings, [proxy_core], command, upstream)
            )
            await_answer(doors[kind], folder / f"luisito-{kind}.log")
        peers = [Peer("Luisito", verified=False, doors=doors)]
        for name, argv, kinds, verified in _others(folder, upstream):
            log_path = folder / f"{name}.log"
            process = stack.enter_context(running(argv, [proxy_core], log_path, folder))
            doors = {kind: Door(port, process.pid) for kind, port in kinds.items()}
            for door in doors.values():
                await_answer(door, log_path, process)
            peers.append(Peer(name, verified, doors))
        yield peers


def _upstream_folder(folder: Path) -> Path:
    """The app server's files, copied to where its user (nobody, if we are root) may read them."""
    scratch = folder / "upstream"
    (scratch / "static").mkdir(parents=True)
    for name in ("upstream.sh", "upstream.conf"):
        shutil.copy(APPS / name, scratch)
    (scratch / "static" / "download").write_bytes(bytes(DOWNLOAD_BYTES))
    scratch.chmod(0o1777)
    return scratch


def _others(folder: Path, upstream: int) -> Iterator[tuple[str, list[str], dict[str, int], bool]]:
    ports = {"logged": free_port(), "bare": free_port()}
    prefix = folder / "nginx"
    prefix.mkdir()
    (prefix / "nginx.conf").write_text(_NGINX.format(upstream=upstream, **ports))
    # Its own log is opened before the configuration is read, hence -e.
    argv = ["nginx", "-p", str(prefix), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    yield "nginx", argv, ports, True
    ports = {"logged": free_port(), "bare": free_port(), "spliced": free_port()}
    path = folder / "haproxy.cfg"
    path.write_text(_HAPROXY.format(upstream=upstream, **ports))
    yield "haproxy", ["haproxy", "-db", "-f", str(path)], ports, True
    ports = {"bare": free_port(), "logged": free_port()}
    argv = [sys.executable, str(APPS / "reverse_proxy.py"), str(upstream)]
    argv += [*map(str, ports.values()), str(folder / "reverse-proxy-access.log")]
    yield "ReverseProxyResource", argv, ports, False


def await_answer(door: Door, log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until the door answers, and ask often enough that its code is warm."""
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            for _ in range(20):
                ask(door.port, SITE)
        except (OSError, BenchError) as error:
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise BenchError(
                    f"{log.stem} does not answer ({error}); its log ends:\n{tail}"
                ) from error
            time.sleep(0.05)
        else:
            return
