"""Which of the servers of one site a path belongs to, where some have path prefixes of their own.

What counts is the path as an app server decodes it, so that no spelling leads around a mount.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from luisito.errors import BadMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

PREFIX: Final = b"x-forwarded-prefix"

_between = re.compile(rb"/|%2[Ff]")
_odd = re.compile(rb"%|//|/\.").search
# Of an outer proxy, that says where it has mounted all that is here.
_outer = re.compile(rb"(?:/[!$&-+\--.0-;=@-Z_a-z~%]+)+").fullmatch


class Mount(Generic[T]):
    """A server below a path.

    Args:
        path: its prefix.
        strip: it is taken off what is passed on.
        to: what it stands for.
    """

    __slots__ = ("names", "path", "start", "strip", "to")

    def __init__(self, path: str, to: T, *, strip: bool) -> None:
        self.path, self.strip, self.to = path.encode("ascii"), strip, to
        self.start = self.path + b"/"
        self.names = self.path[1:].split(b"/")

    def passed(self, rest: bytes) -> bytes:
        """The path to pass on, of one that goes on with `rest` after the prefix.

        What is stripped begins with one slash: with two, apps take what follows for a host.
        """
        if rest[:1] == b"%":  # an encoded slash ends the prefix as well as a plain one
            rest = b"/" + rest[3:]
        return b"/" + rest.lstrip(b"/") if self.strip else self.path + rest


class Mounts(Generic[T]):
    """The mounts of one site."""

    def __init__(self, mounts: Iterable[Mount[T]]) -> None:
        # Longest first, so that the first one that fits is the one.
        self._mounts = sorted(mounts, key=lambda mount: len(mount.names), reverse=True)

    def find(self, target: bytes) -> tuple[Mount[T], bytes] | None:
        """Finds where a request goes.

        A path is under a prefix when it begins with its segments, once it is decoded, with empty
        segments and `.` left out and `..` resolved (RFC 3986 section 5.2.4).

        Args:
            target: of the request, as `request_line` has let it pass.

        Returns:
            The mount, and the target to pass on; None where the path is under no mount.

        Raises:
            BadMessage: 400 where it would be under a mount as it is written, and is elsewhere once
                `..` is resolved: whoever it goes to may read it otherwise.
        """
        path, question, query = target.partition(b"?")
        found = self._find_odd(path) if _odd(path) else self._find_plain(path)
        if found is None:
            return None
        mount, rest = found
        return mount, mount.passed(rest) + question + query

    def _find_plain(self, path: bytes) -> tuple[Mount[T], bytes] | None:
        for mount in self._mounts:
            if path.startswith(mount.start) or path == mount.path:
                return mount, path[len(mount.path) :]
        return None

    def _find_odd(self, path: bytes) -> tuple[Mount[T], bytes] | None:
        written: list[bytes] = []
        resolved: list[tuple[bytes, int]] = []
        at = 0
        for end in [*(match.span() for match in _between.finditer(path)), (len(path), len(path))]:
            name = unquote_to_bytes(path[at : end[0]])
            at = end[1]
            if name in (b"", b"."):
                continue
            written.append(name)
            if name != b"..":
                resolved.append((name, end[0]))
            elif resolved:
                resolved.pop()
        mount = self._under([name for name, _ in resolved])
        other = self._under(written)
        if other is not None and other is not mount:
            raise BadMessage(400, f"the path leaves {other.path.decode()} by '..'")
        return None if mount is None else (mount, path[resolved[len(mount.names) - 1][1] :])

    def _under(self, names: Sequence[bytes]) -> Mount[T] | None:
        for mount in self._mounts:
            if names[: len(mount.names)] == mount.names:
                return mount
        return None


def prefix_line(mount: Mount[T], sent: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The header line that tells an app server where it is mounted; empty where nothing is taken.

    Args:
        mount: where it is.
        sent: the forwarded fields that a trusted peer sent: what that has taken off comes first.
    """
    if not mount.strip:
        return b""
    outer = [value.rstrip(b"/") for name, value in sent if name == PREFIX]
    before = outer[0] if len(outer) == 1 and _outer(outer[0]) else b""
    return b"X-Forwarded-Prefix: %s%s\r\n" % (before, mount.path)
