"""What is written, what is left, and what is said of it."""

import os
import stat

import pytest

from tests.importing.test_hostile import SERVER, UNIT


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "nginx").mkdir()
    (tmp_path / "units").mkdir()
    (tmp_path / "nginx" / "a").write_text(SERVER)
    (tmp_path / "units" / "a.service").write_text(UNIT)
    return tmp_path


def test_without_to_nothing_is_written(bring, machine):
    said = bring("nginx", "units")
    assert said.status == 0
    assert said.part("would be written") == ["/etc/luisito/sites/a.example.toml"]
    assert "1 file to be written, 0 not translated; --to DIR writes them" in said.out
    assert sorted(os.listdir(machine)) == ["nginx", "units"]


def test_dry_run_with_to_writes_nothing_and_knows_what_is_there(bring, machine):
    (machine / "sites").mkdir()
    (machine / "sites" / "a.example.toml").write_text("command = 'mine %PORT'\n")
    said = bring("nginx", "units", "--to", "sites", "--dry-run")
    assert said.status == 1
    (line,) = said.part("not translated")
    assert line.startswith(f"{machine}/sites/a.example.toml: is there already, and was left")
    assert (machine / "sites" / "a.example.toml").read_text() == "command = 'mine %PORT'\n"


def test_never_over_another_without_force(bring, machine):
    first = bring("nginx", "units", "--to", "sites")
    assert first.status == 0
    path = machine / "sites" / "a.example.toml"
    assert first.part("written") == [str(path)]
    path.write_text("command = 'mine %PORT'\n")
    assert bring("nginx", "units", "--to", "sites").status == 1
    assert path.read_text() == "command = 'mine %PORT'\n"
    path.unlink()
    path.symlink_to("nowhere.toml")
    assert bring("nginx", "units", "--to", "sites").status == 1
    assert path.is_symlink()
    assert bring("nginx", "units", "--to", "sites", "--force").status == 0
    assert not path.is_symlink()
    assert "gunicorn" in path.read_text()
    assert os.listdir(machine / "sites") == ["a.example.toml"]


def test_a_host_that_another_file_has(bring, machine):
    (machine / "sites").mkdir()
    other = machine / "sites" / "z.example.toml"
    other.write_text("command = 'serve %PORT'\naliases = ['a.example']\n")
    said = bring("nginx", "units", "--to", "sites")
    assert said.status == 1
    (line,) = said.part("not translated")
    assert "a.example.toml would be wrong" in line
    assert "z.example.toml has it, too" in line
    assert os.listdir(machine / "sites") == ["z.example.toml"]


def test_a_file_that_luisito_would_refuse_is_not_written(bring, machine):
    (machine / "units" / "a.service").write_text(UNIT + "MemoryMax=4K\n")
    said = bring("nginx", "units", "--to", "sites")
    assert said.status == 1
    (line,) = said.part("not translated")
    assert "memory_max = 4096" in line
    assert os.listdir(machine / "sites") == []


def test_a_folder_that_luisito_would_not_read(bring, machine):
    (machine / "sites").mkdir()
    (machine / "sites").chmod(0o777)
    said = bring("nginx", "units", "--to", "sites")
    assert said.status == 2
    assert "others than its owner may write it" in said.err


def test_the_folder_is_made_in_one_that_is_there(bring, machine):
    said = bring("nginx", "units", "--to", "none/sites")
    assert said.status == 2
    assert "cannot be made" in said.err


def test_what_not_everybody_may_read_stays_so(bring, machine):
    bring("nginx", "units", "--to", "sites")
    path = machine / "sites" / "a.example.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    (machine / "units" / "a.service").chmod(0o600)
    bring("nginx", "units", "--to", "sites", "--force")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_settings_are_those_of_the_file(bring, machine):
    settings = machine / "luisito.py"
    settings.write_text(
        "SITES_DIR = '/srv/sites'\nLISTEN = 'unix:/run/front/http.sock:mode=660'\nMIN_UID = 2000\n"
    )
    (machine / "units" / "a.service").write_text(UNIT.replace("User=a", "User=1500"))
    said = bring("nginx", "units", "--settings", settings)
    assert "is below MIN_UID = 2000" in said.part("not translated")[0]
    (machine / "units" / "a.service").write_text(UNIT)
    said = bring("nginx", "units", "--settings", settings)
    assert said.part("would be written") == ["/srv/sites/a.example.toml"]
    assert "proxy_pass http://unix:/run/front/http.sock;" in said.out


def test_a_host_that_is_none(bring):
    assert "--host a b: " in bring("x", "--host", "a b").err
