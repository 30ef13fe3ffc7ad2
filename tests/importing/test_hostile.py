"""What nobody should name as a source: one line each, no traceback, and nothing is run."""

import os
import sys
from itertools import pairwise

import pytest

from luisito.errors import ImportFailed
from luisito.importing.nginx_text import parse

SERVER = "server { server_name a.example; location / { proxy_pass http://unix:/run/a.sock; } }\n"
UNIT = "[Service]\nUser=a\nExecStart=/usr/bin/gunicorn -b unix:/run/a.sock a:app\n"


def test_a_binary_file(bring, tmp_path):
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0\1server {")
    assert "binary: is no text, it has NUL characters; leave it out" in bring("binary").err


def test_text_that_is_not_utf_8(bring, tmp_path):
    (tmp_path / "latin").write_bytes(b"# x\nserver_name caf\xe9;\n")
    assert "latin:2: is not UTF-8; write that line in UTF-8" in bring("latin").err


def test_a_file_of_100_mb_is_not_read(bring, tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(100 * 1024**2)
    assert "large: is larger than 1048576 bytes; leave it out" in bring("large").err


def test_symlinks_in_a_circle(bring, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "a: cannot be read: Too many levels of symbolic links" in bring("a").err
    folder = tmp_path / "sites-enabled"
    folder.mkdir()
    (folder / "a").symlink_to("a")
    (folder / "self").symlink_to(".")
    (folder / "good").write_text(SERVER)
    lost = "\n".join(bring("sites-enabled").part("not translated"))
    assert "a: cannot be read: Too many levels of symbolic links; mend its symbolic links" in lost
    assert "self: self: there is no config.ru" in lost
    assert "nothing that was read listens at /run/a.sock" in lost


def test_a_pipe_that_nobody_writes_and_a_device(bring, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: is no regular file; leave it out" in bring("pipe").err
    assert "/dev/zero: is no regular file; leave it out" in bring("/dev/zero").err


@pytest.mark.parametrize("name", ["none", "x" * 300, "new\nline"])
def test_a_file_that_is_not_there(bring, name):
    assert "cannot be read: " in bring(name).err


def test_files_that_include_each_other(bring, tmp_path):
    (tmp_path / "a.conf").write_text("include b.conf;\ninclude ./a.conf;\n" + SERVER)
    (tmp_path / "b.conf").write_text("include a.conf;\n" * 3)
    lost = bring("a.conf").part("not translated")
    assert [line.removeprefix(f"{tmp_path}/") for line in lost if ": include " in line] == [
        "a.conf:2: include ./a.conf: files include each other; remove it",
        *(f"b.conf:{n}: include a.conf: files include each other; remove it" for n in (1, 2, 3)),
    ]


def test_includes_that_double_end_soon(bring, tmp_path):
    for each in range(10):
        (tmp_path / f"f{each}.conf").write_text(f"include f{each + 1}.conf;\n" * 6)
    (tmp_path / "f10.conf").write_text("x;\n" * 6)
    assert "; name fewer" in bring("f0.conf").err


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("server {\n listen 80;\n", 'f:1: the "{" of server is not closed; close it'),
        ("server {\n}}\n", 'f:2: "}" closes nothing; remove it'),
        ("server {\n listen 80\n}\n", 'f:2: listen has no ";" at its end; write one'),
        ("a\n", 'f:1: a has no ";" at its end; write one'),
        ("{ }", 'f:1: "{" has no name before it; remove it'),
        ("a 'b\nc;", "f:1: a quote is not closed; close it"),
        ("a {" * 1000, "f:1: is nested too deeply; no block needs that"),
    ],
)
def test_unbalanced_nginx(text, error):
    with pytest.raises(ImportFailed) as caught:
        parse("f", text)
    assert str(caught.value) == error


def test_a_broken_file_does_not_hide_the_others(bring, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "broken").write_text("server {")
    (folder / "good").write_text(SERVER)
    (folder / "a.service").write_text(UNIT)
    said = bring("all")
    assert "a.example.toml" in said.out
    assert said.part("not translated") == [
        f'{folder}/broken:1: the "{{" of server is not closed; close it'
    ]


def test_a_million_laughs(bring, tmp_path):
    names = "abcdefghij"
    levels = [f"{a}: &{a} [{f'*{b},' * 9}]" for a, b in zip(names[1:], names, strict=False)]
    text = "\n".join(["a: &a [x]", *levels, "uwsgi: *j"])
    (tmp_path / "laughs.yaml").write_text(text)
    assert "is nothing that is known" in bring("laughs.yaml").err
    (tmp_path / "deep.yaml").write_text("uwsgi: " + "[" * 100_000)
    assert "deep.yaml" in bring("deep.yaml").err
    (tmp_path / "deep.xml").write_text("<uwsgi>" * 10_000)
    assert "deep.xml: is nested too deeply" in bring("deep.xml").err
    entities = (
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><uwsgi><module>&a;</module></uwsgi>'
    )
    (tmp_path / "entity.xml").write_text(entities)
    assert "entity.xml:1: has a DOCTYPE" in bring("entity.xml").err
    doubling = "\n".join(f"{b} = %({a})%({a})" for a, b in pairwise(names))
    (tmp_path / "twice.ini").write_text(f"[uwsgi]\na = {'x' * 1000}\n{doubling}\n")
    assert "twice.ini:" in bring("twice.ini").err
    loops = "for = " + "x " * 2000 + "\na = b\nc = d\ne=f\ng=h\ni=j\nk=l\nendfor =\n"
    (tmp_path / "loops.ini").write_text(f"[uwsgi]\n{loops}")
    assert "loops.ini: has more than 10000 options; leave it out" in bring("loops.ini").err


def test_yaml_tags_make_nothing(bring, tmp_path):
    witness = tmp_path / "witness"
    text = f"uwsgi:\n  module: !!python/object/apply:os.system ['touch {witness}']\n"
    (tmp_path / "tag.example.yaml").write_text(text)
    bring("tag.example.yaml")
    assert not witness.exists()


def test_without_the_library_yaml_is_told_with_the_mend(bring, tmp_path, monkeypatch):
    (tmp_path / "a.example.yaml").write_text("uwsgi:\n  module: a\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    mend = f"run {sys.executable} -m pip install 'luisito[import]'"
    assert f"to read YAML takes PyYAML; {mend}" in bring("a.example.yaml").err


def test_nothing_that_is_read_is_run(bring, tmp_path):
    witness = tmp_path / "witness"
    (tmp_path / "Procfile").write_text(f"web: $(touch {witness}) `touch {witness}` && x $PORT\n")
    (tmp_path / "a.service").write_text(UNIT.replace("/run/a.sock", f"/run/$(touch {witness})"))
    bring("Procfile", "a.service", "--host", "a.example")
    assert not witness.exists()


def test_what_a_terminal_would_obey_is_shown(bring, tmp_path):
    (tmp_path / "a\x1b[31m").write_text(SERVER.replace("a.example;", "a.example ~\x1b[2J;"))
    said = bring("a\x1b[31m")
    assert "\x1b" not in said.out
    assert "\\x1b[2J" in said.out


@pytest.mark.parametrize("name", ["/etc/passwd", "/etc/services", "/etc/fstab"])
def test_files_of_something_else(bring, name):
    if os.path.exists(name):
        assert "is nothing that is known" in bring(name).err


def test_a_folder_of_nothing(bring, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty: tells of no site" in bring("empty").err
