"""Hosts and endpoints that two site files claim, and a second default site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.core.routing import Pattern
from luisito.settings.sites.listen import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.settings.sites.lines import Path


LISTEN: Final = "listen"
_HOSTS: Final = ("aliases", "redirects", "hosts")
CLAIMS: Final = (*_HOSTS, "default", LISTEN)
"""What of public records is looked at."""


class Clash(NamedTuple):
    """A host or an endpoint that an earlier file has claimed.

    Attributes:
        path: of the key that claims it again; () is the name of the file.
        host: the host, pattern or endpoint; "" for default.
        other: the site that has claimed it.
        key: by which that does; "" is the name of its file.
    """

    path: Path
    host: str
    other: str
    key: str


def clashes(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Clash]:
    """Finds for each site the first host that one before it, by file name, has claimed.

    Args:
        records: public records by the names of sites.
    """
    taken: dict[Pattern | str | None, tuple[str, str]] = {}
    found: dict[str, Clash] = {}
    for site in sorted(records, key=lambda name: f"{name}.toml"):
        for path, host, pattern in _claims(site, records[site]):
            key = str(path[0]) if path else ""
            other = taken.setdefault(pattern, (site, key))
            if other[0] != site:
                found.setdefault(site, Clash(path, host, *other))
    return found


def _claims(
    site: str, record: Mapping[str, Any]
) -> Iterator[tuple[Path, str, Pattern | str | None]]:
    yield (), site, Pattern(site, False)
    for key in _HOSTS:
        for index, host in enumerate(record[key]):
            if not host.startswith("!"):
                yield (key, index), host, Pattern.parse(host)
    if record["default"]:
        yield ("default",), "", Pattern("", True)
    for endpoint in record[LISTEN]:
        yield (LISTEN,), endpoint, place(endpoint)
