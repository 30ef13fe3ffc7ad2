"""luisito route: says what the gateway does, and that is held against a gateway."""

import json

import pytest

from tests.harness.server import PYTHON


@pytest.fixture
def route(good):
    """Runs `luisito route`; returns (exit status, the object it prints)."""

    def route(url, *options, **how):
        done = good.luisito("route", url, "--json", *options, **how)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    return route


def test_the_way_of_a_request(good, route):
    good.write(**{**good.names, "LISTEN": ["tcp:8080", "unix:<folder>/run/http"]})
    status, found = route("http://A.Example.:8080/x?y=1")
    assert status == 0
    assert found["summary"] == "reaches a.example"
    assert found["request"] == "GET /x?y=1 with Host: A.Example.:8080"
    assert found["listen"] == "tcp:8080"
    assert found["site"] == "a.example"
    assert found["allowed"] == "as any host that has a folder (ALLOWED_HOSTS is not set)"
    assert found["folder"] == str(good.site)
    assert good.owner is None or found["user"].startswith(f"{good.owner} (uid")
    assert found["command"] == [PYTHON, "-m", "http.server", "20000"]
    done = good.luisito("route", "a.example")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "reaches a.example"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("a.example", "none of LISTEN listens on port 80: a proxy in front has to pass it on to"),
        ("https://a.example/", "none of LISTEN listens on port 443: a proxy"),
        ("https://a.example:8080/", "Luisito ends no TLS: a proxy in front"),
        ("wss://a.example:8080/", "Luisito ends no TLS"),
        ("ws://a.example:8080/", "tcp:8080"),
    ],
)
def test_who_listens(good, route, url, says):
    good.write(**{**good.names, "LISTEN": "tcp:8080"})
    assert route(url)[1]["listen"].startswith(says)


@pytest.mark.parametrize(
    ("allowed", "host", "why"),
    [
        (["a.example"], "a.example", "by 'a.example' of ALLOWED_HOSTS"),
        (["*.example"], "a.example", "by '*.example' of ALLOWED_HOSTS"),
        (["*", "!b.example"], "a.example", "by '*' of ALLOWED_HOSTS"),
    ],
)
def test_what_lets_it_in(good, route, allowed, host, why):
    good.write(**good.names, ALLOWED_HOSTS=allowed)
    status, found = route(host)
    assert (status, found["allowed"]) == (0, why)


def test_a_function_lets_it_in(good, route):
    with good.path.open("a") as settings:
        settings.write("def ALLOWED_HOSTS(host):\n    return host == 'a.example'\n")
    assert route("a.example")[1]["allowed"] == "by the function ALLOWED_HOSTS"
    assert "the function says that b.example is no site" in str(route("b.example")[1]["problems"])


def test_where_nothing_is_set(good, route):
    good.write(CMD_TPL="true")
    status, found = route("x.localhost")
    assert status == 0
    assert found["allowed"] == "by '*.localhost', as neither ALLOWED_HOSTS nor PROJECT_PATH is set"


def test_letters_beyond_ascii_go_as_browsers_send_them(good, route):
    good.make("srv/xn--bcher-kva.example", owner=good.owner)
    status, found = route("http://bücher.example:8080/ä?ö=1")
    assert (status, found["site"]) == (0, "xn--bcher-kva.example")
    assert found["request"] == "GET /%C3%A4?%C3%B6=1 with Host: xn--bcher-kva.example:8080"


def test_host_header_is_explained(good, route):
    good.write(**good.names, HOST_HEADER="X-Site")
    assert "one of TRUSTED_PROXIES sends X-Site" in route("a.example")[1]["host_header"]


def test_where_settings_are_found(good, route):
    elsewhere = good.make("elsewhere.py", 'CMD_TPL = "true"\n', mode=0o644)
    assert route("a.example")[1]["settings"] == "settings.py"
    given = {"LUISITO_SETTINGS": str(elsewhere)}
    assert route("a.localhost", environ=given)[1]["settings"] == str(elsewhere)
    found = route("a.example", "--settings", good.path, environ=given)[1]
    assert found["settings"] == str(good.path)


@pytest.mark.root
def test_settings_of_somebody_else_are_not_run_unless_they_are_named(good):
    with good.path.open("a") as settings:
        settings.write(f"open('{good.folder}/it-was-run', 'w')\n")
    good.folder.chmod(0o777)
    done = good.luisito("route", "a.example")
    assert done.returncode == 2
    assert "others than its owner may write it" in done.stderr
    assert not (good.folder / "it-was-run").exists()
    assert good.luisito("route", "a.example", "--settings", good.path).returncode == 0
    assert (good.folder / "it-was-run").exists()


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "http:///x", "http://[::1/", "http://a:x/", ""]
)
def test_what_is_no_url(good, url):
    done = good.luisito("route", url)
    assert done.returncode == 2
    assert "write http" in done.stderr


