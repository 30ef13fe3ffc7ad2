"""Where requests for a host go: to a site of a file, to one of the template, elsewhere or nowhere.

The hosts of site files come first: exact names, then the pattern with the most labels; then what
ALLOWED_HOSTS lets in, where there is a template; then the site that is the default. Each is found
by one look-up a label, however many sites there are.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from luisito.core.health import ACCEPT
from luisito.core.keys import site_of
from luisito.core.maintenance import STATUS, Closed, closed
from luisito.core.members import each
from luisito.core.mounts import Mount, Mounts
from luisito.core.routing import CANNOT_TELL, NO_SITE, Pattern, Patterns, above_of
from luisito.core.sticky import Sticky
from luisito.core.wakerules import rules_of
from luisito.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luisito.core.routing import Routes
    from luisito.core.wakerules import Rules

    Record = Mapping[str, Any]
    """A public record (settings.sites.records)."""

REDIRECT: Final = 308  # RFC 9110 section 15.4.9: the method stays
BROKEN: Final = 502  # the site's file is wrong, and never was right
_TERMS: Final = (
    "response_timeout", "body_timeout", "upstream_keepalive", "upstream_max", "max_body_size",
    "queue_limit", "queue_timeout", "websocket_timeout",
)  # fmt: skip
_REMEMBERED: Final = 16384
_ANY: Final = Pattern("", True)
_SETTING: Final = "ALLOWED_HOSTS"


@attrs.frozen(eq=False, kw_only=True)
class Destination:
    """Where requests for a host go, and on which terms; times are in seconds.

    Attributes:
        site: the key of the site; the host itself where it is none.
        path: of the site's file; "" without one.
        status: 0 where the site answers, REDIRECT where its canonical host is to be asked, else
            what is answered in its place.
        closed: what is said where the site is down for maintenance, and only there.
        why: it is no site; else "".
        way: "port", "socket" or "fd": how its server is reached.
        tcp: the socket that is handed over is a TCP one.
        response_timeout: see the setting; likewise the others.
        limits: the numbers that the site's file sets, by their keys; None is no limit.
        wake: which requests wake nothing; None where all do.
        waiting_page: browsers are shown a page while the site wakes.
        ready: what shows that its server is ready: core.health.ACCEPT, NOTIFY, or a path.
        mounts: other servers of the site, below paths; None where it has none.
        several: the servers that do the same, of which this is one; None where there is one.
        plain: all requests go to the site's server, and count as use of it.
    """

    site: str = ""
    path: str = ""
    status: int = 0
    closed: Closed | None = None
    why: str = ""
    way: str = "fd"
    tcp: bool = False
    response_timeout: float
    body_timeout: float
    upstream_keepalive: float
    upstream_max: float
    max_body_size: int | None
    queue_limit: int
    queue_timeout: float
    websocket_timeout: float = inf
    limits: Mapping[str, float | None] = attrs.Factory(dict)
    wake: Rules | None = None
    waiting_page: bool = False
    ready: str = ACCEPT
    mounts: Mounts[Destination] | None = None
    several: Several | None = None
    plain: bool = attrs.field(init=False)

    @plain.default
    def _is_plain(self) -> bool:
        more = self.wake, self.mounts, self.several
        return not self.status and all(one is None for one in more)


class Several:
    """Servers of which each answers for all.

    Attributes:
        site: the key of the first one.
        to: where a request for each goes, by their keys.
        sticky: the cookie that leads clients to the same one; None for none.
    """

    __slots__ = ("site", "sticky", "to")

    def __init__(self, site: str, keys: Iterable[str], cookie: str | None) -> None:
        self.site = site
        self.to: dict[str, Destination] = {}
        self.sticky = None if cookie is None else Sticky(cookie, keys)


class Found(NamedTuple):
    """Where requests for a host go, and what decided that.

    Attributes:
        destination: where.
        key: of the site's file by which it has the host, "" for the name of the file; or
            "ALLOWED_HOSTS"; None where the host is no site.
        written: the host or pattern as it was written; "" for the default site, and where a
            function has decided.
        excepted: sites that leave the host out, and what says so, as it was written.
    """

    destination: Destination
    key: str | None
    written: str
    excepted: tuple[tuple[str, str], ...] = ()


class _Claim(NamedTuple):
    """A site that has a host, or hosts.

    Attributes:
        rank: the least one wins: the name of the file.
        key: see Found; likewise the next.
        written: see there.
        entry: of the site.
    """

    rank: str
    key: str
    written: str
    entry: _Entry


def _destinations(
    record: Record, usual: Destination, mounts: Mounts[Destination] | None = None
) -> dict[str, Destination]:
    """The terms of a site or a mount, and of each further server of it, by their keys."""
    first, *further = servers = list(each(record))
    several = None
    if further:
        keys = [one["site"] for one in servers]
        several = Several(keys[0], keys, record.get("sticky"))
    found = {one["site"]: _destination(one, usual, None, several) for one in further}
    found[first["site"]] = _destination(first, usual, mounts, several)
    if several is not None:
        several.to = found
    return found


def _destination(
    record: Record,
    usual: Destination,
    mounts: Mounts[Destination] | None,
    several: Several | None,
) -> Destination:
    limits = dict(record["limits"])
    terms = {key: limits[key] for key in _TERMS if key in limits}
    for key in ("upstream_max", "websocket_timeout"):
        if terms.get(key, 0) is None:
            terms[key] = inf
    handed, wake = record["handed_socket"], record.get("wake")
    down = closed(record.get("maintenance", False))
    return attrs.evolve(
        usual,
        site=record["site"],
        path=record["path"],
        status=0 if down is None else STATUS,
        closed=down,
        way=record["way"],
        tcp=usual.tcp if handed is None else handed == "tcp",
        limits=limits,
        waiting_page=bool(record.get("waiting_page", False)),
        ready=record.get("ready", ACCEPT),
        wake=usual.wake if wake is None else rules_of(wake),
        mounts=mounts,
        several=several,
        **terms,
    )


class _Entry:
    """A site of a file: where its hosts go, and what they are."""

    def __init__(self, record: Record, usual: Destination) -> None:
        self.record = record
        self.by_key: dict[str, Destination] = {}
        mounts = []
        for mount in record.get("mounts", ()):
            self.by_key |= _destinations(mount, usual)
            to = self.by_key[mount["site"]]
            mounts.append(Mount(mount["mounted"], to, strip=mount["strip"]))
        self.by_key |= _destinations(record, usual, Mounts(mounts) if mounts else None)
        self.destination = self.by_key[record["site"]]
        self.moved = attrs.evolve(self.destination, status=REDIRECT, closed=None, mounts=None)
        self.excepted = Patterns()
        for host in record["hosts"]:
            if host.startswith("!"):
                self.excepted.add(host[1:], host)

    def claims(self) -> Iterator[tuple[Pattern, _Claim]]:
        """What it claims."""
        record = self.record
        name = record["site"]
        rank = f"{name}.toml"
        yield Pattern(name, False), _Claim(rank, "", name, self)
        for key in ("aliases", "redirects", "hosts"):
            for host in record[key]:
                if not host.startswith("!"):
                    yield Pattern.parse(host), _Claim(rank, key, host, self)
        if record["default"]:
            yield _ANY, _Claim(rank, "default", "", self)


class Directory:
    """All sites, by their hosts.

    Args:
        routes: the hosts of the template; None where there is none.
        usual: the terms where a file says nothing.
        files: there may be site files, for what is said of a host that is no site.

    Attributes:
        usual: see there.
        known: where hosts go that were looked up lately and are sites, or may be as far as the
            function knows that ALLOWED_HOSTS is. It is cleared when something changes, and when
            it is full, and stays the same object.
    """

    def __init__(self, routes: Routes | None, usual: Destination, *, files: bool = False) -> None:
        self._routes, self.usual = routes, usual
        self._see = " and ".join(
            name for name, has in (("SITES_DIR", files), (_SETTING, routes is not None)) if has
        )
        self.known: dict[str, Destination] = {}
        self._entries: dict[str, _Entry] = {}
        # Several sites have the same only as long as one of their files is refused for that.
        self._claims: dict[Pattern, list[_Claim]] = {}
        self._broken: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many sites have a file."""
        return len(self._entries)

    # -- changes

    def change(self, records: Iterable[Record], gone: Iterable[str] = ()) -> None:
        """Takes sites that are new or other than they were, and forgets those that are no more.

        Args:
            records: public records; of hosts that two of them claim, the one whose file has the
                lesser name has them.
            gone: names of sites.
        """
        self.known.clear()
        for name in gone:
            self._remove(name)
        for record in records:
            self._remove(record["site"])
            self._entries[record["site"]] = entry = _Entry(record, self.usual)
            for pattern, claim in entry.claims():
                claims = self._claims.setdefault(pattern, [])
                if all(other.entry is not entry for other in claims):
                    claims.append(claim)
                    claims.sort(key=lambda other: other.rank)

    def withhold(self, names: Iterable[str]) -> None:
        """Takes the names of all files that are wrong and have no good version.

        Their hosts are not the template's, nor the default site's: those might run as others.
        """
        broken = frozenset(names)
        if broken != self._broken:
            self._broken = broken
            self.known.clear()

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        for pattern, _ in entry.claims():
            left = [claim for claim in self._claims.get(pattern, ()) if claim.entry is not entry]
            if left:
                self._claims[pattern] = left
            else:
                self._claims.pop(pattern, None)

    # -- look-ups

    def of(self, site: str) -> Destination | None:
        """The terms of a site that has a file, or of a mount, by its key; None for any other.

        The key may be that of a further server of either.
        """
        entry = self._entries.get(site) or self._entries.get(site_of(site))
        return None if entry is None else entry.by_key.get(site)

    def find(self, host: str) -> Destination:
        """Where requests for a host go, given as `normalize` returns it; `known` may tell at once.

        Where the function that ALLOWED_HOSTS is has failed, the status is CANNOT_TELL.
        """
        if self._is_asked_later(host):
            destination = attrs.evolve(self.usual, site=host)
        else:
            destination = self.explain(host).destination
        if not destination.status:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[host] = destination
        return destination

    def judge(self, host: str) -> Destination:
        """As `find`, of one that was found: where a function says what is a site, it is asked."""
        known = None if self._routes is not None and self._routes.asks else self.known.get(host)
        return self.explain(host).destination if known is None else known

    def _is_asked_later(self, host: str) -> bool:
        """Whether nothing but a function says that a host is a site: it is asked for cold ones."""
        if self._routes is None or not self._routes.asks:
            return False
        return not self._entries or (
            self._claim(host, []) is None and self._open(_ANY, host, []) is None
        )

    def explain(self, host: str) -> Found:
        """As `find`, with what decided it."""
        excepted: list[tuple[str, str]] = []
        claim = self._claim(host, excepted) if self._entries else None
        if claim is None and host in self._broken:
            why = f"the site file of {host} is wrong: see the log, or luisito status"
            return self._nowhere(host, BROKEN, why, excepted)
        if claim is None and self._routes is not None:
            try:
                allowed, pattern, _ = self._routes.explain(host)
            except SettingsError as error:
                return self._nowhere(host, CANNOT_TELL, str(error), excepted)
            if allowed:
                return Found(attrs.evolve(self.usual, site=host), _SETTING, pattern)
        claim = claim or self._open(_ANY, host, excepted)
        if claim is None:
            why = f"{host} is not a site here: see {self._see}"
            return self._nowhere(host, NO_SITE, why, excepted)
        entry = claim.entry
        to = entry.moved if claim.key == "redirects" else entry.destination
        return Found(to, claim.key, claim.written, tuple(excepted))

    def _claim(self, host: str, excepted: list[tuple[str, str]]) -> _Claim | None:
        """The site of a file that has a host, but for the default one."""
        claim = self._open(Pattern(host, False), host, excepted)
        if claim is None:
            for above in above_of(host):
                claim = self._open(Pattern(above, True), host, excepted)
                if claim is not None:
                    break
        return claim

    def _open(self, pattern: Pattern, host: str, excepted: list[tuple[str, str]]) -> _Claim | None:
        """The first claim of a pattern, of a site that does not leave the host out."""
        for claim in self._claims.get(pattern, ()):
            written = None
            if claim.key in ("hosts", "default"):
                written = claim.entry.excepted.find(host)
            if written is None:
                return claim
            excepted.append((claim.entry.destination.site, written))
        return None

    def _nowhere(self, host: str, status: int, why: str, excepted: list[tuple[str, str]]) -> Found:
        to = attrs.evolve(self.usual, site=host, status=status, why=why)
        return Found(to, None, "", tuple(excepted))
