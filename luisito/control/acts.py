"""What operators, and users with their own sites, have done to a site."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from luisito.control.roles import called
from luisito.control.waking import Woken
from luisito.core.keeping import Keep
from luisito.core.keys import site_of
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from luisito.pool import KeptSites, Pins, Pool, Refused
    from luisito.process.sitefiles import SiteFiles
    from luisito.proxy.gateway import Gateway

_MOST: Final = 1000  # sites whose last start is remembered that did not come

CLOSED: Final = "it is down for maintenance: take maintenance out of its site file"


class CannotError(LuisitoError):
    """It cannot be done as things are; the message says why."""


class Acts:
    """Each says in words what it has begun, or why it cannot be.

    Args:
        pool: is acted upon.
        gateway: wakes sites.
        site_files: are read again; None where there are none.
        kept_sites: how sites are kept.
        pins: which are pinned.

    Attributes:
        ordered: sites whose start was asked for, and that have no server yet, by their keys.
        not_started: why the last start that was asked for came to nothing, likewise.
    """

    _log = Logger()

    def __init__(
        self,
        pool: Pool,
        gateway: Gateway,
        site_files: SiteFiles | None,
        kept_sites: KeptSites,
        pins: Pins,
    ) -> None:
        self._pool, self._gateway, self._files = pool, gateway, site_files
        self._kept, self._pins = kept_sites, pins
        self.ordered: set[str] = set()
        self.not_started: dict[str, str] = {}

    def start(self, site: str, uid: int) -> str:
        """Wakes a site as a request would.

        Raises:
            CannotError: nothing may be started for it.
        """
        policy = self._pool.policy
        if policy.is_closed(site):
            raise CannotError(CLOSED)
        server = policy.server(site)
        rests = server is not None and policy.is_frozen(server)
        if policy.is_awake(site) and not rests:
            return "is awake already"
        if site in self.ordered:
            return self._begun(site)
        if server is None:
            self._pool.retry(site)
        self._log.info("{site}: {who} asks it to start", site=site, who=called(uid))
        self.not_started.pop(site, None)
        self.ordered.add(site)
        self._gateway.request(site, Woken(self._gateway, partial(self._told, site)))
        if site in self.not_started:
            raise CannotError(self.not_started[site])
        return self._begun(site)

    def _begun(self, site: str) -> str:
        has_server = self._pool.policy.server(site) is not None
        return "starts" if has_server else "waits for room to start"

    def _told(self, site: str, refused: Refused | None) -> None:
        self.ordered.discard(site)
        if refused is None:
            return
        if len(self.not_started) >= _MOST:
            del self.not_started[next(iter(self.not_started))]
        self.not_started[site] = refused.detail

    def stop(self, site: str, uid: int) -> str:
        """Lets the servers of a site go when they have nothing in flight."""
        policy = self._pool.policy
        if not any(map(policy.server, policy.keys(site))):
            return "it has no server to stop"
        self._log.info("{site}: {who} asks it to stop", site=site, who=called(uid))
        self._pool.stop(site, f"asked to by {called(uid)}")
        return "it goes when what it has in flight is done"

    def restart(self, site: str, uid: int) -> str:
        """Has others take the place of a site's servers and workers; it starts where it sleeps.

        Raises:
            CannotError: nothing may be started for it.
        """
        policy = self._pool.policy
        if policy.is_closed(site):
            raise CannotError(CLOSED)
        self._log.info("{site}: {who} asks it to restart", site=site, who=called(uid))
        self._pool.restart(site, f"{called(uid)} asks for a restart")
        if not any(map(policy.server, policy.keys(site))):
            return self.start(site, uid)
        return "another server takes its place as soon as that is ready"

    async def reload(self, site: str, uid: int) -> str:
        """Reads the file of a site again; the others are looked at, too.

        Raises:
            CannotError: it cannot be read, or is wrong; the site stays as it was.
        """
        files, name = self._files, site_of(site)
        self._log.info("{site}: {who} asks to have its file read", site=site, who=called(uid))
        if files is None:
            return "there are no site files, as SITES_DIR is not set"
        before = files.records.get(name)
        await files.looked()
        now = files.records.get(name)
        if files.failed:
            raise CannotError(f"{files.failed}; all sites stay as they were")
        why = files.wrong_of(name)
        if why is not None:
            then = "is not served" if now is None else "is served as its file was before"
            raise CannotError(f"{why} ({name} {then})")
        if now is None:
            return "it has no site file" if before is None else "its site file has gone"
        if before is now:
            return "its site file has not changed"
        if before is not None and before["digest"] == now["digest"]:
            return "its site file has changed, and counts; its server may stay"
        return "its site file has changed, and counts: another server takes the old one's place"

    async def pin(self, site: str, uid: int) -> str:
        """Keeps a site awake from now on, and starts it where it sleeps.

        Raises:
            CannotError: there is no room for it.
        """
        try:
            written = self._pins.pin(site)
        except ValueError as error:
            raise CannotError(str(error)) from None
        self._log.info("{site}: {who} pins it", site=site, who=called(uid))
        policy, words = self._pool.policy, "pinned"
        if not policy.is_closed(site) and not any(map(policy.server, policy.keys(site))):
            try:
                words += f"; it {self.start(site, uid)}"
            except CannotError as error:
                words += f"; it does not start: {error}"
        why = await written
        return f"{words}; {why}" if why else words

    async def unpin(self, site: str, uid: int) -> str:
        """Keeps a site as its file says again."""
        words = "not pinned any more"
        if site in self._pins:
            self._log.info("{site}: {who} unpins it", site=site, who=called(uid))
            why = await self._pins.unpin(site)
            words = f"{words}; {why}" if why else words
        else:
            words = "it was not pinned"
        keep = self._kept[site]
        return (
            words if keep is Keep.DEMAND else f'{words}; its site file says keep = "{keep.value}"'
        )
