"""Commands with another way in, and words, sizes and times as others write them."""

import shlex

import pytest

from luisito.core.template import Template
from luisito.importing import units_of
from luisito.importing.commands import literal, replace, rewrite
from luisito.importing.found import Address, address
from luisito.importing.text import lines
from luisito.importing.words import split, variables

HANDED, TOLD = True, False


@pytest.mark.parametrize(
    ("command", "handed", "becomes", "listens"),
    [
        ("gunicorn a:b", TOLD, "gunicorn --bind unix:%SOCKET a:b", ["tcp 8000"]),
        ("gunicorn a:b", HANDED, "gunicorn a:b", []),
        (
            "v/gunicorn3 -w 3 -b 127.0.0.1:8001 -bunix:x.sock --bind=[::1]:9 a:b -D --pid p -m 7",
            HANDED,
            "v/gunicorn3 -w 3 --bind unix:%SOCKET a:b",
            ["tcp 8001", "unix /srv/x.sock", "tcp 9"],
        ),
        (
            "python3 -m gunicorn --chdir app -b unix:y a:b",
            TOLD,
            "python3 -m gunicorn --chdir app --bind unix:%SOCKET a:b",
            ["unix /srv/app/y"],
        ),
        (
            "uvicorn --uds=/run/a.sock a:b --reload",
            TOLD,
            "uvicorn --fd %FD --forwarded-allow-ips=* a:b",
            ["unix /run/a.sock"],
        ),
        (
            "poetry run uvicorn a:b --host 0.0.0.0 --port 80",
            TOLD,
            "poetry run uvicorn a:b --fd %FD --forwarded-allow-ips=*",
            ["tcp 80"],
        ),
        ("daphne -b 0.0.0.0 -p 8001 a:b", TOLD, "daphne -u %SOCKET a:b", ["tcp 8001"]),
        ("hypercorn -b :80 a:b", TOLD, "hypercorn --bind unix:%SOCKET a:b", ["tcp 80"]),
        (
            "waitress-serve --listen=*:8041 --call a:b",
            TOLD,
            "waitress-serve --unix-socket=%SOCKET --unix-socket-perms=660 --call a:b",
            ["tcp 8041"],
        ),
        (
            "bundle exec puma -C c.rb -b tcp://127.0.0.1:9292?x=1 -b unix:///run/p.sock",
            TOLD,
            "bundle exec puma -C c.rb -b unix://%SOCKET",
            ["tcp 9292", "unix /run/p.sock"],
        ),
        ("unicorn -l 8080 -D -c u.rb", TOLD, "unicorn -l %SOCKET -c u.rb", ["tcp 8080"]),
        ("gunicorn -b", TOLD, "gunicorn --bind unix:%SOCKET -b", ["tcp 8000"]),
        ("gunicorn %PORT %%x a%b", HANDED, "gunicorn %%PORT %%%x a%b", []),
    ],
)
def test_rewritten(command, handed, becomes, listens):
    done = rewrite(shlex.split(command), handed=handed, folder="/srv")
    assert " ".join(done.words) == becomes
    assert [f"{one.kind} {one.name}" for one in done.addresses] == listens


@pytest.mark.parametrize("command", ["node server.js", "uwsgi --ini x", "a b c d e f g gunicorn"])
def test_of_no_kind_that_is_known(command):
    assert rewrite(command.split(), handed=False) is None


@pytest.mark.parametrize("text", ["%", "%%", "%%PORT", "%PORT%HOST", "%(name)s", "%%%SOCKET%%"])
def test_a_literal_text_is_what_it_was(text):
    values = {"PORT": "1", "HOST": "h", "SOCKET": "s"}
    assert Template.text(literal(text)).render(values) == [text]


