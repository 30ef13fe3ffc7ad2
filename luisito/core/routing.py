"""Decides which hosts are sites, by the patterns of ALLOWED_HOSTS."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luisito.core.host import normalize
from luisito.errors import BadHost, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEFAULT = ("localhost", "*.localhost")
NO_SITE = 404  # the status of a request for a host that is no site
CANNOT_TELL = 502  # where the function that ALLOWED_HOSTS is has failed


class Verdict(NamedTuple):
    """Whether a host is a site, and what decided it.

    Attributes:
        allowed: it is one.
        pattern: the pattern as it was written; "" where none fits, or a function decides.
        asked: a function decides.
    """

    allowed: bool
    pattern: str
    asked: bool


class Pattern(NamedTuple):
    """Hosts that are meant by one word.

    Attributes:
        key: a host as `normalize` returns it; "" with `below` is any host.
        below: the subdomains of that host are meant, at any depth, and not itself.
    """

    key: str
    below: bool

    @classmethod
    def parse(cls, written: str) -> Pattern:
        """Read an exact host, `*.example.com`, or `*`.

        Raises:
            BadHost: it is none of these; the message says why.
        """
        if written == "*":
            return cls("", True)
        name = written.removeprefix("*.")
        key = normalize(name.encode(errors="replace"))
        below = name != written
        if below and (key.startswith("[") or key.rpartition(".")[2].isdigit()):
            raise BadHost("an IP address has no subdomains")
        if key != name.lower().removesuffix("."):
            raise BadHost(f"write it as {key!r}, without a port")
        return cls(key, below)

    def covers(self, other: Pattern) -> bool:
        """Tell whether each host that fits the other one fits this one."""
        if self == other:
            return True
        if not self.below:
            return False
        if not self.key or other.key.endswith(f".{self.key}"):
            return True
        return other.below and other.key == self.key

    def meets(self, other: Pattern) -> bool:
        """Tell whether a host can fit both: names are a tree, so one of them covers the other."""
        return self.covers(other) or other.covers(self)


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
        self._allow = Patterns()
        self._forbid = Patterns()
        if callable(allowed):
            self._ask = allowed
            return
        if isinstance(allowed, str):
            raise SettingsError(
                f"ALLOWED_HOSTS is the string {allowed!r}: write a list, [{allowed!r}]"
            )
        for pattern in DEFAULT if allowed is None else allowed:
            if not isinstance(pattern, str):
                raise SettingsError(f"ALLOWED_HOSTS has {pattern!r}: each pattern is a string")
            if pattern.startswith("!"):
                self._forbid.add(pattern[1:], pattern)
            else:
                self._allow.add(pattern, pattern)

    @classmethod
    def of(cls, allowed: Sequence[str] | Callable[[str], bool] | None, *, folders: bool) -> Routes:
        """The hosts that ALLOWED_HOSTS means.

        Args:
            allowed: ALLOWED_HOSTS; None is any host, where each site has a folder that must exist.
            folders: PROJECT_PATH is set.

        Raises:
            SettingsError: a pattern is none.
        """
        return cls(["*"] if allowed is None and folders else allowed)

    @property
    def asks(self) -> bool:
        """Whether a function decides, which is asked each time that a server is needed."""
        return self._ask is not None

    def allows(self, host: str) -> bool:
        """Whether a host, given as the key that `normalize` returns, is a site.

        Raises:
            SettingsError: the function that ALLOWED_HOSTS is has failed.
        """
        if self._ask is not None:
            return self._asked(self._ask, host)
        return self._allow.find(host) is not None and self._forbid.find(host) is None

    @staticmethod
    def _asked(ask: Callable[[str], bool], host: str) -> bool:
        try:
            return bool(ask(host))
        except Exception as error:
            what = " ".join(str(error).split())
            raise SettingsError(
                f"ALLOWED_HOSTS: its function raised {type(error).__name__} for {host!r}"
                f" ({what}); mend that function"
            ) from error

    def explain(self, host: str) -> Verdict:
        """As `allows`, with what decided it.

        Raises:
            SettingsError: as `allows`.
        """
        allowed = self.allows(host)
        if self._ask is not None:
            return Verdict(allowed, "", asked=True)
        return Verdict(
            allowed, self._forbid.find(host) or self._allow.find(host) or "", asked=False
        )


def above_of(host: str) -> Iterator[str]:
    """The domains that a host is below, the nearest first."""
    dot = host.find(".")
    while dot != -1:
        yield host[dot + 1 :]
        dot = host.find(".", dot + 1)


class Patterns:
    """Hosts by exact name and by suffix, found by one look-up a label and not by scanning."""

    def __init__(self) -> None:
        # from the key to how the person wrote it
        self._exact: dict[str, str] = {}
        self._below: dict[str, str] = {}
        self._all: str | None = None

    def add(self, pattern: str, written: str) -> None:
        """Adds a pattern; `written` is how the person wrote it, for the error.

        Raises:
            SettingsError: it is not a pattern.
        """
        try:
            key, below = Pattern.parse(pattern)
        except BadHost as error:
            raise SettingsError(
                f"ALLOWED_HOSTS has {written!r}: {error}. A pattern is an exact host, "
                "'*.example.com', '*', or one of them after '!'"
            ) from error
        if not key:
            self._all = written
        else:
            (self._below if below else self._exact)[key] = written

    def find(self, host: str) -> str | None:
        """The pattern that a host fits, the exact one first; None where it fits none."""
        if host in self._exact:
            return self._exact[host]
        if self._below:
            for above in above_of(host):
                if above in self._below:
                    return self._below[above]
        return self._all
