"""Commands that may take more than a second say meanwhile what they do."""

from __future__ import annotations

import os
import pty

import pytest

from luisito.cli import main

LINE = '1.2.3.4 - - [29/Nov/2026:10:00:0%d +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'


@pytest.mark.parametrize("command", ["advise", "check-settings"])
def test_what_is_being_done_is_shown_on_a_terminal(tmp_path, monkeypatch, command, capsys):
    log, settings = tmp_path / "shop.example.access.log", tmp_path / "settings.py"
    log.write_text("".join(LINE % second for second in range(9)))
    settings.write_text('CMD_TPL = "/bin/true %PORT"\n')
    argv = {"advise": ["--from", str(log)], "check-settings": [str(settings)]}[command]
    terminal, stderr = pty.openpty()
    with open(stderr, "w", encoding="utf-8") as theirs:
        monkeypatch.setattr("sys.stderr", theirs)
        main([command, *argv])
        theirs.write("END")
        theirs.flush()
        shown = ""
        while not shown.endswith("END"):  # a terminal passes it on in pieces
            shown += os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert f"\r{argv[-1]}" in shown
    assert shown.endswith(" \rEND")
    assert "..." not in capsys.readouterr().out
