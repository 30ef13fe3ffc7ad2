"""Which hosts are sites: why one is or is not, and one to try where none is given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from luisito.checks.report import Mend, Problem
from luisito.core.host import normalize
from luisito.core.routing import CANNOT_TELL, DEFAULT, NO_SITE
from luisito.core.template import Template
from luisito.errors import BadHost, SettingsError, TemplateError

if TYPE_CHECKING:
    from luisito.core.routing import Routes
    from luisito.settings import Settings

_SETTING = "ALLOWED_HOSTS"
_WORD = "%HOST"


class Sample(NamedTuple):
    """A host, and why it was chosen.

    Attributes:
        host: of a site.
        why: it was chosen.
        made_up: nobody has named it, and no folder.
    """

    host: str
    why: str
    made_up: bool = False


class Judged(NamedTuple):
    """Whether ALLOWED_HOSTS lets a host in.

    Attributes:
        why: it does; "" where it does not.
        status: that a client gets where it does not.
        problem: that keeps it out; None where it is let in.
    """

    why: str
    status: int
    problem: Problem | None


def judge(settings: Settings, routes: Routes, host: str) -> Judged:
    """Tell whether ALLOWED_HOSTS lets a host in, and why.

    Args:
        settings: checked.
        routes: of them.
        host: the site.
    """
    try:
        allowed, pattern, asked = routes.explain(host)
    except SettingsError as error:
        what, _, mend = str(error).removeprefix(f"{_SETTING}: ").rpartition("; ")
        return Judged("", CANNOT_TELL, Problem(_SETTING, what, Mend("do", mend)))
    if not allowed:
        return Judged("", NO_SITE, _kept_out(settings, host, pattern, asked=asked))
    if asked:
        return Judged(f"by the function {_SETTING}", 0, None)
    if settings.allowed_hosts is not None:
        return Judged(f"by {pattern!r} of {_SETTING}", 0, None)
    if settings.project_path is not None:
        return Judged(f"as any host that has a folder ({_SETTING} is not set)", 0, None)
    return Judged(f"by {pattern!r}, as neither {_SETTING} nor PROJECT_PATH is set", 0, None)


def _kept_out(settings: Settings, host: str, pattern: str, *, asked: bool) -> Problem:
    if asked:
        mend = Mend("do", "mend that function, or ask for another host")
        return Problem(_SETTING, f"the function says that {host} is no site", mend)
    patterns = settings.allowed_hosts
    known = list(DEFAULT if patterns is None or callable(patterns) else patterns)
    if pattern:
        known.remove(pattern)
        what = f"{pattern!r} keeps {host} out"
    else:
        known.append(host)
        what = f"{host} fits none of its patterns"
    return Problem(_SETTING, what, Mend("write", f"{_SETTING} = {known!r}"))


def sample(settings: Settings, routes: Routes) -> Sample:
    """Choose a host that is a site, as far as that is easily told."""
    patterns = settings.allowed_hosts if isinstance(settings.allowed_hosts, tuple) else ()
    for pattern in patterns:
        if not pattern.startswith(("!", "*")):
            return Sample(normalize(pattern.encode()), "the first host of ALLOWED_HOSTS")
    if settings.project_path is not None:
        for host in _with_folder(settings.project_path):
            if judge(settings, routes, host).problem is None:
                return Sample(host, "the first one with a folder")
    for pattern in patterns:
        if pattern.startswith("*."):
            return Sample(
                normalize(f"a{pattern[1:]}".encode()), f"made up to fit {pattern!r}", made_up=True
            )
    return Sample("a.localhost", "made up", made_up=True)


def homeless(project_path: str, folder: str) -> Problem | None:
    """That no host at all has a folder, so that PROJECT_PATH itself may be wrong.

    Args:
        project_path: the setting.
        folder: that a first site would have.
    """
    above = _above(project_path)
    if above is None or _with_folder(project_path):
        return None
    try:
        os.listdir(above)
    except FileNotFoundError:
        what = f"no host has a folder in {above}, which is not there"
    except OSError:
        return None  # it may hold some
    else:
        what = f"no host has a folder in {above}"
    mend = Mend("do", f"is PROJECT_PATH right? If it is, make {folder} for a first site")
    return Problem("PROJECT_PATH", what, mend)


def _above(project_path: str) -> str | None:
    """The folder that those of all hosts are in; None without a host in it."""
    before, word, _ = project_path.partition(_WORD)
    try:
        return Template.text(before.rpartition("/")[0] or "/").render({})[0] if word else None
    except TemplateError:
        return None


def _with_folder(project_path: str) -> list[str]:
    """The hosts that have a folder, sorted."""
    above = _above(project_path)
    if above is None:
        return []
    before, _, after = project_path.partition(_WORD)
    prefix = before.rpartition("/")[2]
    suffix = after.partition("/")[0].partition(_WORD)[0]
    template = Template.text(project_path)
    hosts = []
    try:
        names = sorted(os.listdir(above))
    except OSError:
        return []
    for name in names:
        if not (name.startswith(prefix) and name.endswith(suffix)):
            continue
        host = name[len(prefix) : len(name) - len(suffix)]
        try:
            if normalize(os.fsencode(host)) == host and os.path.isdir(
                template.render({"HOST": host})[0]
            ):
                hosts.append(host)
        except (BadHost, TemplateError):
            continue
    return hosts
