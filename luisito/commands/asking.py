"""What the commands that speak to a running Luisito share: finding it, and their exit status."""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.settings_file import settings_file
from luisito.core.text import visible
from luisito.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.commands import Subparsers

_STATUSES: Final = """\
Luisito is looked for in --runtime-dir, or in RUNTIME_DIR of --settings; without either in
$LUISITO_RUNTIME_DIR, else in RUNTIME_DIR of $LUISITO_SETTINGS or of ./settings.py, where there is
one that nobody else may write; else where it is when nobody says: one's own, then root's in
/run/luisito.

exit status: 0 done; 1 refused, or an unknown site; 2 wrong usage or settings; 3 no Luisito answers
"""
_REFUSED: Final = 1
_NOT_RUNNING: Final = 3
_SILENCE: Final = 5.0  # seconds without an answer, in which one Luisito hands over to the next
_MAX_PATH: Final = 107  # bytes: sun_path of unix(7), without the NUL


def add_command(
    subparsers: Subparsers,
    name: str,
    about: str,
    run: Callable[[argparse.Namespace], int],
    *,
    aliases: tuple[str, ...] = (),
) -> argparse.ArgumentParser:
    """Adds a subcommand with the options that find Luisito.

    Args:
        subparsers: of the `luisito` command.
        name: of the subcommand.
        about: one line for a person.
        run: what it does; its errors become an exit status here.
        aliases: more names.
    """
    parser = subparsers.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        aliases=aliases,
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runtime-dir", metavar="DIR", help="RUNTIME_DIR of the Luisito meant")
    parser.add_argument("--settings", metavar="FILE", help="the settings file of the Luisito meant")
    parser.set_defaults(run=lambda options: _run(run, options))
    return parser


def tell(options: argparse.Namespace, target: str, text: Callable[[dict[str, Any]], str]) -> int:
    """Prints what a resource of the running Luisito tells; returns the exit status.

    Args:
        options: with those of `add_command`, and --json (common.add_json).
        target: the resource.
        text: what it tells, for people.
    """
    found = Luisito(options).get(target)
    print(json.dumps(found, indent=2) if options.json else text(found))  # noqa: T201 - what was asked for
    return 0


def _run(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    from luisito.control.client import ControlError, NotRunningError

    try:
        return run(options)
    except ControlError as error:
        print(f"luisito: {visible(str(error))}", file=sys.stderr)  # noqa: T201 - a command's error
        return _NOT_RUNNING if isinstance(error, NotRunningError) else _REFUSED


class Luisito:
    """The running Luisito that the options mean.

    Args:
        options: with those of `add_command`.

    Raises:
        SettingsError: the settings that say where it is cannot be used.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._note = ""
        self._named = True
        self._heard: float | None = None  # when a look was answered last
        self._folders = self._places(options)

    def ask(self, method: str, target: str) -> tuple[int, Any]:
        """Makes a request at the first place where somebody answers; see client.ask."""
        from luisito.control.client import NotRunningError, ask
        from luisito.core.wire import control_path

        for folder in self._folders:
            path = control_path(folder)
            if len(os.fsencode(path)) > _MAX_PATH:
                raise SettingsError(
                    f"RUNTIME_DIR = {folder!r}: {path} is longer than the {_MAX_PATH} bytes that"
                    " the path of a socket may have; choose a shorter one"
                )
            try:
                answer = ask(path, method, target, named=self._named)
            except NotRunningError:
                continue
            self._folders = [folder]
            return answer
        raise NotRunningError(self._nobody())

    def get(self, target: str) -> dict[str, Any]:
        """What a resource tells.

        Raises:
            ControlError: it is refused.
        """
        from luisito.control.client import ControlError

        status, value = self.ask("GET", target)
        if status != 200:
            raise ControlError(why(value))
        found: dict[str, Any] = value
        return found

    def look(self, target: str) -> dict[str, Any] | None:
        """The same for who looks again and again; None where nobody answers for a moment.

        Raises:
            ControlError: nothing has been told for too long.
        """
        from luisito.control.client import ControlError

        if self._heard is None:
            self._heard = time.monotonic()
        try:
            found = self.get(target)
        except ControlError:
            if time.monotonic() > self._heard + _SILENCE:
                raise
            return None
        self._heard = time.monotonic()
        return found

    def _nobody(self) -> str:
        from luisito.core.wire import control_path

        where = " or ".join(map(control_path, self._folders)) or "the usual places"
        words = f"no Luisito answers at {where}:"
        words += " is it running? Give --runtime-dir DIR where its RUNTIME_DIR is another"
        words += ' (its log says "Control socket: ...")'
        others = [
            other
            for folder in self._folders
            for other in sorted(glob.glob(f"{glob.escape(folder)}-*"))
            if os.path.exists(control_path(other))
        ]
        if others:
            words += f"; there is {' and '.join(others)}"
        return words + self._note

    def _places(self, options: argparse.Namespace) -> list[str]:
        named = options.runtime_dir
        if named is None and options.settings is None:
            named = os.environ.get("LUISITO_RUNTIME_DIR")
        if named is None:
            named = self._of_settings(options)
        if named is not None:
            return [os.path.abspath(named)]
        self._named = False
        from luisito.spawner.place import likely_places

        # in the folder for temporary files anybody may have taken the name
        places = likely_places(os.geteuid(), os.environ)
        safe = [one for one in places if not os.path.lexists(one) or _is_safe(os.lstat(one))]
        if not safe:
            self._note += f"; not looked for in {' and '.join(places)}, where others than root or"
            self._note += " you may write"
        return safe

    def _of_settings(self, options: argparse.Namespace) -> str | None:
        from luisito.settings import load

        found = settings_file(options)
        if found is None:
            return None
        if found.problem is not None:
            self._note = f"; {found.path} here was not read: {found.problem}"
            return None
        try:
            return load(found.path, found.text).runtime_dir
        except SettingsError as error:
            if found.named:
                raise
            raise SettingsError(
                f"{error} (it was read because it is here; --settings names another)"
            ) from None


def _is_safe(status: os.stat_result) -> bool:
    """Whether only root or we may write in a folder."""
    from luisito.spawner.place import is_ours

    return is_ours(status, 0) or is_ours(status, os.geteuid())


def why(value: object) -> str:
    """What an answer tells of a refusal, and the site that may have been meant."""
    if not isinstance(value, dict) or "error" not in value:
        return repr(value)
    words = str(value["error"])
    if "nearest" not in value:
        return words
    nearest = value["nearest"]
    return (
        f"{words}; {f'the nearest is {nearest}' if nearest else 'list --all shows those that are'}"
    )
