"""The real nginx, Apache, HAProxy and Caddy in front of Luisito, as their files in contrib say."""

import asyncio
import hashlib
import json
import re
import subprocess

import pytest
from websockets.asyncio.client import connect as websocket

from luisito.settings.table import SETTINGS
from luisito.spawner.place import SYSTEM_PLACE
from tests.harness import client, processes
from tests.harness.fronts import CLIENT, KINDS, TRUSTED, Certificate, Front
from tests.harness.server import BIN, ROOT

pytestmark = pytest.mark.needs("openssl")
SITE = "a.example.com"
SITES = {"ALLOWED_HOSTS": [SITE, "b.example.com"], "TRUSTED_PROXIES": TRUSTED}
ASGI = [f"{BIN}/uvicorn", "--fd=%FD", "--forwarded-allow-ips=*", "fronted:app"]
FORGED = "6.6.6.6"
# What a client may write in the hope that an app believes it.
LIES = [
    ("X-Forwarded-For", FORGED),
    ("X-Forwarded-For", f"{FORGED}, {CLIENT}"),
    ("X_Forwarded_For", FORGED),
    ("x-forwarded-proto", "http"),
    ("X-Forwarded-Host", "forged.example.com"),
    ("X-Forwarded-Port", "6666"),
    ("X-Real-IP", FORGED),
    ("Forwarded", f"for={FORGED};host=forged.example.com;proto=http"),
]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


def _params(*programs):
    return [pytest.param(name, marks=pytest.mark.needs(name)) for name in programs]