def test_exit_statuses_are_told(good):
    helped = good.luisito("route", "--help").stdout
    assert "exit status:\n  0  the request reaches a site\n  1  it is refused\n  2  " in helped
    assert good.luisito("route", "a.example", "--settings", "/no/such").returncode == 2


REFUSALS = [
    ("b.example", 404, "b.example: is not there"),
    ("other.test", 404, "fits none of its patterns"),
    ("no.example", 404, "'!no.example' keeps no.example out"),
    ("-a.example", 400, "has the label '-a'"),
    ("a_b..example", 400, "has the label ''"),
    ("1.2.3.4.5", 400, "is no IPv4 address"),
    ("link.example", 404, "symbolic link"),
]


def prepare(folder):
    (folder / "srv/a.example").mkdir(parents=True)
    (folder / "srv/link.example").symlink_to("a.example")


def test_it_says_what_the_gateway_does(serve, machine, as_whom):
    """Each host is asked for, and then for its way."""
    server = serve(
        {"PROJECT_PATH": "<folder>/srv/%HOST", "ALLOWED_HOSTS": ["*.example", "!no.example",
         "1.2.3.4"], "RUN_AS": None if as_whom else "nobody"},
        ordinary=as_whom, prepare=prepare,
    )  # fmt: skip
    user = server.user.pw_name if server.user else None

    def way(host):
        done = machine.luisito(
            "route", f"http://{host}/", "--settings", server.folder / "settings.py", "--json",
            user=user,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    for host, status, why in REFUSALS:
        assert server.request(host=host).status == status, host
        code, found = way(host)
        assert (code, found["summary"]) == (1, f"refused with {status}"), host
        assert why in f"{found['problems'][0]['where']}: {found['problems'][0]['what']}"
    assert server.request(host="a.example").status == 200
    assert way("a.example")[0] == 0


@pytest.mark.root
def test_a_start_that_is_refused(serve, machine):
    server = serve({"PROJECT_PATH": "<folder>/srv/%HOST"}, prepare=prepare)
    server.expect("a.example.*has the group root")
    assert server.request(host="a.example").status == 502
    done = machine.luisito("route", "a.example", "--settings", server.folder / "settings.py")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "refused with 502"


def test_a_function_that_raises(serve, machine):
    def function(folder):
        with (folder / "settings.py").open("a") as settings:
            settings.write("def ALLOWED_HOSTS(host):\n    raise OSError('no\\nlist')\n")

    server = serve(prepare=function)
    server.expect(r"ALLOWED_HOSTS: its function raised OSError for 'a.localhost' \(no list\)")
    with server.client() as connection:
        for _ in range(2):  # the connection goes on
            response = connection.request()
            assert response.status == 502
    assert b"mend that function" in response.body
    done = machine.luisito("route", "a.localhost", "--settings", server.folder / "settings.py")
    assert done.returncode == 1
    assert "its function raised OSError" in done.stdout
    assert done.stdout.splitlines()[-1] == "refused with 502"


@pytest.mark.root
@pytest.mark.parametrize(
    ("body", "what", "mend"),
    [
        ("while 1: time.sleep(0.1)", "did not return within 5 s", "mend it, or what it waits for"),
        ("os._exit(3)", "has ended its process instead of returning", "mend it"),
        ("sys.exit('no')", "has raised <settings>:3: SystemExit: no", "mend that function"),
        ("open('<folder>/secret')", "has raised <settings>:3: PermissionError", None),
    ],
)  # fmt: skip
def test_run_as_is_called_as_by_a_running_luisito(good, route, body, what, mend):
    """Within its 5 seconds, and without the capabilities by which root passes over modes."""
    good.make("secret", "secret", mode=0o400, owner="games")
    with good.path.open("a") as settings:
        settings.write(f"import os, sys, time\ndef RUN_AS(site):\n    {body}\n".replace(
            "<folder>", str(good.folder)))  # fmt: skip
    lines = len(good.path.read_text().splitlines())
    for found in (route("a.example", "--settings", good.path)[1], good.check()):
        (problem,) = found["problems"]
        assert problem["where"] == "RUN_AS"
        expected = what.replace("<settings>:3", f"{good.path}:{lines}")
        assert problem["what"].startswith(f"RUN_AS('a.example') {expected}")
        assert mend is None or problem["mend"] == {"do": mend}
