"""Webhooks over real connections: what counts as an answer, whose certificates, and how long."""

import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Sends to each address, and prints what has come of it, in JSON.
SEND = """
import json, sys
from twisted.internet import defer, task
from luisito.core.webhook import Target
from luisito.process.webhooks import send

async def main(reactor, urls):
    found = []
    for url, timeout in urls.items():
        try:
            found.append(await send(reactor, Target.parse(url), b'{"event": "ready"}', timeout))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    print(json.dumps(found))

urls = json.loads(sys.argv[1])
task.react(lambda reactor: defer.ensureDeferred(main(reactor, urls)))
"""


def sent(*urls, short=(), **environ):
    """What has come of each; those in `short` have half a second."""
    times = {url: 0.5 if url in short else 30.0 for url in urls}
    done = subprocess.run(
        [sys.executable, "-c", SEND, json.dumps(times)],
        capture_output=True, text=True, timeout=60, check=True, env={**os.environ, **environ},
    )  # fmt: skip
    return json.loads(done.stdout)


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, self.headers["Host"], body))
        self.send_response(int(self.path[1:4]))
        self.send_header("Location", "/200/followed")
        self.end_headers()
        with contextlib.suppress(OSError):  # nobody reads more than the status
            self.wfile.write(b"x" * (1 << 20))

    def log_message(self, *_args):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_args):
        """Handshakes that fail are what is tried."""


@contextlib.contextmanager
def serving(context=None):
    with Quiet(("127.0.0.1", 0), Answer) as server:
        server.heard = []
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def made(names, issuer=None):
    """A certificate and its key; by itself an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    by, signer = (name, key) if issuer is None else (issuer[0].subject, issuer[1])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name if issuer is None else x509.Name([]))
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(signer, hashes.SHA256()), key


def test_what_is_no_good_answer():
    with serving() as (server, port), socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # where nobody listens
        base = f"http://127.0.0.1:{port}"
        well, named, also, moved, broken, refused = sent(
            f"{base}/200/x?key=1",
            f"http://localhost:{port}/200",
            f"{base}/204",
            f"{base}/302",
            f"{base}/500",
            f"http://127.0.0.1:{closed.getsockname()[1]}/",
        )
        assert (well, named, also) == ("", "", "")
        assert moved == "it was answered 302, and redirects are not followed; write where it leads"
        assert broken == "it was answered 500"
        assert refused.startswith("WebhookError: it cannot be connected to: Connection was refused")
        paths = [path for path, _host, _body in server.heard]
        assert paths == ["/200/x?key=1", "/200", "/204", "/302", "/500"]
        assert server.heard[0][1:] == (f"127.0.0.1:{port}", b'{"event": "ready"}')


def test_one_that_never_answers_or_ends_the_connection():
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as rude,
    ):

        def end():
            rude.accept()[0].close()

        thread = threading.Thread(target=end)
        thread.start()
        slow = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        never, ended = sent(slow, f"http://[::1]:{rude.getsockname()[1]}/", short=[slow])
        thread.join()
    assert never == "WebhookError: it was not answered within HOOK_TIMEOUT = 0.5 s"
    assert ended.startswith("WebhookError: it was not answered: ")


@pytest.mark.parametrize("trusted", [True, False])
def test_whose_certificate(tmp_path, trusted):
    """One of an authority that the machine trusts, for that very host; else nothing is sent."""
    authority = made([])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    certificate, key = made(names, authority)
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    known = authority if trusted else made([])
    trust = tmp_path / "trust.pem"
    trust.write_bytes(known[0].public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serving(context) as (server, port):
        good, other = sent(
            f"https://localhost:{port}/200", f"https://127.0.0.1:{port}/200",
            SSL_CERT_FILE=str(trust), SSL_CERT_DIR=str(tmp_path / "none"),
        )  # fmt: skip
        if trusted:
            assert good == ""
            assert len(server.heard) == 1
        else:
            assert "certificate verify failed" in good
            assert server.heard == []
        assert other.startswith("WebhookError: it was not answered: ")
