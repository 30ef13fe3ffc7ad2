"""Which hooks failed when they were run last, and what of that is said: each once a minute."""

from __future__ import annotations

from typing import Final

_EACH: Final = 60.0  # seconds
_MOST: Final = 1000  # reasons to say something that are remembered


class HookFailures:
    """Remembers them.

    Attributes:
        now: why those have failed that did so last, by their names.
        count: how often any has.
    """

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        self.count = 0
        self._said: dict[str, tuple[float, int]] = {}  # when, and how often it was not said since

    def failed(self, name: str, about: str, why: str, now: float) -> str | None:
        """Hear that one has failed.

        Args:
            name: of the hook.
            about: what is said once a minute: the hook, or the address of a webhook.
            why: in words.
            now: seconds of a monotonic clock.

        Returns:
            What is to be said; None for nothing.
        """
        self.count += 1
        self.now.pop(name, None)
        self.now[name] = why
        if len(self.now) > _MOST:
            del self.now[next(iter(self.now))]
        return self.say(about, why, now)

    def say(self, about: str, words: str, now: float) -> str | None:
        """Tell what is to be said, as `failed` does."""
        since, untold = self._said.pop(about, (now - _EACH, 0))
        if now - since < _EACH:
            self._said[about] = since, untold + 1
            return None
        if len(self._said) >= _MOST:
            del self._said[next(iter(self._said))]
        self._said[about] = now, 0
        return f"{words} (so have {untold} more)" if untold else words

    def well(self, name: str) -> None:
        """Hear that one has done its work."""
        self.now.pop(name, None)

    def forget(self, site: str) -> None:
        """Hear that a site's file is another one, or has gone."""
        for name in [name for name in self.now if name.startswith(f"{site}: ")]:
            del self.now[name]
