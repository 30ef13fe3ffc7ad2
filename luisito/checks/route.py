"""Follows a URL or an endpoint to the server that it would reach: what `luisito route` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from luisito.checks.endpoints import Where, asked_of, owner
from luisito.checks.eyes import Eyes
from luisito.checks.files import unreadable
from luisito.checks.plan import configured, plan
from luisito.checks.report import Mend, Problem, Report
from luisito.checks.site_files import judged, site_files, why
from luisito.checks.sites import Judged
from luisito.checks.whom import described, whom
from luisito.core.directory import REDIRECT
from luisito.core.request import request_fields, request_line
from luisito.core.routing import NO_SITE
from luisito.errors import BadMessage, LuisitoError, SettingsError
from luisito.net.endpoints import place
from luisito.settings import load

if TYPE_CHECKING:
    from luisito.checks.endpoints import Own
    from luisito.checks.site_files import SiteFiles
    from luisito.checks.whom import Whom
    from luisito.core.directory import Destination
    from luisito.settings import Settings

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PLAIN = ("http", "ws")
_KINDS = ("unix:", "tcp:", "tcp6:")
_START_FAILED = 502  # see luisito.pool


class _Asked(NamedTuple):
    """What a client asks for, who was given a URL.

    Attributes:
        scheme: of the URL.
        port: that it connects to.
        host: the value of its Host.
        target: in its request line.
        where: it connects to.
        endpoint: that it was given instead of a URL; "" for none.
    """

    scheme: str
    port: int
    host: bytes
    target: bytes
    where: Where
    endpoint: str = ""


def route(url: str, path: str, text: bytes | None = None) -> Report:
    """Tell which site, server and command a request would reach, or why none.

    Args:
        url: of the request, without a scheme it is of http; or an endpoint of a site.
        path: of the settings file.
        text: what was read from it, and is to be run; None to read it.

    Raises:
        LuisitoError: that is no URL, or the settings are wrong.
    """
    asked = _asked(url)
    who = whom(None)
    problem = unreadable(path, Eyes(who.starter))
    if problem is not None:
        raise SettingsError(str(problem))
    settings = load(path, text)
    report = Report()
    facts = report.facts
    facts["settings"] = path
    files = site_files(settings, who)
    own = owner(files.owns, settings.listen, asked.where) if asked.scheme in _PLAIN else None
    if own is None and asked.endpoint:
        report.add(_of_nobody(settings, files, asked))
        report.summary = "is no site's alone"
        return report
    host = "any Host" if asked.endpoint else f"Host: {asked.host.decode(errors='replace')}"
    facts["request"] = f"GET {asked.target.decode()} with {host}"
    facts["listen"] = _listen(settings, asked, own)
    if settings.host_header is not None and own is None:
        facts["host_header"] = (
            f"not sent; where one of TRUSTED_PROXIES sends {settings.host_header}, that names the"
            " site in the place of Host"
        )
    try:
        site = _named(asked)
    except BadMessage as error:
        mend = Mend("do", "ask for a URL whose host is a name of letters, digits and hyphens")
        return _refused(report, error.status, Problem("Host", str(error), mend))
    if own is not None:
        site = own.site
    facts["site"] = site
    found = files.directory.explain(site)
    to = found.destination
    if to.path:
        facts["site"], facts["allowed"] = to.site, why(found)
        if own is not None:
            facts["allowed"] = f"by {own.endpoint!r} of its listen, {own.path}"
        if to.status == REDIRECT:
            report.summary = f"is redirected to {to.site} with {REDIRECT}"
            return report
    else:
        verdict = files.folder and Judged("", NO_SITE, files.folder)
        verdict = verdict or judged(files, settings, site)
        if verdict.problem is not None:
            return _refused(report, verdict.status, verdict.problem)
        facts["allowed"] = verdict.why
    return _follow(report, settings, files, who, asked, to)


def _follow(
    report: Report,
    settings: Settings,
    files: SiteFiles,
    who: Whom,
    asked: _Asked,
    to: Destination,
) -> Report:
    """Goes on to the server, from what a host or an endpoint stands for."""
    facts = report.facts
    if to.mounts is not None:
        try:
            mounted = to.mounts.find(asked.target)
        except BadMessage as error:
            mend = Mend("do", "ask for the path that is meant, without '..'")
            return _refused(report, error.status, Problem("path", str(error), mend))
        if mounted is not None:
            mount, target = mounted
            to, facts["site"] = mount.to, mount.to.site
            facts["mount"] = f"{mount.path.decode()}: its server is asked for {target.decode()}"
    if to.closed is not None:
        report.summary = f"is answered {to.status}: {to.site} is down for maintenance"
        return report
    site = to.site
    config = files.config_of(site, configured(settings, who))
    planned = plan(settings, config, site, who, to.path)
    facts["folder"] = planned.folder
    if planned.problem is not None:
        status = _START_FAILED if planned.is_site or to.path else NO_SITE
        return _refused(report, status, planned.problem)
    if planned.user is not None and planned.rendered is not None:
        facts["user"] = f"{described(planned.user)}: {planned.why}"
        facts["way_in"] = planned.way_in
        facts["command"] = planned.rendered.argv
    report.summary = f"reaches {site}"
    return report


def _asked(url: str) -> _Asked:
    """What a client makes of a URL (RFC 9110 section 4.2), or of an endpoint."""
    if url.startswith(_KINDS):
        where = Where.of(url)
        if where is None:
            raise LuisitoError(
                f"{url!r}: is no endpoint; write unix:/run/shop.sock or"
                " tcp:8001:interface=127.0.0.1"
            )
        return _Asked("http", where.port or 0, b"", b"/", where, url)
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise LuisitoError(
            f"{url!r}: is no URL ({error}); write http://a.localhost:8080/"
        ) from None
    if parts.scheme not in _PORTS:
        raise LuisitoError(
            f"{url!r}: {parts.scheme}: is not served here; write http:// or https://"
        )
    host = parts.netloc.rpartition("@")[2]
    if not host:
        raise LuisitoError(f"{url!r}: names no host; write http://a.localhost:8080/")
    try:
        sent = host.encode("ascii")
    except UnicodeEncodeError:
        sent = _a_labels(host)
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    port = port or _PORTS[parts.scheme]
    where = asked_of(parts.hostname or "", port)
    return _Asked(parts.scheme, port, sent, target.encode(), where)


def _named(asked: _Asked) -> str:
    """The site that Host names; "" where none was asked for.

    Raises:
        BadMessage: such a request is refused.
    """
    if asked.endpoint:
        return ""
    request_line(b"GET %s HTTP/1.1" % asked.target)
    return request_fields(b"\r\nHost: %s\r\n" % asked.host).site


def _a_labels(host: str) -> bytes:
    """A host with other letters than ASCII, as browsers send it (RFC 5890)."""
    name, colon, port = host.partition(":")
    try:
        return name.encode("idna") + f"{colon}{port}".encode()
    except UnicodeError:
        return host.encode()  # which is refused, as it would be


def _listen(settings: Settings, asked: _Asked, own: Own | None) -> str:
    """Which of LISTEN takes the request, or which endpoint of a site."""
    if own is not None:
        return f"{own.endpoint}, where all is for {own.site}, whatever Host says"
    takes = [each for each in settings.listen if place(each).port == asked.port]
    if takes and asked.scheme in _PLAIN:
        return " ".join(takes)
    missing = "ends no TLS" if takes else f"listens on port {asked.port}"
    nobody = "Luisito" if takes else "none of LISTEN"
    return (
        f"{nobody} {missing}: a proxy in front has to pass it on to {' or '.join(settings.listen)}"
    )


def _of_nobody(settings: Settings, files: SiteFiles, asked: _Asked) -> Problem:
    """Why all that comes in at an endpoint is not for one site."""
    for one in settings.listen:
        where = Where.of(one)
        if where is not None and where.meets(asked.where):
            mend = Mend("do", "ask for the URL of a site")
            return Problem(asked.endpoint, "is of LISTEN, so that Host names the site", mend)
    several = [own for own in files.owns if own.where.meets(asked.where)]
    if several:
        what = "could be " + " or ".join(f"{own.endpoint} of {own.site}" for own in several)
        return Problem(asked.endpoint, what, Mend("do", "ask for one of them"))
    mend = Mend("do", "write it into the file of its site, as listen")
    return Problem(asked.endpoint, "is in no site file, nor in LISTEN", mend)


def _refused(report: Report, status: int, problem: Problem) -> Report:
    report.add(problem)
    report.summary = f"refused with {status}"
    return report
