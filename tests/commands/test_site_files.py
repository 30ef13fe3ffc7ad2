"""What check-settings and route say of site files."""

import json

import pytest

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
