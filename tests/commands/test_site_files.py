"""What check-settings and route say of site files."""

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from luisito.checks import apps
from luisito.settings.sites.runner import BOOT
from luisito.spawner.users import StartRefusedError
from tests.harness.server import PYTHON

COMMAND = f"command = {[PYTHON, '-m', 'http.server', '%PORT']!r}\n"


@pytest.fixture
def sites(machine):
    """A machine with SITES_DIR, a template for *.test, and files; sites(NAME=TEXT, ...)."""

    def sites(files, **names):
        machine.make("run", mode=0o711)
        machine.make("sites")
        for name, text in files.items():
            machine.make(f"sites/{name}.toml", text, mode=0o644)
        names = {"SITES_DIR": "<folder>/sites", "RUNTIME_DIR": "<folder>/run", **names}
        machine.write(**names)
        return machine

    return sites


def route(machine, url):
    done = machine.luisito("route", url, "--json")
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert bool(found["problems"]) == bool(done.returncode)
    return found


def test_each_error_and_a_count(sites):
    good = COMMAND + 'user = "games"\n'
    machine = sites(
        {
            "a.example": good,
            "b.example": good + "memory_max = '512M'\n",
            "c.example": good + "aliases = ['a.example']\n",
        }
    )
    found = machine.check()
    path = f"{machine.folder}/sites"
    assert found["site_files"] == f"1 site in {path}; 2 files with an error"
    problems = {problem["where"]: problem for problem in found["problems"]}
    assert problems[f"{path}/b.example.toml:3"]["what"].startswith("memory_max = ")
    assert "MiB" in str(problems[f"{path}/b.example.toml:3"]) or "536870912" in str(problems)
    assert problems[f"{path}/c.example.toml:3"]["mend"] == {"do": "remove one of them"}
    assert found["host"] == "a.example (the first that has a site file)"
    lines = machine.luisito("check-settings", machine.path).stdout.splitlines()
    assert any(line.startswith(f"{path}/b.example.toml:3: memory_max = ") for line in lines)


@pytest.mark.root
def test_no_error(sites):
    machine = sites({"a.example": COMMAND + 'user = "games"\nfolder = "/"\n'})
    found = machine.check()
    assert found["site_files"] == f"1 site in {machine.folder}/sites; 0 files with an error"
    assert not any("sites" in problem["where"] for problem in found["problems"])
    assert found["command"] == [PYTHON, "-m", "http.server", "20000"]
    assert found["folder"].startswith("/")


def test_a_folder_that_is_not_there(sites):
    found = sites({}, SITES_DIR="<folder>/none").check()
    (problem,) = (one for one in found["problems"] if one["where"] == "SITES_DIR")
    assert "No such file" in problem["what"]


def test_no_site_at_all(sites):
    machine = sites({})
    (problem,) = (one for one in machine.check()["problems"] if one["where"] == "SITES_DIR")
    assert problem["what"] == "no site file has a.localhost"
    assert problem["mend"]["do"].startswith(f"write {machine.folder}/sites/a.localhost.toml")


@pytest.mark.root
def test_the_way_of_a_request(sites):
    files = {
        "a.example": COMMAND + 'user = "games"\nfolder = "/"\naliases = ["www.example"]\n'
        'redirects = ["old.example"]\nhosts = ["*.a.example"]\n',
        "b.example": "memory_max = 'x'\n",
        "c.example": COMMAND + "maintenance = true\n",
    }
    names = {"CMD_TPL": [PYTHON, "-m", "http.server", "%PORT"], "ALLOWED_HOSTS": ["*.test"]}
    machine = sites(files, **names)
    path = f"{machine.folder}/sites/a.example.toml"
    for host, by in {
        "a.example": "its file's name",
        "www.example": "'www.example' of its aliases",
        "x.a.example": "'*.a.example' of its hosts",
    }.items():
        found = route(machine, f"{host}:8080")
        assert (found["site"], found["allowed"]) == ("a.example", f"by {by}, {path}")
        assert found["summary"] == "reaches a.example"
        assert found["command"] == [PYTHON, "-m", "http.server", "20000"]
    found = route(machine, "old.example:8080")
    assert found["summary"] == "is redirected to a.example with 308"
    assert "command" not in found
    found = route(machine, "c.example:8080")
    assert found["summary"] == "is answered 503: c.example is down for maintenance"
    assert "command" not in found
    found = route(machine, "b.example")
    assert found["summary"] == "refused with 502"
    assert found["problems"][0]["where"] == f"{machine.folder}/sites/b.example.toml:1"
    assert route(machine, "x.test")["allowed"] == "by '*.test' of ALLOWED_HOSTS"
    assert route(machine, "x.other")["summary"] == "refused with 404"


