"""nginx, Apache, HAProxy and Caddy in front of Luisito, each as its file in contrib says."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import attrs

from tests.harness import client, processes
from tests.harness.server import ROOT, START_LIMIT, free_port

CLIENT = "127.0.0.9"  # where clients come from: no trusted proxy, other than the front itself
TRUSTED = ["127.0.0.1", "unix"]  # TRUSTED_PROXIES, so that CLIENT is a stranger
_STOP_LIMIT = 20  # seconds; Apache kills a child that is still busy after ten


@attrs.frozen
class Certificate:
    """For *.example.com, signed by itself: its file, its key's, and one with both."""

    pem: Path
    key: Path
    both: Path

    @classmethod
    def make(cls, folder):
        made = cls(folder / "cert.pem", folder / "cert.key", folder / "both.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=example.com",
             "-addext", "subjectAltName=DNS:*.example.com",
             "-out", made.pem, "-keyout", made.key],
            check=True, capture_output=True,
        )  # fmt: skip
        made.both.write_text(made.pem.read_text() + made.key.read_text())
        return made


@attrs.frozen
class Kind:
    """A front.

    Attributes:
        program: its executable.
        file: of ROOT/contrib.
        places: {what stands in that file: what a test puts there}, with {http} and {https} for
            ports, {app} for Luisito, {pem}, {key} and {both} for the certificate.
        unix: {app} for Luisito on the unix socket {path}.
        main: (name, text) of the file that includes the one of contrib, as {contrib}, and keeps
            everything else in {folder}.
        argv: runs it in the foreground, with {folder}, {main} and {contrib}.
    """

    program: str
    file: str
    places: dict
    unix: str
    main: tuple
    argv: list


NGINX = Kind(
    program="nginx",
    file="nginx/luisito.conf",
    places={
        "listen 80;": "listen 127.0.0.1:{http};",
        "listen 443 ssl;": "listen 127.0.0.1:{https} ssl;",
        "server 127.0.0.1:8080;": "server {app};",
        " /etc/ssl/example.com.pem;": " {pem};",
        " /etc/ssl/private/example.com.key;": " {key};",
    },
    unix="unix:{path}",
    main=(
        "nginx.conf",
        """
        pid nginx.pid;
        error_log stderr warn;
        events {{ worker_connections 512; }}
        http {{
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            access_log access.log;
            gzip on;
            include {contrib};
        }}
        """,
    ),
    argv=["nginx", "-p", "{folder}", "-c", "{main}", "-e", "stderr", "-g", "daemon off;"],
)
APACHE = Kind(
    program="apache2",
    file="apache/luisito.conf",
    places={
        "<VirtualHost *:80>": "<VirtualHost 127.0.0.1:{http}>",
        "<VirtualHost *:443>": "<VirtualHost 127.0.0.1:{https}>",
        "ProxyPass / http://127.0.0.1:8080/": "ProxyPass / {app}/",
        " /etc/ssl/example.com.pem": " {pem}",
        " /etc/ssl/private/example.com.key": " {key}",
    },
    unix="unix:{path}|http://luisito",
    # As Debian has it, and a limit that the file of contrib must lift.
    main=(
        "apache2.conf",
        """
        ServerRoot {folder}
        ServerName localhost
        PidFile {folder}/pid
        DefaultRuntimeDir {folder}
        ErrorLog {folder}/error.log
        Listen 127.0.0.1:{http}
        Listen 127.0.0.1:{https}
        {modules}
        StartServers 1
        ServerLimit 1
        ThreadsPerChild 16
        MaxRequestWorkers 16
        <IfModule unixd_module>
        User nobody
        Group nogroup
        </IfModule>
        Timeout 300
        LimitRequestBody 1000000
        RequestReadTimeout header=20-40,minrate=500 body=10,minrate=500
        AddOutputFilterByType DEFLATE text/html text/plain text/css
        Include {contrib}
        """,
    ),
    argv=["apache2", "-DFOREGROUND", "-f", "{main}"],
)
APACHE_MODULES = [
    "mpm_event", "authz_core", "deflate", "filter", "headers", "http2", "proxy", "proxy_http",
    "reqtimeout", "rewrite", "socache_shmcb", "ssl",
]  # fmt: skip
HAPROXY = Kind(
    program="haproxy",
    file="haproxy/luisito.cfg",
    places={
        "bind :80\n": "bind 127.0.0.1:{http}\n",
        "bind :443 ssl": "bind 127.0.0.1:{https} ssl",
        "server luisito 127.0.0.1:8080": "server luisito {app}",
        " /etc/ssl/private/example.com.pem": " {both}",
    },
    unix="unix@{path}",
    main=("haproxy.cfg", "global\n    maxconn 500\n"),
    argv=["haproxy", "-db", "-f", "{main}", "-f", "{contrib}"],
)
CADDY = Kind(
    program="caddy",
    file="caddy/Caddyfile",
    places={
        ":80 {": ":{http} {{",
        ":443 {": ":{https} {{",
        "header_up X-Forwarded-Port 443": "header_up X-Forwarded-Port {https}",
        "reverse_proxy 127.0.0.1:8080": "reverse_proxy {app}",
        " /etc/ssl/example.com.pem": " {pem}",
        " /etc/ssl/private/example.com.key": " {key}",
    },
    unix="unix/{path}",
    main=(
        "Caddyfile.main",
        """
        {{
            admin off
            default_bind 127.0.0.1
            http_port {http}
            https_port {https}
            grace_period 1s
        }}
        import {contrib}
        """,
    ),
    argv=["caddy", "run", "--adapter", "caddyfile", "--config", "{main}"],
)
KINDS = {kind.program: kind for kind in (NGINX, APACHE, HAPROXY, CADDY)}


