"""docs/commands.md knows all commands, and what their options and exit statuses are."""

import argparse
import re

import pytest

from luisito.cli import _parser, main
from tests.harness.server import ROOT

DOCUMENT = (ROOT / "docs/commands.md").read_text()
SECTIONS = {
    name: text
    for names, text in re.findall(
        r"^## luisito ([^\n]+)\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE
    )
    for name in names.split(", ")
}


def commands():
    (action,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def test_without_a_command_all_are_listed(capsys):
    assert main([]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert all(f"\n    {name} " in said.err for name in SECTIONS)


def test_all_commands_are_documented():
    assert list(SECTIONS) == [name for name in commands() if name != "stop_server"]


@pytest.mark.parametrize("name", list(SECTIONS))
def test_options_and_statuses(name):
    for action in commands()[name]._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or option in SECTIONS[name], option
    assert re.findall(r"^\| (\d) \| .+ \|$", SECTIONS[name], re.MULTILINE)[:3] == ["0", "1", "2"]
