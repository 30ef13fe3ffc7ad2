"""A machine on which no thread can be started."""

from __future__ import annotations

from luisito.process import threads


class _NoThread:
    def __init__(self, **_how):
        pass

    def start(self):
        raise RuntimeError("can't start new thread")


def none_can_be_started(monkeypatch):
    """Has each attempt fail as Python does, until monkeypatch.undo()."""
    monkeypatch.setattr(threads, "Thread", _NoThread)
