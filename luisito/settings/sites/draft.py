"""A site file with its bases put below it, before it is judged as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luisito.core.siteindex import BY_BASE, BY_FILE, BY_SETTINGS, BY_TENANTS
from luisito.settings.sites.runner import INSTEAD
from luisito.settings.sites.table import OF_SITES
from luisito.settings.sites.toml import failed
from luisito.settings.sites.words import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.errors import SiteFileError
    from luisito.settings.sites.lines import Path
    from luisito.settings.sites.parts import Part

DEEPEST: Final = 5  # bases below each other
TABLES: Final = ("env", "rlimits", "hooks")  # which are put together key by key
_OF_RUNNER: Final = ("runner",)  # which says nothing beside a command


class Draft:
    """The values of a site and where each comes from.

    Args:
        name: of the site.
        parts: the file, its base, the base of that, and so on.

    Attributes:
        values: by key; what a file sets, its bases cannot.
        mounted: see table.Site; likewise the next.
    """

    mounted = ""
    strip = True

    def __init__(self, name: str, parts: list[Part]) -> None:
        self.name = name
        self._parts = parts
        self.values: dict[str, Any] = {}
        for part in reversed(parts):
            _put(self.values, part.values)

    @property
    def path(self) -> str:
        """Of the site's file."""
        return self._parts[0].text.path

    @property
    def owner(self) -> int:
        """The uid that the site's file belongs to."""
        return self._parts[0].owner

    def origin(self, *path: str | int) -> Part | None:
        """The file that says what a key is; None where none does."""
        for part in self._parts:
            found: Any = part.text.table
            try:
                for step in path:
                    found = found[step]
            except (KeyError, IndexError):
                continue
            return part
        return None

    def where(self, key: str) -> str | None:
        """The file and the line that say what a key is; None where none does."""
        part, path = self.origin(key), self._place((key,))
        return None if part is None else part.text.where(path)

    def _place(self, path: Path) -> Path:
        """Where that stands in the file what is asked for by a path."""
        return path

    def by(self, key: str) -> int:
        """Who says what a key is (core.siteindex); once a tenant's caps are among the values."""
        part = self.origin(key)
        if part is None:
            return BY_TENANTS if key in self.values else BY_SETTINGS
        return BY_FILE if part is self._parts[0] else BY_BASE

    def error(self, path: Path, must: str, mend: str = "") -> SiteFileError:
        """The error that a value is wrong.

        Args:
            path: of its key.
            must: what it must be, or what is wrong with it.
            mend: what to do; "" is to remove it.
        """
        part = self.origin(*path)
        if part is None:
            return failed(self.path, f"{must}; {mend}")
        value: Any = part.text.table
        for step in path:
            value = value[step]
        return part.text.error(path, value, must, mend or f"remove {dotted(path)}")


class MountDraft(Draft):
    """The values of one of a site's mounts.

    Args:
        draft: of the site, which has what the mount leaves out.
        index: of the mount.
    """

    def __init__(self, draft: Draft, index: int) -> None:
        self.name, self._parts, self._index = draft.name, draft._parts, index  # noqa: SLF001 - its own
        self.mounted, self.strip, self._own = draft.values["mount"][index]
        self.values = {key: of for key, of in draft.values.items() if key not in OF_SITES}
        _put(self.values, self._own)

    def _place(self, path: Path) -> Path:
        """Where it stands in the file what a key of the mount is."""
        found: Any = self._own
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return path
        return ("mount", self._index, *path)

    def origin(self, *path: str | int) -> Part | None:
        """See Draft."""
        return super().origin(*self._place(path))

    def error(self, path: Path, must: str, mend: str = "") -> SiteFileError:
        """See Draft."""
        return super().error(self._place(path), must, mend)


def _put(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Puts what is nearer to a site over what is farther away."""
    if not more.keys().isdisjoint(INSTEAD):
        for key in (*INSTEAD, *_OF_RUNNER):
            values.pop(key, None)
    for key, value in more.items():
        merged = key in TABLES and key in values
        values[key] = {**values[key], **value} if merged else value


def chain(part: Part, base: Callable[[str, Part], Part]) -> list[Part]:
    """Follows `extends`.

    Args:
        part: a site's file.
        base: finds a base by its name, for the file that extends it, or raises SiteFileError.

    Returns:
        The file, its base, the base of that, and so on.

    Raises:
        SiteFileError: there are too many, or one comes back.
    """
    parts = [part]
    while (name := parts[-1].values.get("extends")) is not None:
        last = parts[-1].text
        if len(parts) > DEEPEST:
            must = f"must not be one more than {DEEPEST} bases below each other"
            raise last.error(("extends",), name, must, "remove extends")
        found = base(name, parts[-1])
        if any(found.text.path == before.text.path for before in parts):
            must = f"must not come back to {found.text.path}"
            raise last.error(("extends",), name, must, "remove extends")
        parts.append(found)
    return parts
