"""What counts for a site is told with where it was said, and without secrets."""

from __future__ import annotations

import json
import os

import pytest

from luisito.errors import SiteFileError
from luisito.settings import from_mapping
from luisito.settings.sites.effective import of_file, of_settings
from luisito.settings.sites.table import KEYS
from luisito.settings.sites.trust import Trust

SETTINGS = {
    "SITES_DIR": "/sites",
    "CMD_TPL": "serve %PORT",
    "ENV": {"A": "s3cret"},
    "WAKE": [{"path": "/health", "answer": 200}],
    "RLIMITS": {"nofile": (10, 20)},
}
FILE = """extends = "small"
env = { B = "s3cret" }
wake = [{ user_agent = "*Bot*" }]
stop_timeout = 3
[[process]]
name = "work"
command = "work"
env = { C = "s3cret" }
[[mount]]
path = "/api"
stop_timeout = 4
"""


@pytest.fixture
def told(tmp_path):
    def told(key, text=FILE, **settings):
        (tmp_path / "a.example.toml").write_text(text)
        (tmp_path / "small.base.toml").write_text("\nmemory_max = 1048576\n")
        trust, common = Trust(os.geteuid(), {}), from_mapping({**SETTINGS, **settings})
        values = of_file(key, str(tmp_path), common, "settings.py", trust)
        assert "s3cret" not in json.dumps([value.told() for value in values])
        return {value.name: value for value in values}

    tmp_path.chmod(0o755)
    return told


def test_of_a_file_its_base_and_the_settings(told, tmp_path):
    found, path = told("a.example"), tmp_path / "a.example.toml"
    assert list(found) == list(KEYS)
    assert found["env"][1:] == ({"A": "...", "B": "..."}, f"{path}:2")
    assert found["memory_max"][1:] == (1 << 20, f"{tmp_path / 'small.base.toml'}:2")
    assert found["stop_timeout"][1:] == (3.0, f"{path}:4")
    assert found["command"][1:] == ("serve %PORT", "settings.py: CMD_TPL")
    assert found["rlimits"][1:] == ({"nofile": [10, 20]}, "settings.py: RLIMITS")
    assert found["start_timeout"][1:] == (60.0, "default")
    assert found["keep"][1:] == ("demand", "default")
    assert found["process"].value[0]["env"] == {"C": "..."}
    assert found["mount"].value == [{"path": "/api", "strip": True, "stop_timeout": 4.0}]


def test_of_a_mount(told, tmp_path):
    found, path = told("a.example/api"), tmp_path / "a.example.toml"
    assert "aliases" not in found
    assert found["stop_timeout"][1:] == (4.0, f"{path}:11")
    assert found["memory_max"].source.endswith("small.base.toml:2")


def test_of_an_app_that_luisito_runs(told):
    found = told("a.example", 'folder = "/srv"\napp = "shop:app"\n')
    assert found["command"].source == "the Python runner"


def test_of_webhooks(told):
    text = 'hooks.exit = "https://hooks.example/s3cret?s3cret"\nhooks.ready = ["a", "b"]\n'
    hooks = {"exit": "https://hooks.example/...", "ready": ["a", "b"]}
    assert told("a.example", text)["hooks"].value == hooks
    mounted = f'[[mount]]\npath = "/api"\n{text}'
    assert told("a.example", mounted)["mount"].value[0]["hooks"] == hooks


@pytest.mark.parametrize(
    ("key", "text", "error"),
    [
        ("a.example", "keep = 3", "keep = 3"),
        ("a.example/other", FILE, "/other"),
        ("b.example", "", "b.example.toml"),
    ],
)
def test_what_is_wrong(told, key, text, error):
    with pytest.raises(SiteFileError, match=error):
        told(key, text)


def test_of_a_site_without_a_file():
    common = from_mapping(SETTINGS)
    found = {value.name: value for value in of_settings(common, "settings.py")}
    assert found["env"][1:] == ({"A": "..."}, "settings.py: ENV")
    assert found["wake"].source == "settings.py: WAKE"
    json.dumps([value.told() for value in found.values()])
    assert "aliases" not in found