class Front:
    """One front, from start to end, as a child of ours.

    Args:
        kind: which.
        certificate: its own.
        upstream: (address, port) of Luisito, or the path of its unix socket.
        changes: {regular expression: what is written in its place in the file of contrib}.

    Attributes:
        port: where it speaks TLS.
        plain_port: where it does not.
        context: for TLS to it.
        ledger: of all its clients.
        last_output: all that it wrote, once it has ended.
    """

    def __init__(self, kind, certificate, upstream, changes=None):
        self.kind, self.certificate = kind, certificate
        self._changes = changes or {}
        self.folder = Path(tempfile.mkdtemp(prefix="lf-"))
        self.folder.chmod(0o755)
        self.port, self.plain_port = free_port(), free_port()
        self.ledger = client.Ledger()
        self.last_output = ""
        self._clients = []
        self.context = ssl.create_default_context(cafile=certificate.pem)
        self.process = None
        self._words = {
            "http": self.plain_port,
            "https": self.port,
            "app": self._app(upstream),
            "folder": self.folder,
            "contrib": self.folder / Path(kind.file).name,
            "main": self.folder / kind.main[0],
            "modules": "\n".join(
                f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
                for name in APACHE_MODULES
            ),
            **attrs.asdict(certificate),
        }

    def _app(self, upstream):
        if isinstance(upstream, str):
            return self.kind.unix.format(path=upstream)
        return ("http://" if self.kind is APACHE else "") + "{}:{}".format(*upstream)

    def _configure(self):
        text = (ROOT / "contrib" / self.kind.file).read_text(encoding="utf-8")
        for there, here in self.kind.places.items():
            assert there in text, f"contrib/{self.kind.file} has no {there!r}"
            text = text.replace(there, here.format(**self._words))
        for there, here in self._changes.items():
            text, count = re.subn(there, here, text, flags=re.MULTILINE)
            assert count == 1, f"contrib/{self.kind.file} has {there!r} {count} times"
        self._words["contrib"].write_text(text, encoding="utf-8")
        self._words["main"].write_text(self.kind.main[1].format(**self._words), encoding="utf-8")

    def start(self):
        """Starts it; returns self once it listens."""
        self._configure()
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
                   "HOME": str(self.folder)}  # fmt: skip
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(
                [argument.format(**self._words) for argument in self.kind.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=environ,
                start_new_session=True,
            )
        what = f"a start of {self.kind.program}"
        processes.until(self._listens, START_LIMIT, what)
        return self

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.kind.program} ended:\n{self.output()}")
        with contextlib.suppress(OSError):
            for port in (self.port, self.plain_port):
                client.connect(("127.0.0.1", port), 1).close()
            return True
        return False

    def output(self):
        """What it wrote so far; all that, once it has ended."""
        files = [self.folder / "output", self.folder / "error.log"]
        found = [file.read_text(errors="replace") for file in files if file.exists()]
        return "".join(found) or self.last_output

    def connect(self, host="a.example.com", timeout=20.0, port=None):
        """A socket to it from CLIENT, under TLS unless to its plain port."""
        raw = socket.create_connection(
            ("127.0.0.1", port or self.port), timeout, source_address=(CLIENT, 0)
        )
        if port == self.plain_port:
            return raw
        try:
            return self.context.wrap_socket(raw, server_hostname=host)
        except OSError:
            raw.close()
            raise

    def client(self, host="a.example.com", **how):
        """A new connection, as of harness.client."""
        found = client.Client(self.connect(host, **how), self.ledger)
        self._clients.append(found)
        return found

    def request(self, target="/echo", host="a.example.com", method="GET", **how):
        """One request on a connection of its own."""
        with self.client() as connection:
            return connection.request(target, host, method, **how)

    def stop(self):
        """Ends it, and everything it started; a second time does nothing."""
        for connection in self._clients:
            connection.close()
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.terminate()
                self.process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            self.last_output = self.output()
            shutil.rmtree(self.folder, ignore_errors=True)
