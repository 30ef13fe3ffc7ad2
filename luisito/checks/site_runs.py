"""Tries what site files say as a start would: their programs, folders, files and limits."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from luisito.checks import apps, endpoints, hibernation, hooks, limits, machine
from luisito.checks.eyes import Eyes, reach
from luisito.checks.plan import plan
from luisito.checks.program import program
from luisito.checks.report import Mend, Problem
from luisito.checks.written import Written
from luisito.core import wire
from luisito.core.keys import site_of
from luisito.core.permissions import EXECUTE, READ
from luisito.errors import LuisitoError, SettingsError, TemplateError
from luisito.settings.sites.claims import LISTEN
from luisito.settings.sites.folder import Folder
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust
from luisito.spawner.place import default_place
from luisito.spawner.privileges import forbid_tracing
from luisito.spawner.render import render_stop
from luisito.spawner.siteconfig import SiteConfig
from luisito.spawner.users import become

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luisito.checks.plan import Plan
    from luisito.checks.site_files import SiteFiles
    from luisito.checks.whom import Whom
    from luisito.settings import Settings
    from luisito.spawner.config import Config
    from luisito.spawner.users import Identity

_LONGEST: Final = 60.0  # seconds for all files
_TEXT: Final = 65536  # bytes of a message of a child


class Tried:
    """What has come of trying all site files.

    Args:
        settings: checked.
        config: what the spawner makes of them.
        files: as they were read.
        who: Luisito.

    Attributes:
        problems: in the order of the files.
        limits: whether limits that only site files set are kept; "" where there are none.
        hibernation: what is done with idle servers that only site files have frozen; likewise.
        summary: how many files were tried, for people.
    """

    def __init__(self, settings: Settings, config: Config, files: SiteFiles, who: Whom) -> None:
        self._settings, self._config, self._who = settings, config, who
        self._runtime_dir = settings.runtime_dir or default_place(who.starter.uid, os.environ)
        self.problems: list[Problem] = []
        self.limits = self.hibernation = ""
        self.summary = ""
        self._lacking: dict[tuple[str, ...], list[Problem]] = {}
        if settings.sites_dir is None or not files.runs:
            return
        try:
            trust = Trust(who.starter.uid, known(settings.tenants))
            with Folder(settings.sites_dir, trust) as folder:
                self._written = Written(folder)
                self._all(files)
        except SettingsError:  # it was there just now
            self.summary = "SITES_DIR has changed meanwhile"

    def _all(self, files: SiteFiles) -> None:
        until = time.monotonic() + _LONGEST
        names: set[str] = set()
        left: set[str] = set()
        for key, run in files.runs.items():
            if time.monotonic() > until:
                left.add(site_of(key))
                continue
            names.add(site_of(key))
            if key in files.alone:
                mend = Mend("do", "write processes = 2, or remove it")
                what = "does nothing without processes, as there is one server"
                self.problems.append(self._written.problem(key, "sticky", what, mend))
            self._try(key, run, None)
            for worker, record in files.workers.get(key, {}).items():
                self._try(key, record, worker)
        self._hibernation(files)
        count = len(names | left)
        done = len(names - left)
        self.summary = f"{count} file{'' if count == 1 else 's'}"
        root, listen = self._config.root, self._settings.listen
        for own, problem in endpoints.problems(
            files.owns, listen, machine.kernel(), self._who, root=root
        ):
            where = own.endpoint if problem.where == LISTEN else f"{problem.where}:"
            what = f"{where} {problem.what}"
            self.problems.append(self._written.problem(own.site, LISTEN, what, problem.mend))
        if left:
            self.summary = f"the first {done} of {count} files, in {_LONGEST:.0f} s"

    def _hibernation(self, files: SiteFiles) -> None:
        """Tells what keeps sites from being frozen whose own files ask for that."""
        for site in sorted(files.awake):
            mend = Mend("do", "write hibernate_after = 300, or remove it")
            what = "says nothing without hibernate_after or HIBERNATE_AFTER"
            self.problems.append(self._written.problem(site, "hibernate", what, mend))
        if not files.frozen or self._settings.hibernate_after is not None:
            return
        offered = hibernation.offer(self._runtime_dir, root=self._config.root)
        self.hibernation, missing = hibernation.means(self._settings.hibernate, offered)
        for problem in missing:
            if problem.where == hibernation.AFTER:  # one of them is enough, as it is of the machine
                key = hibernation.AFTER.lower()
                found = self._written.problem(min(files.frozen), key, problem.what, problem.mend)
                self.problems.append(found)
            else:
                self.problems.append(problem)

    def _try(self, site: str, run: dict[str, Any], worker: str | None) -> None:
        """Tries one server, or one worker of a site."""
        path = f"{self._settings.sites_dir}/{site_of(site)}.toml"
        found: list[Problem] = []

        def wrong(key: str, problem: Problem | None, of: str | None = None) -> bool:
            if problem is not None:
                what = problem.what if problem.where == key else f"{problem.where}: {problem.what}"
                found.append(self._written.problem(site, key, what, problem.mend, of))
            return problem is not None

        config = SiteConfig(self._config, json.dumps(run).encode("ascii"))
        try:
            planned = plan(self._settings, config, site, self._who, path)
        except TemplateError as error:
            what, _, mend = str(error).partition("; ")
            wrong("command", Problem("command", what, Mend("do", mend or "mend it")), worker)
        else:
            self._planned(run, worker, config, planned, site, wrong)
        if worker is None:
            for problem in self._lacks(config):
                key = problem.where.lower()
                if self._written.find(site, key) is not None:
                    wrong(key, problem._replace(where=key))
        self.problems += [problem for problem in found if problem not in self.problems]

    def _planned(
        self,
        run: dict[str, Any],
        worker: str | None,
        config: SiteConfig,
        planned: Plan,
        site: str,
        wrong: Callable[..., bool],
    ) -> None:
        """Tries what comes after the user is known."""
        problem = planned.problem
        if problem is not None:
            wrong("folder" if not planned.is_site else "user", problem)
        if planned.user is None or planned.rendered is None:
            return
        with Eyes(planned.user) as eyes:
            if run["folder"] is not None and wrong("folder", _enter(run["folder"], eyes)):
                return
            for key, problem in self._files(run, config, planned.user, eyes):
                wrong(key, problem)
            if "finds_virtualenv" in run and worker is None and eyes.tried:
                what = apps.served(planned.rendered.argv)
                check = partial(apps.check, what, config, planned.rendered.environ)
                refusal = _in_child(check, planned.user, run["folder"] or config.cwd)
                key = "django" if what.django else "app"
                wrong(key, _said(key, refusal))
            with suppress(TemplateError):  # of variables
                said = run["command"]
                for problem in _followed(said, planned, eyes, "command"):
                    wrong("command", problem, worker)
                if run["stop_command"] is not None:
                    order = wire.Start(1, site, self._settings.port_range[0])
                    stop = render_stop(config, self._runtime_dir, order, planned.user, 1)
                    stopped = planned._replace(rendered=stop)
                    for problem in _followed(run["stop_command"], stopped, eyes, "stop_command"):
                        wrong("stop_command", problem)
                whose = planned.user, planned.folder, eyes
                for event, problem in hooks.of_site(run["hooks"], config, site, *whose):
                    if worker is None:
                        wrong(f"hooks.{event}", problem)

    def _files(
        self, run: dict[str, Any], config: SiteConfig, user: Identity, eyes: Eyes
    ) -> Iterator[tuple[str, Problem | None]]:
        """What is wrong with the files that a site names, by their keys."""
        tries: list[tuple[str, int, Callable[[], object]]] = [
            ("virtualenv", EXECUTE, config.check_virtualenv),
            ("env_file", READ, config.read_variables),
            ("waiting_page", READ, config.read_page),
        ]
        for key, want, read in tries:
            if run[key] is None:
                continue
            inside = f"{run[key]}/bin" if key == "virtualenv" else run[key]
            problem = reach(inside, eyes, want)
            if problem is None and eyes.tried:
                own = None if key == "waiting_page" else user  # that becomes the user by itself
                problem = _said(key, _in_child(read, own, run["folder"] or config.cwd))
            yield key, problem

    def _lacks(self, config: SiteConfig) -> list[Problem]:
        """What the machine lacks for the limits of a site."""
        asked = tuple(config.limits.settings())
        if asked not in self._lacking:
            kept, self._lacking[asked] = limits.cgroups(config, self._runtime_dir)
            self.limits = self.limits or kept
        return self._lacking[asked]


def _enter(folder: str, eyes: Eyes) -> Problem | None:
    problem = reach(folder, eyes, EXECUTE)
    if problem is None and not os.path.isdir(folder) and os.path.lexists(folder):
        return Problem("folder", "is no folder", Mend("do", "name another"))
    return problem


def _followed(command: str | list[str], planned: Plan, eyes: Eyes, key: str) -> list[Problem]:
    assert planned.rendered is not None  # noqa: S101 - for the types
    found = program(command, planned.rendered, planned.folder, eyes, key)
    return [each for each in found.problems if "is a shim" not in each.what]


def _said(key: str, refusal: str) -> Problem | None:
    """The problem that a refusal of the spawner's tells, which begins with the key and its path."""
    if not refusal:
        return None
    what, _, mend = refusal.partition("; ")
    if what.startswith(f"{key} ") and "': " in what:
        what = what.partition("': ")[2]
    return Problem(key, what, Mend("do", mend or "mend it"))


def _in_child(read: Callable[[], object], user: Identity | None, folder: str) -> str:
    """Do something as a user in a folder; "" or why it is refused."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "could not be tried; run this as root"
        try:
            os.close(ours)
            if user is not None:
                become(user)
                forbid_tracing()
                os.chdir(folder)
            read()
            said = ""
        except (LuisitoError, OSError) as error:
            said = str(error)
        finally:
            os.write(theirs, os.fsencode(said)[:_TEXT])
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as told:
        said = os.fsdecode(told.read(_TEXT))
    os.waitpid(pid, 0)
    return said
