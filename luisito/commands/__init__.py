"""The subcommands of `luisito`, one module each: `add` to the parser, and `run` with the options.

A module imports what it works with inside `run`, so that one command does not load all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from typing import TypeAlias

    # argparse gives what add_subparsers returns no public name
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
