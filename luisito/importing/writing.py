"""Writes site files: whole or not at all, and over no other without being told."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from luisito.errors import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Callable


def make_folder(path: str) -> None:
    """Makes SITES_DIR where it is not there.

    Raises:
        ImportFailed: it cannot be made.
    """
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        what = f"--to {path}: cannot be made: {error.strerror}"
        raise ImportFailed(f"{what}; name a folder in one that is there") from None


def write(path: str, text: str, *, hidden: bool, force: bool) -> bool:
    """Writes a file under another name, and renames it, so that nobody reads a half of it.

    Args:
        path: of it.
        text: of it.
        hidden: only its owner may read it.
        force: it may take the place of another.

    Returns:
        False where there is one, and it was left.

    Raises:
        ImportFailed: it cannot be written.
    """
    aside = f"{path}.{secrets.token_hex(4)}~"
    mode = 0o600 if hidden else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(aside, flags, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not force and not _claimed(path, flags):
            os.unlink(aside)
            return False
        os.rename(aside, path)
    except OSError as error:
        _quietly(os.unlink, aside)
        raise ImportFailed(f"{path}: cannot be written: {error.strerror}; mend that") from None
    return True


def _claimed(path: str, flags: int) -> bool:
    """Takes a name, which then is nobody else's to be written over."""
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return False
    return True


def _quietly(do: Callable[[str], None], path: str) -> None:
    try:
        do(path)
    except OSError:
        pass
