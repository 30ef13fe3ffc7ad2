"""What the first bytes of a program say."""

import pytest

from luisito.core.program import Shebang, Shim, shebang, shim, started_by_env

PYENV = """\
#!/usr/bin/env bash
set -e
[ -n "$PYENV_DEBUG" ] && set -x

program="${0##*/}"

export PYENV_ROOT="/home/joe/.pyenv"
exec "/home/joe/.pyenv/libexec/pyenv" exec "$program" "$@"
"""
ASDF = """\
#!/usr/bin/env bash
# asdf-plugin: python 3.12.1
exec /home/joe/.asdf/bin/asdf exec "python3" "$@" # asdf_allow: ' asdf '
"""


@pytest.mark.parametrize(
    ("head", "so"),
    [(b"#!/bin/sh\r\n", True), (b"#!/bin/sh -e\r\n", True), (b"#!/bin/sh\necho\r\n", False)],
)
def test_line_ends_of_windows(head, so):
    assert shebang(head).ends_in_cr_lf is so


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"#!/bin/sh\nexit", Shebang("/bin/sh", "")),
        (b"#! \t/bin/sh -eu  \n", Shebang("/bin/sh", "-eu")),
        (b"#!/usr/bin/env -S python3 -u\n", Shebang("/usr/bin/env", "-S python3 -u")),
        (b"#!/bin/sh\r\n", Shebang("/bin/sh\r", "")),
        (b"#!/bin/sh", Shebang("/bin/sh", "")),
        (b"#!\n", Shebang("", "")),
        (b"#!/\xff\n", Shebang("/\udcff", "")),
        (b"\x7fELF", None),
        (b" #!/bin/sh\n", None),
        (b"", None),
    ],
)
def test_shebang(head, found):
    assert shebang(head) == found


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (["python3"], "python3"),
        (["python3 -u"], "python3 -u"),  # the kernel hands it over as one
        (["-S python3 -u"], "python3"),
        (["-S", "A=1 python3 -u"], "python3"),
        (["--split-string", "python3"], "python3"),
        (["-i", "A=1", "B=", "gunicorn", "C=1"], "gunicorn"),
        (["--", "python3"], "python3"),
        (["-u", "HOME", "python3"], None),
        (["-S'"], None),
        (["-S"], None),
        (["A=1"], None),
        ([], None),
    ],
)
def test_started_by_env(arguments, program):
    assert started_by_env(arguments) == program


def test_shims():
    root = {"PYENV_ROOT": "/home/joe/.pyenv"}
    assert shim(PYENV, "gunicorn") == Shim("/home/joe/.pyenv/libexec/pyenv", "gunicorn", root)
    assert shim(ASDF, "python") == Shim("/home/joe/.asdf/bin/asdf", "python3", {})
    assert shim('exec asdf exec "node" "$@"\n', "node") == Shim("asdf", "node", {})
    for manager in ("rbenv", "nodenv"):
        text = PYENV.replace("pyenv", manager)
        assert shim(text, "x").manager == f"/home/joe/.{manager}/libexec/{manager}"


@pytest.mark.parametrize(
    "text",
    ["#!/bin/sh\nexec gunicorn\n", "# exec pyenv exec python\n", "exec mypyenv exec python\n"],
)
def test_what_is_no_shim(text):
    assert shim(text, "python") is None
