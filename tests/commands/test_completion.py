"""Shells complete commands, options and sites by the script that `luisito completion` prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from luisito.cli import _parser
from luisito.commands.completion import SHELLS, script
from tests.harness.server import ROOT

# What bash does at Tab (bash(1), "Programmable Completion").
BASH = """
source "$1"
COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="{line}" COMP_POINT=${{#COMP_LINE}}
_shtab_luisito luisito "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(tmp_path):
    """What bash completes a line to, whose last word is not whole."""
    file, program = tmp_path / "luisito.bash", tmp_path / "luisito"
    file.write_text(script(_parser(), "bash"))
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m luisito.cli "$@"\n')
    program.chmod(0o755)

    def completed(line, **environ):
        done = subprocess.run(
            ["bash", "--norc", "-c", BASH.format(line=line), "bash", file],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **environ},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return completed


def test_commands_and_options(complete):
    assert set(complete("luisito st")) >= {"status", "stop"}
    assert complete("luisito status --j") == ["--json"]
    assert set(complete("luisito completion ''")) >= set(SHELLS)
    assert complete("luisito advise --svg /etc/host") != []


def test_sites(complete, serve):
    server = serve({"MAX_SERVERS": 3})
    server.warm("a.localhost", "b.localhost")
    server.wait_for_log("Control socket: ")
    where = {"LUISITO_RUNTIME_DIR": str(server.runtime)}
    assert complete("luisito stop a", **where) == ["a.localhost"]
    assert complete("luisito stop ''", **where) == ["a.localhost", "b.localhost"]
    assert complete("luisito stop a", LUISITO_RUNTIME_DIR="/nowhere") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_reads_its_script(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / "luisito"
    file.write_text(script(_parser(), shell))
    done = subprocess.run([shell, "-n", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
