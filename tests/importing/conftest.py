"""`luisito import`, called in this process, in a folder of the test's own."""

import os

import pytest

from luisito.cli import main


class Said:
    """What it printed, and its exit status."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def part(self, title):
        """The lines of a part of the list."""
        _, found, rest = self.out.partition(f"{title}:\n")
        return [line.strip() for line in rest.partition("\n\n")[0].split("\n")] if found else []


@pytest.fixture
def bring(tmp_path, monkeypatch, capsys):
    """Runs `luisito import` in tmp_path; it never shows a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUISITO_SETTINGS", raising=False)
    tmp_path.chmod(0o755)
    os.umask(0o022)

    def bring(*argv):
        status = main(["import", *map(str, argv)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert (status == 2) == bool(err)
        assert err.count("\n") <= 1
        return Said(status, out, err)

    return bring
