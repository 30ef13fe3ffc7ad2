"""Text for people: times, tables, and nothing that a terminal obeys."""

import os
import pwd

import pytest

from luisito.commands.text import duration, in_short, table, user


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.0999, "100 ms"),
        (0.1, "0.1 s"),
        (1.234, "1.2 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 2 + 3600 * 7 + 59, "2 d 7 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_table():
    rows = [["a", "1", "x"], ["longer", "100", "\x1b[2J"]]
    assert table(("NAME", "N", "LAST"), rows, frozenset({"N"})).split("\n") == [
        "NAME      N  LAST",
        "a         1  x",
        r"longer  100  \x1b[2J",
    ]


def test_user():
    assert user(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert user(4_000_000) == "4000000"
    assert user(None) == "-"


def test_a_long_error_keeps_its_mend_and_one_that_is_too_long_shows_that_it_was_cut():
    mend = "mend the name, the folder or the virtual environment"
    words = f"the command exited with code 2; its last output:\n{'x' * 150}\n{'y' * 150}; {mend}"
    assert in_short(words).endswith(f"y; {mend}")
    cut = in_short("z" * 401)
    assert len(cut) == 400
    assert cut.endswith("z...")
    assert in_short("z" * 400) == "z" * 400
