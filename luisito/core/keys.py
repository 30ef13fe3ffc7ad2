"""What sites, their mounts, and the servers of either are known by."""

from __future__ import annotations

import re
from typing import Final

from luisito.core.members import first_of

_SEGMENT: Final = r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*"
PATH: Final = rf"(/{_SEGMENT})+"
"""A regular expression of what a mount's path may be: segments that need no escapes."""

_path = re.compile(PATH).fullmatch


def is_path(path: str) -> bool:
    """Whether a mount may have this path."""
    return _path(path) is not None


def key_of(site: str, path: str) -> str:
    """The key of a mount: what it is known by where others have the key of their site."""
    return site + path


def site_of(key: str) -> str:
    """The site of a key, which is that of a site, of a mount, or of one more server of either."""
    return first_of(key).partition("/")[0]


def file_of(key: str) -> str:
    """The name of a file for a key; hosts and paths of mounts have no "~"."""
    return key.replace("/", "~")