def of_files(machine, found):
    """What is wrong with site files: `NAME:LINE: what; mend` of each."""
    beginning = f"{machine.folder}/sites/"
    return [
        f"{problem['where'].removeprefix(beginning)}: {problem['what']}"
        for problem in found["problems"]
        if problem["where"].startswith(beginning)
    ]


def test_what_files_say_is_tried(sites):
    machine = sites({})
    owner = None if machine.user is None else machine.user.pw_name
    home = machine.make("srv", owner=owner)
    machine.make("srv/bad.env", "this is no line\n", mode=0o644, owner=owner)
    machine.make("srv/apps", owner=owner)
    for name in ("made", "apps/.venv"):
        (home / name / "bin").mkdir(parents=True)
        (home / name / "bin/python3").symlink_to("/home/gone/python3")
    good = f'folder = "{home}"\n{COMMAND}'
    files = {
        "a": f'folder = "{home}"\ncommand = ["none-such", "%PORT"]\n',
        "b": f'{good}virtualenv = "none"\n',
        "c": f'{good}env_file = ".env"\n',
        "d": f'{COMMAND}folder = "{home}/none"\n',
        "e": f'{good}stop_command = ["{home}/stop"]\n',
        "f": f'{good}waiting_page = "page.html"\n',
        "g": f'{good}env_file = "bad.env"\n',
        "h": f'{good}[[process]]\nname = "one"\ncommand = "none-such-worker"\n',
        "i": f'{good}[[mount]]\npath = "/api"\ncommand = "none-such-mount %PORT"\n',
        "j": 'extends = "shared"\n',
        "shared.base": f'\nfolder = "{home}"\ncommand = "none-such-base %PORT"\n',
        "k": good,
        "l": f"{good}sticky = true\n",
        "m": f"{good}sticky = true\nprocesses = 2\n",
        "n": f'{good}[hooks]\nready = "https://a.example/"\nexit = ["{home}/gone"]\n'
        '[[mount]]\npath = "/api"\nhooks.start = "none-such-hook %HOST"\n',
        "o": f'{good}virtualenv = "made"\n',
        "p": f'app = "shop:app"\nfolder = "{home}/apps"\n',
    }
    for name, text in files.items():
        machine.make(f"sites/{name}.toml", text, mode=0o644)
    found = machine.check()
    said = of_files(machine, found)
    assert found["tried"] == "16 files"
    expected = [
        'a.toml:2: command = ["none-such", "%PORT"]: no such program: ',
        'b.toml:3: virtualenv = "none": has no folder bin that its user may enter',
        'c.toml:3: env_file = ".env": No such file or directory',
        f'd.toml:2: folder = "{home}/none": {home}/none: is not there',
        f'e.toml:3: stop_command = ["{home}/stop"]: no such program: ',
        'f.toml:3: waiting_page = "page.html": No such file or directory',
        f'g.toml:3: env_file = "bad.env": {home}/bad.env:1: ',
        'h.toml:5: process[0].command = "none-such-worker": no such program: ',
        'i.toml:5: mount[0].command = "none-such-mount %PORT": no such program: ',
        'shared.base.toml:3: command = "none-such-base %PORT": no such program: ',
        "l.toml:3: sticky = true: does nothing without processes",
        f'n.toml:5: hooks.exit = ["{home}/gone"]: no such program: ',
        'n.toml:8: mount[0].hooks.start = "none-such-hook %HOST": no such program: ',
        f"o.toml:3: virtualenv = \"made\": no such program: '{home}/made/bin/python3'",
        f"p.toml:1: app = \"shop:app\": virtualenv '{home}/apps/.venv': no such program: ",
    ]
    assert len(said) == len(expected), said
    for line, beginning in zip(said, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.root
def test_a_virtualenv_that_the_user_cannot_enter(sites):
    machine = sites({})
    home = machine.make("srv", owner="games")
    machine.make("hidden", mode=0o700)
    machine.make("hidden/bin")
    text = f'{COMMAND}folder = "{home}"\nvirtualenv = "{machine.folder}/hidden"\n'
    machine.make("sites/a.toml", text, mode=0o644)
    (problem,) = (one for one in machine.check()["problems"] if "a.toml" in one["where"])
    assert problem["where"] == f"{machine.folder}/sites/a.toml:3"
    hidden = f"{machine.folder}/hidden"
    assert problem["what"].startswith(f'virtualenv = "{hidden}": {hidden}: user games (uid ')
    assert problem["what"].endswith(" may not enter it")
    machine.mend(problem)
    assert not of_files(machine, machine.check())


def test_the_folder_and_the_way_of_a_host_with_a_file(sites):
    machine = sites({}, CMD_TPL=["none-such", "%SOCKET"])
    owner = None if machine.user is None else machine.user.pw_name
    home = machine.make("srv", owner=owner)
    text = f'{COMMAND}folder = "{home}"\n'
    machine.make("sites/a.example.toml", text, mode=0o644)
    found = machine.check("--host", "a.example")
    assert found["folder"] == str(home)
    assert found["way_in"] == "%PORT: a port of 20000 to 29999 on the loopback interface"
    home.rmdir()
    found = route(machine, "a.example")
    assert found["summary"] == "refused with 502"
    assert found["problems"][0]["what"] == "is not there, so that its server cannot start"


@pytest.mark.root
def test_the_way_of_an_endpoint(sites):
    text = COMMAND + 'user = "games"\nfolder = "/"\n'
    files = {
        "a.example": text
        + "listen = ['unix:/run/none/a.sock:mode=660', 'tcp:8001:interface=127.0.0.1']\n",
        "b.example": text + "listen = ['tcp:8001:interface=127.0.0.2', 'tcp:8003']\n",
        "c.example": text + "listen = ['tcp6:8004:interface=\\:\\:1']\nmaintenance = true\n",
    }
    machine = sites(files, LISTEN=["tcp:8002", "unix:/run/none/http"])
    a, b = (f"{machine.folder}/sites/{name}.example.toml" for name in "ab")
    for url, host, endpoint in (
        ("unix:/run/none/../none/a.sock", "any Host", "unix:/run/none/a.sock:mode=660"),
        ("tcp:8001:interface=127.0.0.1", "any Host", "tcp:8001:interface=127.0.0.1"),
        ("127.0.0.1:8001", "Host: 127.0.0.1:8001", "tcp:8001:interface=127.0.0.1"),
        ("http://b.example@127.0.0.1:8001", "Host: 127.0.0.1:8001", "tcp:8001:interface=127.0.0.1"),
    ):
        found = route(machine, url)
        assert found["request"] == f"GET / with {host}"
        assert found["listen"] == f"{endpoint}, where all is for a.example, whatever Host says"
        assert (found["site"], found["allowed"]) == (
            "a.example",
            f"by {endpoint!r} of its listen, {a}",
        )
        assert found["summary"] == "reaches a.example"
        assert found["command"] == [PYTHON, "-m", "http.server", "20000"]
    found = route(machine, "http://a.example:8003/x")
    assert (found["site"], found["allowed"]) == ("b.example", f"by 'tcp:8003' of its listen, {b}")
    assert (
        route(machine, "https://a.example:8003/x")["site"] == "a.example"
    )  # no TLS comes in there
    assert route(machine, "http://a.example:8002/")["site"] == "a.example"
    assert route(machine, "http://[::1]:8004/")["summary"].startswith(
        "is answered 503: c.example is"
    )
    for endpoint, what in {
        "unix:/run/none/b.sock": "is in no site file, nor in LISTEN",
        "unix:/run/none/http": "is of LISTEN, so that Host names the site",
        "tcp:8002:interface=127.0.0.1": "is of LISTEN, so that Host names the site",
        "tcp:8001": "could be tcp:8001:interface=127.0.0.1 of a.example or"
        " tcp:8001:interface=127.0.0.2 of b.example",
    }.items():
        found = route(machine, endpoint)
        assert (found["summary"], found["problems"][0]["what"]) == ("is no site's alone", what)
    done = machine.luisito("route", "unix:a.sock")
    assert (done.returncode, "is no endpoint; write unix:/run" in done.stderr) == (2, True)


def test_what_keeps_an_endpoint_from_being_opened(machine, sites):
    with (
        socket.create_server(("127.0.0.1", 0)) as free,
        socket.create_server(("127.0.0.1", 0)) as sock,
    ):
        port, other = sock.getsockname()[1], free.getsockname()[1]
        free.close()
        files = {
            "a.example": f"listen = ['tcp:{port}', 'tcp:{other}']\n",
            "b.example": f"listen = ['unix:{machine.path}', 'tcp:{other}:interface=127.0.0.1']\n",
            "c.example": "listen = ['unix:/no such/c', 'tcp:8002:interface=127.0.0.1']\n",
            "d.example": "listen = 'tcp:1:interface=127.0.0.1'\n",
        }
        sites({name: COMMAND + text for name, text in files.items()}, LISTEN="tcp:8002")
        found = machine.check()
    said = {}
    for one in found["problems"]:
        for name in files:
            if f"{name}.toml:2" in one["where"]:
                what = one["what"].partition("]: ")[2] or one["what"].partition('": ')[2]
                said.setdefault(name, []).append(what)
    folder = f"{machine.folder}/sites"
    part = ", or a part of it, too"
    (taken,) = said["a.example"]
    assert taken.startswith(f"tcp:{port} is taken: ")
    assert taken.endswith(f" (pid {os.getpid()}) listens there")
    assert said["b.example"] == [
        f"unix:{machine.path} is there, and no socket",
        f"tcp:{other}:interface=127.0.0.1 cannot be had, as {folder}/a.example.toml has that{part}",
    ]
    assert said["c.example"] == [
        "/no such: the folder of listen is not there",
        "tcp:8002:interface=127.0.0.1 cannot be had, as LISTEN has that" + part,
    ]
    low = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if os.geteuid() and low > 1:
        assert said["d.example"] == [
            f"tcp:1:interface=127.0.0.1 needs root, as all ports below {low} do"
        ]
    else:
        assert "d.example" not in said


@pytest.mark.root
def test_what_a_project_lacks(sites):
    """Nothing of the project's is run to find out."""
    machine = sites({})
    machine.make("project/.venv/lib/python3.11/site-packages")
    machine.make("project/.venv/pyvenv.cfg", "include-system-site-packages = false\n", mode=0o644)
    machine.make("project/.venv/bin/python3", "#!/bin/false\n", mode=0o755)
    folder = f"{machine.folder}/project"
    machine.make("sites/a.example.toml", f'django = "{folder}"\nuser = "games"\n', mode=0o644)
    (problem,) = machine.check()["problems"]
    assert problem["what"].endswith("no manage.py is there")
    machine.make("project/manage.py", "x('DJANGO_SETTINGS_MODULE', 'a.b')\n", mode=0o644)
    (problem,) = machine.check()["problems"]
    assert problem["where"] == f"{machine.folder}/sites/a.example.toml:1"
    assert problem["what"].endswith(f"{folder}/.venv has no Django")
    assert problem["mend"] == {"do": f"run {folder}/.venv/bin/pip install django"}
    machine.make("project/.venv/lib/python3.11/site-packages/django")
    assert machine.check()["problems"] == []


VENV = "app/.venv"
PACKAGES = f"{VENV}/lib/python3.11/site-packages"


@pytest.mark.root
def test_what_an_app_lacks(sites):
    """Nothing of the app's is run to find out."""
    machine = sites({})
    folder = f"{machine.folder}/app"
    machine.make(f"{PACKAGES}/there")
    machine.make(f"{VENV}/pyvenv.cfg", "include-system-site-packages = false\n", mode=0o644)
    machine.make(f"{VENV}/bin/python3", "#!/bin/false\n", mode=0o755)
    text = f'folder = "{folder}"\nuser = "games"\napp = '

    def problems(app, more=""):
        machine.make("sites/a.example.toml", f"{text}'{app}'\n{more}", mode=0o644)
        return machine.check()["problems"]

    (problem,) = problems("shop.wsgi:application")
    assert problem["where"] == f"{machine.folder}/sites/a.example.toml:3"
    where = f"{folder}, nor has {folder}/.venv one"
    assert problem["what"].endswith(f"no module 'shop.wsgi' is in {where}")
    assert problem["mend"] == {"do": "mend the name or the folder"}
    machine.make("app/src/shop/wsgi.py", "not run", mode=0o644)
    assert problems("shop.wsgi:application")[0]["mend"] == {"do": f"write folder = '{folder}/src'"}
    machine.make("app/shop/__init__.py", "not run", mode=0o644)
    (problem,) = problems("shop.wsgi:application")
    assert problem["what"].endswith(f"no module 'shop.wsgi' is in {folder}")
    machine.make("app/shop/wsgi.cpython-311-x86_64-linux-gnu.so", "not run", mode=0o644)
    for found in ("shop.wsgi:application", "there.app:app", "wsgiref.simple_server:demo_app"):
        machine.make(f"{PACKAGES}/there/app.py", "not run", mode=0o644)
        assert problems(found) == []
    assert problems("absent:app", "env = { PYTHONPATH = '/srv/more' }\n") == []
    machine.make(f"{PACKAGES}/elsewhere.pth", "/srv/more", mode=0o644)
    assert problems("absent:app") == []


@pytest.mark.parametrize(
    ("app", "lent", "missing"),
    [
        (
            "shop:app",
            [],
            "has neither waitress nor uvicorn, nor has Luisito; run V/bin/pip install",
        ),
        ("shop:app", ["uvicorn"], ""),
        ("shop.wsgi:app", ["uvicorn"], "has no waitress, nor has Luisito; run V/bin/pip install"),
        ("shop.wsgi:app", ["uvicorn", "waitress"], ""),
        ("shop.asgi:app", ["waitress"], "has no uvicorn, nor has Luisito; run V/bin/pip install"),
    ],
)
def test_what_serves_an_app(tmp_path, app, lent, missing):
    venv, packages = tmp_path / "V", tmp_path / "V/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "shop").mkdir()
    for name in ("__init__", "wsgi", "asgi"):
        (tmp_path / f"shop/{name}.py").write_text("not run")
    for name in lent:
        (tmp_path / f"lent/{name}").mkdir(parents=True)
    config = SimpleNamespace(
        virtualenv=str(venv), check_virtualenv=lambda: None, folder=lambda _: str(tmp_path)
    )
    argv = ["python3", BOOT, "serve", app, "--fd", "3", "--servers", f"{tmp_path}/lent"]
    said = ""
    try:
        apps.check(apps.served(argv), config, {"PATH": "/usr/bin"})
    except StartRefusedError as refused:
        said = str(refused)
    assert said.removeprefix(f"{venv} ").replace(str(venv), "V").rpartition(" ")[0] == missing
    (packages / "waitress").mkdir()
    (packages / "uvicorn").mkdir()
    apps.check(apps.served(argv), config, {"PATH": "/usr/bin"})


def test_what_keeps_a_site_from_being_frozen(sites):
    """A machine either has what it takes, or the line that asks for it is told."""
    freezes = COMMAND + "hibernate_after = 60\n"
    machine = sites(
        {
            "a.example": COMMAND + "hibernate = true\n",
            "b.example": COMMAND + "hibernate = false\n",
            "c.example": freezes + "hibernate = true\n",
            "d.example": freezes,
        },
        HIBERNATE="freeze",
    )
    found = machine.check()
    folder = f"{machine.folder}/sites"
    said = [one for one in found["problems"] if "hibernate" in one["what"]]
    assert said[0]["where"] == f"{folder}/a.example.toml:2"
    assert said[0]["what"].startswith("hibernate = true: says nothing without hibernate_after")
    missing = [(one["where"], one["what"].partition(": ")[0]) for one in said[1:]]
    asks = [(f"{folder}/c.example.toml:2", "hibernate_after = 60")]
    assert missing == ([] if "hibernation" in found else asks)
