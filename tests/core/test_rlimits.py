"""RLIMITS: their names and their order."""

import resource

import pytest

from luisito.core.rlimits import NO_EFFECT, UNITS, exceeds, fits, shown


def test_each_limit_of_linux_is_known_or_known_to_have_no_effect():
    names = {name[7:].lower() for name in dir(resource) if name.startswith("RLIMIT_")}
    names -= {"ofile"}  # BSD's name for nofile
    assert names <= UNITS.keys() | set(NO_EFFECT)
    assert UNITS.keys() <= names


@pytest.mark.parametrize(
    ("soft", "hard", "fit"),
    [
        (1, 2, True),
        (2, 2, True),
        (3, 2, False),
        (3, None, True),
        (None, None, True),
        (None, 3, False),
    ],
)
def test_soft_and_hard(soft, hard, fit):
    assert fits(soft, hard) is fit
    assert exceeds(soft, hard) is not fit


def test_as_it_was_written():
    assert shown((5, 5)) == "5"
    assert shown((5, None)) == '(5, "unlimited")'
    assert shown((None, None)) == '"unlimited"'
