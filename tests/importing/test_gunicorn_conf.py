"""gunicorn's configuration file, read as what it is: assignments, and other Python."""

from pathlib import Path

import pytest

from luisito.importing.gunicorn_conf import binds, path_of, settings
from tests.importing.examples import Example


def test_it_is_not_run(bring, tmp_path):
    example = Example("gunicorn-conf", tmp_path)
    witness = tmp_path / "witness"
    path = tmp_path / "srv/club/gunicorn.conf.py"
    path.write_text(path.read_text().replace("/tmp/witness-of-luisito-import", str(witness)))
    assert "club.example.toml" in bring(*example.argv[1:], "--root", tmp_path).out
    assert not witness.exists()
    assert not Path("/tmp/witness-of-luisito-import").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bind = 'a:1'\nworkers = 2 * 3\n", ["a:1"]),
        ("bind = ['a:1', 'b:2,c:3', 4]\n", ["a:1", "b:2", "c:3"]),
        ("bind = 'a:1'\nbind = f'{1}'\n", []),
        ("bind = 'a:1'\nif True:\n    bind = 'b:1'\n", ["a:1"]),
        ("bind = '\\d'\n", ["\\d"]),
        ("bind =\n", []),
        ("bind = " + "(" * 100_000, []),
        ("bind = " + "-" * 100_000 + "1", []),
        ("a = b = bind = 'x'", []),
    ],
    ids=range(9),
)
def test_bind(text, found):
    assert binds(settings(text)) == found


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["-c", "a.py"], "a.py"),
        (["--config=file:b.py", "x"], "b.py"),
        (["x", "-c"], "gunicorn.conf.py"),
    ],
)
def test_path(words, path):
    assert path_of(words) == path
