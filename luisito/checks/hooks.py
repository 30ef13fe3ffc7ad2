"""The programs of hooks: those of a site as its user, those of the settings as Luisito's own."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING

from luisito.checks.eyes import Eyes
from luisito.checks.program import program
from luisito.checks.report import Problem
from luisito.core.hooks import environ
from luisito.errors import TemplateError
from luisito.settings.hooks import is_webhook
from luisito.spawner.render import render_hook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.checks.whom import Whom
    from luisito.settings import Settings
    from luisito.settings.hooks import Hook
    from luisito.spawner.config import Config
    from luisito.spawner.users import Identity


def of_site(
    commands: Mapping[str, Hook],
    config: Config,
    site: str,
    user: Identity,
    folder: str,
    eyes: Eyes,
) -> Iterator[tuple[str, Problem]]:
    """What is wrong with the commands of a site, by the hooks.

    Args:
        commands: as they were written.
        config: of the site.
        site: its key.
        user: who they run as.
        folder: that they run in.
        eyes: of that user.
    """
    for event, command in commands.items():
        own = copy.copy(config)
        with suppress(TemplateError):  # of variables, which is said of its server
            facts = environ(event, site, {})
            rendered = render_hook(own, site, 1, user, own.hooks[event], facts)
            for problem in program(command, rendered, folder, eyes, f"hooks.{event}").problems:
                yield event, problem


def of_settings(settings: Settings, config: Config, who: Whom) -> Iterator[Problem]:
    """What is wrong with those of HOOKS."""
    commands = {event: one for event, one in settings.hooks.items() if not is_webhook(one)}
    if not commands:
        return
    config = copy.copy(config)
    config.env = {}
    with Eyes(who.network) as eyes:
        for event, problem in of_site(
            commands, config, "a.localhost", who.network, config.cwd, eyes
        ):
            named = f'HOOKS["{event}"]'
            same = problem.where == f"hooks.{event}"
            what = problem.what if same else f"{problem.where}: {problem.what}"
            yield Problem(named, what, problem.mend)
