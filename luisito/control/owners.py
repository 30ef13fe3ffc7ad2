"""Whose a site is while it has no server: by its file, by its folder, or by its last server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core.keys import site_of
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from luisito.control.roles import Roles
    from luisito.core.past import Past
    from luisito.pool import Pool
    from luisito.process.sitefiles import SiteFiles

_OWNER: Final = "owner"


class Owners:
    """Tells the users that the servers of sites would run as.

    Args:
        pool: asks for folders.
        past: knows whom the last servers ran as.
        roles: whom all run as, where that is one user.
        site_files: have users of their own; None where there are none.
        by_folder: where nothing else says it, it is the folder's owner.
    """

    def __init__(
        self,
        pool: Pool,
        past: Past,
        roles: Roles,
        site_files: SiteFiles | None,
        *,
        by_folder: bool,
    ) -> None:
        self._pool, self._past, self._roles = pool, past, roles
        self._files, self._by_folder = site_files, by_folder

    def of(self, site: str) -> int | None:
        """The user of a site, by its key, as far as that is known; None where it is not."""
        said = self._said(site)
        return said if isinstance(said, int) else self._past[site].uid

    async def find(self, site: str) -> int | None:
        """As `of`, but the folder is asked for its owner where that decides it."""
        said = self._said(site)
        if said != _OWNER:
            return said if isinstance(said, int) else None
        if site_of(site) != site:
            return None  # it may have a folder of its own
        try:
            return await self._pool.folder_owner(site)
        except LuisitoError:
            return None

    def _said(self, site: str) -> str | int | None:
        """A uid, "owner" where the folder decides it, or None where nobody says it beforehand."""
        record = None if self._files is None else self._files.by_key.get(site)
        said: str | int | None = None if record is None else record.get("user")
        if said is None:
            said = self._roles.servers_as
        if said is None or said == _OWNER:
            return _OWNER if self._by_folder else None
        return said