@pytest.mark.parametrize(
    ("argv", "env", "meant", "words", "variables"),
    [
        (["x", "--port=80", "800", "180"], {}, "80", ["x", "--port=%PORT", "800", "180"], {}),
        (["x", "127.0.0.1:80/"], {"P": "80"}, "80", ["x", "127.0.0.1:%PORT/"], {"P": "%PORT"}),
        (["x", "unix:/run/a"], {}, "/run/a", ["x", "unix:%SOCKET"], {}),
        (["x", "/var/run/a"], {}, "/run/a", ["x", "%SOCKET"], {}),
        (["x%PORT", "80"], {}, "80", ["x%%PORT", "%PORT"], {}),
    ],
)
def test_replaced(argv, env, meant, words, variables):
    done = replace(argv, env, address(meant))
    assert (done.words, done.env) == (words, variables)


@pytest.mark.parametrize("argv", [["x", "/tmp/run/a"], ["x", "/run/ab"], ["x", "80a"], ["x"]])
def test_what_is_not_the_address(argv):
    assert replace(argv, {}, Address("unix", "/run/a")) is None
    assert replace(argv, {}, Address("tcp", "80")) is None


@pytest.mark.parametrize(
    ("written", "kind", "name"),
    [
        ("unix:/var/run/a.sock", "unix", "/run/a.sock"),
        ("unix:///run/../run/a.sock", "unix", "/run/a.sock"),
        ("a.sock", None, None),
        ("./a.sock", "unix", "/srv/a.sock"),
        ("@a", "unix", "@a"),
        ("8000", "tcp", "8000"),
        ("localhost:08000", "tcp", "8000"),
        ("http://[::1]:8000/", "tcp", "8000"),
        ("10.0.0.1:80", "far", "10.0.0.1:80"),
        ("localhost:0", None, None),
        ("localhost:65536", None, None),
        ("ftp://localhost:80", None, None),
        ("", None, None),
    ],
)
def test_address(written, kind, name):
    assert address(written, "/srv") == (None if kind is None else Address(kind, name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a  \'b c\' "d \\"e\\n" f\\x', ["a", "b c", 'd "e\n', "fx"]),
        ("A='x y'", ["A=x y"]),
        ('"A=x y" B=\\s', ["A=x y", "B= "]),
        ("a 'b", None),
        ("", []),
    ],
)
def test_words_of_systemd(text, words):
    assert split(text) == words


def test_variables_of_systemd():
    env = {"A": "1 2", "B": "x"}
    words, unknown = variables(["$A", "-${A}-", "$$HOME", "$B/y", "$C", "${C}z"], env)
    assert words == ["1", "2", "-1 2-", "$HOME", "x/y", "$C", "${C}z"]
    assert unknown == ["C", "C"]


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units_of.nginx_bytes, "20m", 20 * 1024**2),
        (units_of.nginx_bytes, "0", 0),
        (units_of.nginx_bytes, "20mb", None),
        (units_of.nginx_seconds, "1h30m", 5400),
        (units_of.nginx_seconds, "500ms", 0.5),
        (units_of.nginx_seconds, "x", None),
        (units_of.systemd_bytes, "1.5G", 3 * 1024**3 // 2),
        (units_of.systemd_bytes, "50%", None),
        (units_of.systemd_seconds, "1min 30s", 90),
        (units_of.systemd_seconds, "2.5", 2.5),
        (units_of.systemd_seconds, "5 lightyears", None),
        (units_of.systemd_seconds, "", None),
    ],
)
def test_sizes_and_times(read, text, value):
    assert read(text) == value


def test_lines_of_systemd_and_of_supervisord():
    text = "[A]\nx = 1 \\\n# no\n  2\n; no\ny=\n[ B ]\nno\nz = a ; b\n"
    assert [tuple(line) for line in lines(text)] == [
        ("A", "x", "1 2", 2), ("A", "y", "", 6), ("B", "z", "a ; b", 9),
    ]  # fmt: skip
    text = "[A]\nx = 1 ; no\n  2\n\ny: 3\n"
    assert [tuple(line) for line in lines(text, indented=True)] == [
        ("A", "x", "1 2", 2), ("A", "y", "3", 5),
    ]  # fmt: skip
