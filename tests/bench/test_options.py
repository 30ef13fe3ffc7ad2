"""What `python -m bench` is told, and tells."""

import sys

import pytest

from bench import __main__


def test_help_lists_works_and_proxies(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--help"])
    with pytest.raises(SystemExit):
        __main__._options()
    told = capsys.readouterr().out
    for word in ["small", "memory", "policy", "Luisito", "caddy", "Passenger alone"]:
        assert word in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--svg", "x.svg", "--only", "cold"], "--svg draws the works small and paths"),
        (["--svg", "/no/such/folder/x.svg"], "/no/such/folder/x.svg cannot be written"),
        (["--json", "/no/such/folder/x"], "/no/such/folder/x cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit):
        __main__._options()
    assert said in capsys.readouterr().err
