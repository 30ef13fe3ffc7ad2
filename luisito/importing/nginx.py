"""nginx's server blocks: which hosts they have, and to which program they pass them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from luisito.core.host import normalize
from luisito.errors import BadHost
from luisito.importing.found import Front, address
from luisito.importing.units_of import nginx_bytes, nginx_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.importing.found import Findings
    from luisito.importing.nginx_text import Directive

_PASSES: Final = ("proxy_pass", "uwsgi_pass")
_OTHER_PASSES: Final = ("fastcgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
_REDIRECTS: Final = frozenset({"301", "302", "303", "307", "308"})
_FILES: Final = frozenset({"root", "alias", "try_files", "expires", "autoindex", "internal"})
_ANSWERS: Final = _FILES | {"return", "deny"}
_GUARDS: Final = (
    "auth_basic", "auth_request", "allow", "deny", "satisfy", "limit_req", "limit_conn",
    "valid_referers", "secure_link", "ssl_verify_client",
)  # fmt: skip
_TARGET: Final = re.compile(r"https?://([A-Za-z0-9.-]+)(?::\d+)?(.*)")
_NGINX: Final = "it stays with nginx"
_NOTHING: Final = "nothing to do"


def fronts(directives: list[Directive], found: Findings) -> None:
    """Finds the server blocks of all files.

    Args:
        directives: of all of them, with what they include.
        found: gets the fronts, and notes.
    """
    upstreams = {
        one.args[0]: one for one in _everywhere(directives, "upstream") if len(one.args) == 1
    }
    for server in _everywhere(directives, "server"):
        if server.block is not None:
            _Block(server, upstreams, found).read()


def _everywhere(directives: list[Directive], name: str) -> Iterator[Directive]:
    """Blocks of a name at the top, or in http."""
    for one in directives:
        if one.name == name:
            yield one
        elif one.name == "http" and one.block is not None:
            yield from _everywhere(one.block, name)


class _Block:
    """One server block."""

    def __init__(self, server: Directive, upstreams: dict[str, Directive], found: Findings) -> None:
        self._server, self._upstreams, self._found = server, upstreams, found
        self._front = Front(server.place, [], [])

    def read(self) -> None:
        """Notes what it does."""
        front, server = self._front, self._server
        self._names()
        front.default = any(
            {"default_server", "default"} & set(one.args) for one in server.all("listen")
        )
        passes = list(_passing(server))
        if not passes:
            self._redirect()
            return
        main = min(passes, key=lambda one: _rank(one[0]))
        where, passing = main
        for location, other in passes:
            if other.args != passing.args or other.name != passing.name:
                what = f"{location}: {other}" if location else str(other)
                why = "a site has one server, and this is another one's"
                self._found.lost(other.place, what, why, "leave that location as it is in nginx")
        self._pass(where, passing)
        if front.address is not None:
            self._values(where)
            self._guards()
            self._found.fronts.append(front)

    def _names(self) -> None:
        for one in self._server.all("server_name"):
            for written in one.args:
                self._name(one, written if written.startswith("~") else written.lower())

    def _name(self, one: Directive, written: str) -> None:
        front = self._front
        if written in ("_", "", '""', "$hostname", "localhost"):
            return
        if written.startswith("~"):
            mend = 'write the hosts that it means into hosts, as "*.example.com"'
            self._found.lost(one.place, f"server_name {written}", "is a regular expression", mend)
            return
        star = written.startswith(("*.", "."))
        name = written.removeprefix("*").removeprefix(".")
        try:
            host = normalize(name.encode("idna" if not name.isascii() else "ascii"))
        except (BadHost, UnicodeError):
            host = ""
        if not host or "*" in name:
            mend = "write each of its hosts into aliases"
            self._found.lost(one.place, f"server_name {written}", "is no host or *.host", mend)
            return
        if star and f"*.{host}" not in front.patterns:
            front.patterns.append(f"*.{host}")
        if not written.startswith("*") and host not in front.names:
            front.names.append(host)

    def _pass(self, location: str, passing: Directive) -> None:
        front = self._front
        front.passed, front.directive = passing.place, str(passing)
        if passing.name in _OTHER_PASSES or not passing.args:
            why = "Luisito speaks HTTP to servers"
            self._found.lost(passing.place, str(passing), why, "leave it as it is in nginx")
            return
        scheme, written, path = _split(passing)
        if scheme == "https" or "$" in written:
            why = "is no program on this machine that can be known"
            self._found.lost(passing.place, str(passing), why, "leave it as it is in nginx")
            return
        if path not in ("", "/") or (path == "/" and not _is_root(location)):
            why = "changes the path, which Luisito does not"
            mend = "keep it in nginx: proxy_pass to Luisito with the same path behind it"
            self._found.lost(passing.place, str(passing), why, mend)
        upstream = self._upstreams.get(written)
        if upstream is not None:
            servers = [
                one for one in upstream.all("server") if one.args and "backup" not in one.args
            ]
            for one in servers[1:]:
                why = "a site has one server, and the first of these is taken"
                self._found.lost(one.place, f"upstream {written}: {one}", why, "remove it")
            if not servers:
                self._found.lost(upstream.place, str(upstream), "has no server", "write one")
                return
            passing, written = servers[0], servers[0].args[0]
        elif scheme == "http" and ":" not in written.rpartition("]")[2]:
            written += ":80"
        meant = address(written)
        if meant is None or meant.kind == "far":
            why = "is on another machine, or no address"
            self._found.lost(passing.place, str(passing), why, "leave it as it is in nginx")
            return
        front.address = meant

    def _redirect(self) -> None:
        """A block that passes nothing on: it redirects, or has files."""
        front, server = self._front, self._server
        for one in server.block or ():
            if one.name == "return" and one.args[:1] and one.args[0] in _REDIRECTS:
                target = one.args[-1]
            elif one.name == "rewrite" and one.args[-1:] in (["permanent"], ["redirect"]):
                target = one.args[1] if len(one.args) > 2 else ""
            else:
                continue
            self._redirects(one, target)
            return
        if any(
            one.name in ("location", "root", *_OTHER_PASSES) and _serves(one)
            for one in server.block or ()
        ):
            name = " ".join(front.names) or "server"
            self._found.kept(server.place, name, "has files, and no program", _NOTHING)

    def _redirects(self, one: Directive, target: str) -> None:
        front = self._front
        match = _TARGET.fullmatch(target)
        host = match[1].lower() if match is not None else ""
        if match is None or host in front.names:
            if not re.match(r"https?://\$(host|server_name|http_host)", target) and not host:
                self._found.kept(one.place, str(one), _NGINX, _NOTHING)
            return
        rest = match[2]
        whole = rest in ("$request_uri", "$request_uri?", "/$1", "$1", "$uri$is_args$args")
        if not whole or front.patterns or not front.names:
            self._found.kept(one.place, str(one), f"{_NGINX}: it is not the same path", _NOTHING)
            return
        front.target, front.passed, front.directive = host, one.place, str(one)
        self._found.fronts.append(front)

    def _values(self, location: str) -> None:
        """Limits and times that have keys."""
        front = self._front
        inside = [
            self._server,
            *(one for one in _locations(self._server) if _named(one) == location),
        ]
        for block in inside:
            for one in block.block or ():
                if len(one.args) == 1:
                    front.values.update(_value(one.name, one.args[0]))

    def _guards(self) -> None:
        server = self._server
        if any("ssl" in one.args for one in server.all("listen")) or any(server.all("ssl")):
            at = next(iter(server.all("ssl_certificate", "listen")))
            self._found.kept(at.place, "TLS", _NGINX, _NOTHING)
        for one in server.all(*_GUARDS):
            self._found.kept(one.place, str(one), _NGINX, _NOTHING)
        for one in _locations(server):
            passes = any(True for _ in _passing(one)) or _named(one).startswith("@")
            if not passes and {inner.name for inner in one.block or ()} & _ANSWERS:
                self._found.kept(one.place, str(one), _NGINX, _NOTHING)


def _locations(block: Directive) -> Iterator[Directive]:
    for one in block.all("location"):
        yield one
        yield from _locations(one)


def _named(location: Directive) -> str:
    return " ".join(location.args)


def _passing(block: Directive, location: str = "") -> Iterator[tuple[str, Directive]]:
    """Directives that pass requests on, each with its location."""
    for one in block.block or ():
        if one.name in (*_PASSES, *_OTHER_PASSES):
            yield location, one
        elif one.block is not None and one.name in ("location", "if", "limit_except"):
            yield from _passing(one, _named(one) if one.name == "location" else location)


def _is_root(location: str) -> bool:
    return location in ("", "/", "^~ /", "= /")


def _rank(location: str) -> int:
    """How likely the server of a location is that of the site."""
    if location in ("/", "^~ /"):
        return 0
    return 1 if location.startswith("@") else 2


def _split(passing: Directive) -> tuple[str, str, str]:
    """Scheme, address and path of what requests are passed to."""
    written = passing.args[0]
    scheme, found, rest = written.partition("://")
    if not found:
        return ("uwsgi" if passing.name == "uwsgi_pass" else ""), written, ""
    if rest.startswith("unix:"):
        socket, _, path = rest.removeprefix("unix:").partition(":")
        return scheme, f"unix:{socket}", path
    host, slash, path = rest.partition("/")
    return scheme, host, slash + path


def _serves(one: Directive) -> bool:
    return one.block is None or any(inner.name in _FILES for inner in one.block)


def _value(name: str, written: str) -> dict[str, Any]:
    if name == "client_max_body_size":
        size = nginx_bytes(written)
        return {} if size is None else {"max_body_size": size or "none"}
    if name in ("proxy_read_timeout", "uwsgi_read_timeout"):
        seconds = nginx_seconds(written)
        return {} if not seconds else {"response_timeout": seconds}
    return {}
