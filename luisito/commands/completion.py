"""`luisito completion SHELL`: the script that has a shell complete this command."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Final

from luisito.commands.asking import Luisito
from luisito.core.text import visible
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.commands import Subparsers

SHELLS: Final = ("bash", "zsh", "fish")
_SITES: Final = "--sites"  # for the scripts: the names of sites, one on each line
# What no shell finds anything to expand in: bash's compgen would (the names are tenants').
_plain = re.compile("[a-z0-9._/~-]+").fullmatch
_EPILOG: Final = """\
bash: luisito completion bash > /etc/bash_completion.d/luisito
zsh:  luisito completion zsh > /usr/local/share/zsh/site-functions/_luisito
fish: luisito completion fish > ~/.config/fish/completions/luisito.fish

exit status: 0 done; 1 no Luisito answers (--sites); 2 wrong usage
"""
# What stands for a site, a file or a folder, by the names of arguments and options.
_OF_SITES: Final = frozenset({"site", "host"})
_FILES: Final = frozenset({"settings", "file", "logs", "svg", "sources"})
_FOLDERS: Final = frozenset({"runtime_dir", "to", "root", "django"})


def add(subparsers: Subparsers, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Adds the subcommand.

    Args:
        subparsers: of the `luisito` command.
        parser: makes the whole command's parser, which the script is made of.
    """
    about = "print the script that has a shell complete luisito's commands, options and sites"
    own = subparsers.add_parser(
        "completion",
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = own.add_mutually_exclusive_group(required=True)
    what.add_argument(_SITES, action="store_true", help="print the names of sites instead")
    what.add_argument("shell", nargs="?", choices=SHELLS, help="whose")
    own.set_defaults(run=lambda options: run(options, parser))


def run(options: argparse.Namespace, parser: Callable[[], argparse.ArgumentParser]) -> int:
    """Prints it."""
    if options.sites:
        return _print_sites()
    print(script(parser(), options.shell))  # noqa: T201 - what was asked for
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of a shell, one of SHELLS."""
    import shtab

    sites = shtab.cmd(f"luisito completion {_SITES} 2>/dev/null")
    for action in _actions(parser):
        if action.dest in _OF_SITES:
            complete = sites
        elif action.dest in _FILES:
            complete = shtab.FILE
        elif action.dest in _FOLDERS:
            complete = shtab.DIRECTORY
        else:
            continue
        action.complete = complete  # type: ignore[attr-defined]
    made: str = shtab.complete(parser, shell)
    return made


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All arguments and options, also of the subcommands."""
    found: list[argparse.Action] = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells them in no other way
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            for each in action.choices.values():
                found += _actions(each)
    return found


def _print_sites() -> int:
    """Prints those that whoever asks may see; returns the exit status."""
    options = argparse.Namespace(runtime_dir=None, settings=None)
    try:
        rows = Luisito(options).get("/sites")["sites"]
    except LuisitoError as error:
        print(visible(str(error)), file=sys.stderr)  # noqa: T201 - for whoever tries it by hand
        return 1
    for site in sorted({row["site"] for row in rows if _plain(row["site"])}):
        print(site)  # noqa: T201 - what was asked for
    return 0
