"""What is wrong with a command line is told with the mend."""

import pytest

from luisito import __version__
from luisito.cli import main


def told(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    shown = capsys.readouterr()
    return ended.value.code, shown.out + shown.err


def test_options_of_a_command_that_is_to_be_run(capsys):
    status, words = told(capsys, "run", "python3", "-m", "http.server", "%PORT")
    assert status == 2
    assert words.endswith(
        "unrecognized arguments: -m http.server %PORT; are they COMMAND's? Write -- before it\n"
    )
    status, words = told(capsys, "run")
    assert (status, "-- COMMAND...\n" in words) == (2, True)


def test_an_option_that_is_none(capsys):
    status, words = told(capsys, "list", "--al", "--x")
    assert status == 2
    assert words.endswith("luisito: error: unrecognized arguments: --x\n")


def test_the_version(capsys):
    assert told(capsys, "--version") == (0, f"luisito {__version__}\n")
