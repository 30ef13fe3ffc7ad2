"""The sites that operators have pinned, as they are written for a later Luisito."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST: Final = 1000
"""Sites that may be pinned; MAX_SERVERS bounds them further."""

_VERSION: Final = 1


def written(sites: Iterable[str]) -> bytes:
    """Write the keys of sites; see `read`."""
    text = ",\n".join(json.dumps(site) for site in sorted(sites))
    return f'{{"version": {_VERSION}, "pinned": [\n{text}\n]}}\n'.encode("ascii")


def read(data: bytes) -> list[str]:
    """Read what `written` has written.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise ValueError(f"its version is {found['version']!r}")
        sites = [*found["pinned"]]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if len(sites) > MOST or not all(isinstance(site, str) for site in sites):
        raise ValueError(f"it does not name up to {MOST} sites")
    return sites
