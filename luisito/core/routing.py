"""Decides which hosts are sites, by the patterns of ALLOWED_HOSTS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.host import normalize
from luisito.errors import BadHost, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DEFAULT = ("localhost", "*.localhost")


class Routes:
    """The hosts that may wake a server.

    Args:
        allowed: patterns, or a function of the site key, or None for localhost and its
            subdomains. A pattern is an exact host, `*.example.com` (a subdomain at any depth,
            not example.com itself), or `*` (any host); with `!` before it, it forbids, and wins
            over every one that allows.

    Raises:
        SettingsError: a pattern is none of these.
    """

    def __init__(self, allowed: Sequence[str] | Callable[[str], bool] | None) -> None:
        self._ask: Callable[[str], bool] | None = None
        self._allow = _Patterns()
        self._forbid = _Patterns()
        if callable(allowed):
            self._ask = allowed
            return
        if isinstance(allowed, str):
            raise SettingsError(
                f"ALLOWED_HOSTS is the string {allowed!r}: write a list, [{allowed!r}]"
            )
        for pattern in _DEFAULT if allowed is None else allowed:
            if not isinstance(pattern, str):
                raise SettingsError(f"ALLOWED_HOSTS has {pattern!r}: each pattern is a string")
            if pattern.startswith("!"):
                self._forbid.add(pattern[1:], pattern)
            else:
                self._allow.add(pattern, pattern)

    def allows(self, host: str) -> bool:
        """Whether a host, given as the key that `normalize` returns, is a site."""
        if self._ask is not None:
            return bool(self._ask(host))
        return host in self._allow and host not in self._forbid


class _Patterns:
    """Hosts by exact name and by suffix, found by one look-up a label and not by scanning."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._below: set[str] = set()
        self._all = False

    def add(self, pattern: str, written: str) -> None:
        """Adds a pattern; `written` is how the person wrote it, for the error.

        Raises:
            SettingsError: it is not a pattern.
        """
        if pattern == "*":
            self._all = True
            return
        name = pattern.removeprefix("*.")
        try:
            key = normalize(name.encode(errors="replace"))
        except BadHost as error:
            raise SettingsError(_wrong(written, str(error))) from error
        is_suffix = name != pattern
        if is_suffix and (key.startswith("[") or key.rpartition(".")[2].isdigit()):
            raise SettingsError(_wrong(written, "an IP address has no subdomains"))
        if key != name.lower().removesuffix("."):
            raise SettingsError(_wrong(written, f"write it as {key!r}, without a port"))
        (self._below if is_suffix else self._exact).add(key)

    def __contains__(self, host: str) -> bool:
        if self._all or host in self._exact:
            return True
        if not self._below:
            return False
        dot = host.find(".")
        while dot != -1:
            if host[dot + 1 :] in self._below:
                return True
            dot = host.find(".", dot + 1)
        return False


def _wrong(pattern: str, why: str) -> str:
    return (
        f"ALLOWED_HOSTS has {pattern!r}: {why}. A pattern is an exact host, '*.example.com', "
        "'*', or one of them after '!'"
    )
