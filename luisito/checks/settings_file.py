"""Checks a settings file against the machine, for one host: what `luisito check-settings` says."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from luisito.checks import files, hibernation, hooks, limits, machine, words
from luisito.checks.eyes import Eyes, reach
from luisito.checks.plan import configured, plan
from luisito.checks.program import program
from luisito.checks.report import Mend, Problem, Report
from luisito.checks.site_files import judged, site_files
from luisito.checks.site_runs import Tried
from luisito.checks.sites import Sample, homeless, sample
from luisito.checks.whom import Whom, described, whom
from luisito.core.host import normalize
from luisito.core.permissions import EXECUTE, READ
from luisito.core.routing import Routes
from luisito.errors import SettingsError
from luisito.net.endpoints import place
from luisito.settings import load, read
from luisito.spawner.place import default_place

if TYPE_CHECKING:
    from luisito.checks.plan import Plan
    from luisito.checks.site_files import SiteFiles
    from luisito.settings import Settings
    from luisito.spawner.config import Config
    from luisito.spawner.users import Identity


def check(path: str, host: str | None, user: str | None) -> Report:
    """Find out what would go wrong with a settings file; start, open and write nothing.

    Args:
        path: of the settings file.
        host: of the site; None for one that is chosen.
        user: name or uid of the network process's user; None for Luisito's own choice.

    Raises:
        LuisitoError: the settings are wrong, or the host or the user is none.
    """
    who = whom(user)
    unreadable = files.unreadable(path, Eyes(who.starter))
    if unreadable is not None:
        raise SettingsError(str(unreadable))
    source = read(path)
    exposed = files.exposed(path, who.starter, source.status)
    if exposed is not None and os.geteuid() == 0:  # it would be run as root
        report = Report()
        report.facts["settings"] = path
        report.add(exposed)
        return report
    settings = load(path, source.text)
    sites = site_files(settings, who)
    chosen = _chosen(settings, sites, host)
    config = configured(settings, who)
    report = Report()
    tried = Tried(settings, config, sites, who)
    planned = _check_site(report, path, settings, sites, chosen, config, who, exposed)
    if tried.summary:
        report.facts["tried"] = tried.summary
    report.add(*tried.problems)
    report.add(*hooks.of_settings(settings, config, who))
    kernel = machine.kernel()
    report.add(*machine.ports(settings, config, kernel))
    report.add(_told_to_all(path, settings, source.status))
    report.add(machine.open_files(settings, config, kernel))
    report.add(machine.clients(settings, kernel))
    report.add(*limits.rlimits(settings, who, kernel))
    runtime_dir = settings.runtime_dir or default_place(who.starter.uid, os.environ)
    kept, lacking = limits.cgroups(config, runtime_dir)
    if kept or tried.limits:
        report.facts["limits"] = kept or tried.limits
    report.add(*lacking)
    if tried.hibernation:
        report.facts["hibernation"] = tried.hibernation
    if settings.hibernate_after is not None:
        offered = hibernation.offer(runtime_dir, root=config.root)
        frozen, missing = hibernation.hibernation(settings, offered)
        if frozen:
            report.facts["hibernation"] = frozen
        report.add(*missing)
    _check_files(report, settings, who, planned.user)
    return report


def _chosen(settings: Settings, sites: SiteFiles, host: str | None) -> Sample:
    """The host to try."""
    if host is not None:
        return Sample(normalize(os.fsencode(host)), "as given")
    if settings.cmd_tpl is None:
        return Sample(min(sites.runs, default="a.localhost"), "the first that has a site file")
    routes = Routes.of(settings.allowed_hosts, folders=settings.project_path is not None)
    return sample(settings, routes)


def _check_site(
    report: Report,
    path: str,
    settings: Settings,
    sites: SiteFiles,
    chosen: Sample,
    config: Config,
    who: Whom,
    exposed: Problem | None,
) -> Plan:
    """Looks at what would be run for a host, and at what may keep it from that."""
    to = sites.directory.explain(chosen.host).destination
    site = to.site if to.path else chosen.host
    planned = plan(settings, sites.config_of(site, config), site, who, to.path)
    _tell(report, path, chosen, who, settings, planned, to.path)
    if settings.sites_dir is not None:
        report.facts["site_files"] = sites.described(settings.sites_dir)
    report.add(exposed, sites.folder, *sites.broken.values(), sites.crowded)
    report.add(*words.misspelt(settings))
    if not to.path and not (settings.cmd_tpl is None and report.problems):
        report.add(judged(sites, settings, chosen.host).problem)
    if not to.path:
        report.add(_nowhere(settings, chosen, planned) or planned.problem)
    if planned.user is not None and planned.rendered is not None:
        eyes = Eyes(planned.user)
        if not to.path and settings.project_path is not None:
            report.add(reach(planned.folder, eyes, READ | EXECUTE))
        if not to.path and settings.cmd_tpl is not None:
            found = program(settings.cmd_tpl, planned.rendered, planned.folder, eyes, "CMD_TPL")
            report.facts["program"] = found.paths
            report.add(*found.problems)
        report.add(_one_user(who, planned.user))
    return planned


def _tell(
    report: Report,
    path: str,
    chosen: Sample,
    who: Whom,
    settings: Settings,
    planned: Plan,
    file: str,
) -> None:
    facts = report.facts
    facts["settings"] = path
    facts["started_by"] = described(who.starter)
    facts["network_user"] = described(who.network)
    facts["host"] = f"{chosen.host} ({chosen.why})"
    here = "" if planned.own_folder else " (the one Luisito is started in)"
    facts["folder"] = planned.folder + here
    facts["listen"] = " ".join(settings.listen)
    facts["access"] = "tried as each user"
    eyes = [Eyes(who.starter), Eyes(who.network)]
    if planned.user is not None and planned.rendered is not None:
        eyes.append(Eyes(planned.user))
        facts["user"] = f"{described(planned.user)}: {planned.why}"
        facts["way_in"] = planned.way_in if file else words.way_in(settings, planned.way_in)
        facts["command"] = planned.rendered.argv
        facts["environment"] = planned.rendered.environ
    if not all(each.tried for each in eyes):
        facts["access"] = "told by mode bits; root can try it, and would see access control lists"


def _nowhere(settings: Settings, chosen: Sample, planned: Plan) -> Problem | None:
    """What is more likely wrong than that a host that was made up has no folder."""
    if not chosen.made_up or planned.is_site or settings.project_path is None:
        return None
    return homeless(settings.project_path, planned.folder)


def _told_to_all(path: str, settings: Settings, status: os.stat_result) -> Problem | None:
    if settings.admin_token is None or not status.st_mode & stat.S_IROTH:
        return None
    what = "every user of this machine can read it"
    return Problem("ADMIN_TOKEN", what, Mend("run", f"chmod o-r {shlex.quote(path)}"))


def _one_user(who: Whom, user: Identity) -> Problem | None:
    if not who.root or user.uid != who.network.uid:
        return None
    what = f"{user.name} would be Luisito's own user, too, so that servers might signal it"
    return Problem("RUN_AS", what, Mend("run", "adduser --system --group luisito"))


def _check_files(report: Report, settings: Settings, who: Whom, user: Identity | None) -> None:
    starter = Eyes(who.starter)
    if settings.output_log_dir is not None:
        report.add(files.logs(settings.output_log_dir, starter))
    if settings.access_log is not None:
        report.add(files.file(settings.access_log, starter, "ACCESS_LOG"))
    if settings.state_dir is not None:
        report.add(files.state(settings.state_dir, who))
    runtime_dir = settings.runtime_dir or default_place(who.starter.uid, os.environ)
    report.add(*files.runtime_dir(runtime_dir, who, user))
    said = [("LISTEN", description) for description in settings.listen]
    if settings.admin_listen is not None:
        said.append(("ADMIN_LISTEN", settings.admin_listen))
    for name, description in said:
        socket = place(description).path
        if socket:
            report.add(files.folder(os.path.dirname(socket), starter, name))