@pytest.fixture(params=_params(*KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def put_in_front(serve, kind, certificate):
    """Starts the front before a server; ends before that, which has its own processes to count."""
    fronts = []

    def put_in_front(server, upstream=None, changes=None):
        front = Front(kind, certificate, upstream or server.address, changes)
        fronts.append(front)
        return front.start()

    yield put_in_front
    for front in fronts:
        front.stop()
        print(f"--- output of {kind.program}\n{front.last_output}")
        assert front.ledger.faults == []


@pytest.fixture
def fronted(serve, put_in_front):
    """A front before Luisito, before the ASGI app."""
    return put_in_front(serve({**SITES, "CMD_TPL": ASGI}, files=("fronted.py",)))


def facts(response):
    assert response.status == 200, response
    return json.loads(response.body)


def fields(head):
    """Of a raw head: {lower-case name: [values]}."""
    found = {}
    for line in head.split("\r\n")[1:-2]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


def access_line(server):
    """The only one, once it is written."""
    path = server.access_path
    (line,) = processes.until(lambda: path.exists() and path.read_text().splitlines())
    return json.loads(line)


def counters(server):
    return json.loads(re.findall(r"counters: (\{.*\})", server.log())[-1])


def until_read(connection, data):
    """Reads until it has come; what came stays in the client's buffer."""
    while data not in connection.buffer:
        more = connection.sock.recv(65536)
        assert more, f"the connection ended after {connection.buffer!r}"
        connection.buffer += more


# Requests reach the app as the client sent them


def test_host_and_target_are_unchanged(serve, put_in_front):
    server = serve(SITES)
    front = put_in_front(server)
    target = "/x/a%2Fb//c%20d/../e;f?x=%2F&y=a+b"
    host = f"A.example.com:{front.port}"
    assert front.request(target, host).body == b"no such path"  # the origin's own words
    (seen,) = server.seen("head")
    assert (seen["site"], seen["target"]) == ("a.example.com", target)
    head = fields(seen["head"])
    assert head["host"] == [host]
    assert "accept-encoding" not in head


@pytest.mark.needs("curl")
@pytest.mark.parametrize("kind", _params("apache2", "haproxy", "caddy"), indirect=True)
def test_http_2_keeps_the_host(serve, put_in_front):
    server = serve(SITES)
    front = put_in_front(server)
    url = f"https://a.example.com:{front.port}"
    options = ["--http2", "--noproxy", "*", "--cacert", front.certificate.pem]
    options += ["--resolve", f"a.example.com:{front.port}:127.0.0.1", "--max-time", "20"]
    command = ["curl", "-sS", *options, "-w", "\nHTTP/%{http_version}", f"{url}/head"]
    shown = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    head, _, version = shown.rpartition("\n")
    assert version == "HTTP/2"
    assert fields(head)["host"] == [f"a.example.com:{front.port}"]


def test_a_site_is_woken(serve, put_in_front):
    """And another one, which takes its place."""
    server = serve({**SITES, "MAX_SERVERS": 1}, origin={"*": {"boot_delay": 0.5}})
    front = put_in_front(server)
    for site in ("a.example.com", "b.example.com", "a.example.com"):
        response = front.request(host=site)
        assert (response.status, response.get("x-site")) == (200, site)
    assert len(re.findall("started as pid", server.log())) == 3


def test_an_unknown_host_is_none_of_the_sites(serve, put_in_front):
    server = serve(SITES)
    front = put_in_front(server)
    for host in ("c.example.com", "elsewhere.test"):
        with front.client() as connection:
            assert connection.request(host=host).status == 404
    assert server.servers() == {}
    assert front.request().status == 200


def test_plain_http_is_sent_to_https(serve, put_in_front):
    server = serve(SITES)
    front = put_in_front(server)
    with front.client(port=front.plain_port) as connection:
        response = connection.request("/a/b?c=d", SITE)
    assert response.status == 301
    assert response.get("location") == "https://a.example.com/a/b?c=d"
    assert server.servers() == {}
    assert front.request().status == 200


def test_connections_to_luisito_are_used_again(serve, put_in_front):
    server = serve(SITES)
    front = put_in_front(server)
    for _ in range(10):
        assert front.request().status == 200
    with front.client() as connection:
        for _ in range(10):
            assert connection.request(host=SITE).status == 200
    front.stop()
    assert server.stop() == 0
    assert counters(server)["heads"] == 20
    assert counters(server)["connections"] <= 4  # one was ours, to see whether it listens


# Who the client is, and that it speaks TLS


@pytest.mark.parametrize("line", ["commented out", "there"])
def test_a_client_who_chooses_the_site(serve, put_in_front, line):
    """By HOST_HEADER: not where the front removes it, by the line that its file has for that."""
    server = serve({**SITES, "HOST_HEADER": "X-Canonical-Host"})
    changes = {r"^(\s*)#(\S.*X-Canonical-Host)": r"\1\2"} if line == "there" else {}
    front = put_in_front(server, changes=changes)
    response = front.request(fields=[("X-Canonical-Host", "b.example.com")])
    reached = SITE if line == "there" else "b.example.com"
    assert (response.status, response.get("x-site")) == (200, reached)


@pytest.mark.parametrize("lies", [[], LIES], ids=["honest", "lying"])
def test_the_app_is_told_of_the_client(serve, put_in_front, lies):
    server = serve(SITES)
    front = put_in_front(server)
    host = f"a.example.com:{front.port}"
    raw = front.request("/head", host, fields=lies).body.decode()
    assert FORGED not in raw
    assert "forged" not in raw
    head = fields(raw)
    assert head["x-forwarded-for"] == [f"{CLIENT}, 127.0.0.1"]
    assert head["x-forwarded-proto"] == ["https"]
    assert head["x-forwarded-host"] == [host]
    assert head["x-forwarded-port"] == [str(front.port)]
    assert "x-real-ip" not in head
    assert access_line(server)["client"] == CLIENT


@pytest.mark.parametrize("kind", _params("haproxy", "caddy"), indirect=True)
def test_what_is_forwarded_under_any_other_name_is_removed(serve, put_in_front):
    """nginx and Apache can only remove what is named."""
    front = put_in_front(serve(SITES))
    lies = [("x-forwarded-user", "root"), ("X-FORWARDED-SSL", "off")]
    head = fields(front.request("/head", fields=lies).body.decode())
    assert not {"x-forwarded-user", "x-forwarded-ssl"} & head.keys()


@pytest.mark.parametrize("lies", [[], LIES], ids=["honest", "lying"])
def test_by_a_unix_socket(serve, put_in_front, lies):
    """Luisito then has no address of the front to add."""
    server = serve(
        {**SITES, "LISTEN": ["unix:<folder>/http.sock:mode=666", "tcp:<port>:interface=127.0.0.1"]}
    )
    front = put_in_front(server, f"{server.folder}/http.sock")
    head = fields(front.request("/head", fields=lies).body.decode())
    assert head["host"] == ["a.example.com"]
    assert head["x-forwarded-for"] == [CLIENT]
    assert head["x-forwarded-proto"] == ["https"]
    assert "x-real-ip" not in head
    assert access_line(server)["client"] == CLIENT


@pytest.mark.parametrize("way", ["fd", "port"])
def test_uvicorn_knows_the_client(serve, put_in_front, way):
    """By %FD it must be told to believe everybody; by %PORT it believes 127.0.0.1."""
    by = {"fd": ASGI, "port": [f"{BIN}/uvicorn", "--port=%PORT", "fronted:app"]}
    server = serve({**SITES, "CMD_TPL": by[way]}, files=("fronted.py",))
    front = put_in_front(server)
    found = facts(front.request("/who", fields=LIES))
    assert (found["scheme"], found["client"]) == ("https", CLIENT)


@pytest.mark.parametrize("told", [{"TOLD": "1"}, {}], ids=["told", "untold"])
@pytest.mark.parametrize(
    ("way", "remote"),
    [("unix:%SOCKET", ""), ("127.0.0.1:%PORT", "127.0.0.1"), ("fd://%FD", "")],
)
def test_django_knows_that_it_is_https(serve, put_in_front, way, remote, told):
    """Under gunicorn, which knows it by itself, also where Django is not told to look."""
    command = [f"{BIN}/gunicorn", f"--bind={way}", "--no-control-socket", "secure:application"]
    server = serve({**SITES, "CMD_TPL": command, "ENV": told}, files=("secure.py",))
    front = put_in_front(server)
    host = f"a.example.com:{front.port}"
    found = facts(front.request("/x?y=z", host, fields=LIES))
    assert found == {
        "secure": True, "uri": f"https://{host}/x?y=z", "wsgi": "https", "remote": remote,
        "for": f"{CLIENT}, 127.0.0.1",
    }  # fmt: skip


# Streams both ways


def test_a_websocket(fronted):
    messages = ["hello", b"\0\1", "x" * 200_000]

    async def echoes():
        url = f"wss://{SITE}:{fronted.port}/echo"
        how = {"host": "127.0.0.1", "ssl": fronted.context, "proxy": None}
        async with asyncio.timeout(20), websocket(url, **how) as connection:
            found = []
            for message in messages:
                await connection.send(message)
                found.append(await connection.recv())
            return found

    # in one thread: Python 3.11 must not read and write on one TLS socket at once
    assert asyncio.run(echoes()) == messages


def test_events_arrive_one_by_one(fronted):
    """Each is read before the app is told to send the next one."""
    with fronted.client() as stream:
        stream.ask("/events", SITE)
        for number in range(2):
            until_read(stream, b"data: event %d\n\n" % number)
            assert fronted.request("/step").status == 200
        until_read(stream, b"data: event 2\n\n")
        assert stream.response().get("content-type") == "text/event-stream"


def test_a_stream_ends_with_its_client(fronted):
    """Otherwise the server would be busy for ever, and never make room."""
    with fronted.client() as stream:
        stream.ask("/endless", SITE)
        until_read(stream, b"data: event 0\n\n")
        assert facts(fronted.request("/state"))["left"] == 0
    processes.until(lambda: facts(fronted.request("/state"))["left"] == 1, 20, "its end")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_upload_is_passed_on_as_it_comes(fronted, chunked):
    """The app has some of it before the client has sent the rest."""
    size = 50 * 1024 * 1024
    block = bytes(range(256)) * 4096  # 1 MiB
    digest = hashlib.sha256()
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    with fronted.client() as connection:
        connection.send(client.compose("POST", "/upload", SITE, [framing]))
        for number in range(50):
            digest.update(block)
            piece = b"%x\r\n%s\r\n" % (len(block), block) if chunked else block
            connection.send(piece)
            if number == 10:
                processes.until(
                    lambda: facts(fronted.request("/state"))["received"] > 0, 20, "its arrival"
                )
        connection.send(b"0\r\n\r\n" if chunked else b"")
        found = facts(connection.response("POST"))
    assert found == {"length": size, "sha": digest.hexdigest()}


def test_uploads_have_no_limit(fronted):
    """Whatever a head announces, the app gets to see."""
    size = ("Content-Length", str(10 * 1024**3))
    with fronted.client() as connection:
        connection.send(client.compose("POST", "/upload", SITE, [size]) + bytes(1_000_000))
        processes.until(lambda: facts(fronted.request("/state"))["received"] > 0, 20, "its arrival")


# The files agree with each other and with Luisito's settings


def contrib(name):
    return (ROOT / "contrib" / KINDS[name].file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "pattern", "unit"),
    [
        ("nginx", r"proxy_read_timeout (\d+)h;", 3600),
        ("nginx", r"proxy_send_timeout (\d+)h;", 3600),
        ("apache2", r"^ +ProxyPass .* timeout=(\d+)", 1),
        ("haproxy", r"^ +timeout server (\d+)h", 3600),
        ("haproxy", r"^ +timeout client (\d+)h", 3600),
    ],
)
def test_timeouts_are_longer_than_luisitos(name, pattern, unit):
    default = {name: setting.default for name, setting in SETTINGS.items()}
    slowest = sum(default[f"{what}_TIMEOUT"] for what in ("QUEUE", "START", "RESPONSE"))
    (found,) = re.findall(pattern, contrib(name), re.MULTILINE)
    assert int(found) * unit > slowest
    assert f"{slowest} s)" in contrib(name)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("apache2", r"^ +ProxyPass .* ttl=(\d+)"), ("caddy", r"^\t+keepalive (\d+)s")],
)
def test_idle_connections_end_before_luisito_ends_them(name, pattern):
    (found,) = re.findall(pattern, contrib(name), re.MULTILINE)
    assert int(found) < SETTINGS["KEEPALIVE_TIMEOUT"].default


def test_the_socket_for_a_front_is_in_a_folder_that_luisito_does_not_make():
    """RUNTIME_DIR must be open to all who pass through it, and is removed at the end."""
    files = [
        "docs/in-front.md",
        "settings.py.example",
        *(f"contrib/{k.file}" for k in KINDS.values()),
    ]
    for file in files:
        text = (ROOT / file).read_text(encoding="utf-8")
        (path,) = re.findall(r"(/\w[\w/-]*)/http\.sock", text)
        assert path != SYSTEM_PLACE
        assert "install -d" not in text or f"install -d -o root -g www-data -m 2750 {path}`" in text
