"""Which folders the kernel passes through on its way to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_LINKS = 40  # path_resolution(7)


class Walk(NamedTuple):
    """The way to a file.

    Attributes:
        folders: those that must be passed through, each once, in their order.
        end: where it leads, without any symbolic link; "" where the links have no end.
    """

    folders: tuple[str, ...]
    end: str


def walk(path: str, link: Callable[[str], str | None]) -> Walk:
    """Resolve a path as the kernel does.

    Args:
        path: absolute.
        link: tells where a symbolic link points; None for what is none, or is not there.
    """
    folders: dict[str, None] = {}
    todo = path.split("/")[::-1]
    here, links = "/", 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        folders[here] = None
        if name == "..":
            here = here.rpartition("/")[0] or "/"
            continue
        there = f"{here.rstrip('/')}/{name}"
        target = link(there)
        if target is None:
            here = there
            continue
        links += 1
        if links > _MAX_LINKS:
            return Walk(tuple(folders), "")
        if target.startswith("/"):
            here = "/"
        todo += target.split("/")[::-1]
    return Walk(tuple(folders), here)
