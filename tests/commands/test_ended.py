"""What ends a command from outside: whoever reads its output goes, or Ctrl-C."""

import os
import signal
import subprocess
import sys

import pytest

from tests.harness import processes
from tests.harness.server import ROOT

ENVIRON = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
SLEEPS = """
import pathlib, time
pathlib.Path("{ready}").touch()
while True:
    time.sleep(0.1)
"""


def start(*argv, **how):
    argv = [sys.executable, "-m", "luisito.cli", *map(str, argv)]
    return subprocess.Popen(
        argv,
        env=ENVIRON,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_with_ctrl_c,  # noqa: PLW1509 - there are no threads here
        **how,
    )


def _with_ctrl_c():
    """A shell has its background jobs ignore it, and the tests may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["route", "a.localhost", "--settings", "{settings}"],
        ["route", "a.localhost", "--settings", "{settings}", "--json"],
        ["check-settings", "{settings}"],
    ],
)
def test_a_reader_that_has_gone_is_no_error(tmp_path, argv):
    settings = tmp_path / "settings.py"
    settings.write_text('CMD_TPL = "true"\n')
    reader, writer = os.pipe()
    os.close(reader)
    with start(*[word.format(settings=settings) for word in argv], stdout=writer) as command:
        os.close(writer)
        assert command.communicate(timeout=60)[1] == ""
    assert command.returncode == 141


def test_a_reader_of_errors_that_has_gone_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "luisito.cli", "check-settings", "/no/such"]
    done = subprocess.run(argv, env=ENVIRON, stderr=writer, check=False, timeout=60)
    os.close(writer)
    assert done.returncode == 141


def test_output_that_was_closed_before_is_no_error(tmp_path):
    settings = tmp_path / "settings.py"
    settings.write_text('CMD_TPL = "true"\n')
    command = f"{sys.executable} -m luisito.cli route a.localhost --settings {settings} >&-"
    done = subprocess.run(
        ["sh", "-c", command], env=ENVIRON, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_ends_it_without_a_traceback(tmp_path):
    settings = tmp_path / "settings.py"
    settings.write_text(SLEEPS.format(ready=tmp_path / "ready"))
    with start("check-settings", settings, stdout=subprocess.PIPE) as command:
        processes.until((tmp_path / "ready").exists, 30, "the settings to be run")
        command.send_signal(signal.SIGINT)
        assert command.communicate(timeout=60) == ("", "")
    assert command.returncode == 130


def test_ctrl_c_is_no_error_of_run_as(tmp_path):
    """A terminal sends it to the whole group, and so to the fork that calls the function."""
    settings = tmp_path / "settings.py"
    called = SLEEPS.format(ready=tmp_path / "ready").replace("\n", "\n    ")
    settings.write_text(f'CMD_TPL = "true"\ndef RUN_AS(site):{called}\n')
    with start("check-settings", settings, stdout=subprocess.PIPE, process_group=0) as command:
        processes.until((tmp_path / "ready").exists, 30, "the function to be called")
        os.killpg(command.pid, signal.SIGINT)
        assert command.communicate(timeout=60) == ("", "")
    assert command.returncode == 130
    processes.until(lambda: not alive(command.pid), 10, "the fork to end")


def alive(group):
    processes.reap_orphans(set())  # we may have become the fork's parent
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_letters_that_the_locale_has_not_are_no_error(tmp_path):
    settings = tmp_path / "settings.py"
    settings.write_text('CMD_TPL = ["true", "\u00fc"]\n')
    argv = [sys.executable, "-m", "luisito.cli", "route", "a.localhost", "--settings", settings]
    environ = {**ENVIRON, "PYTHONIOENCODING": "latin-1"}  # as where LC_ALL is de_DE.ISO-8859-1
    done = subprocess.run(argv, env=environ, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b" true '\xfc'" in done.stdout
    settings.write_text('CMD_TPL = ["true", "\u20ac"]\n')
    done = subprocess.run(argv, env=environ, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb" true '\u20ac'" in done.stdout


@pytest.mark.parametrize("argv", [["--help"], ["completion", "bash"]])
def test_a_full_disk_is_told_in_a_line(argv):
    argv = [sys.executable, "-m", "luisito.cli", *argv]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            argv, env=ENVIRON, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (
            2,
            b"luisito: what it prints cannot be written: No space left on device; make room\n",
        )
        done = subprocess.run(argv, env=ENVIRON, stdout=full, stderr=full, check=False, timeout=60)
        assert done.returncode == 2
