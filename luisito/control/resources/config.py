"""What counts for a site, and where it was said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from luisito.control.answers import answer, refuse
from luisito.control.routes import Route
from luisito.core.keeping import Keep
from luisito.core.keys import site_of
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest
    from luisito.control.named import Named
    from luisito.pool import Pins, Pool
    from luisito.process.sitefiles import SiteFiles
    from luisito.settings import Settings

_KEEP: Final = "keep"


class Config:
    """GET /sites/SITE/config.

    Args:
        named: which site is meant.
        pool: asks for what files say.
        pins: which sites are kept whatever these say.
        site_files: None where there are none.
        settings: what is true of all sites.
        file: where those were read.
    """

    def __init__(
        self,
        named: Named,
        pool: Pool,
        pins: Pins,
        site_files: SiteFiles | None,
        settings: Settings,
        file: str,
    ) -> None:
        self._named, self._pool, self._pins, self._files = named, pool, pins, site_files
        self._settings, self._file = settings, file

    def routes(self) -> list[Route]:
        """The resources."""
        return [Route("GET", "/sites/SITE/config", self._tell, for_all=True)]

    async def _tell(self, request: ControlRequest, host: str) -> None:
        site = await self._named.find(request, host)
        if site is None:
            return
        try:
            values = await self._values(site)
        except LuisitoError as error:
            refuse(request, 409, str(error))
            return
        if site in self._pins:
            values = [one for one in values if one["name"] != _KEEP]
            values.append({"name": _KEEP, "value": Keep.PINNED.value, "from": "luisito pin"})
        answer(request, 200, {"site": site, "values": values})

    async def _values(self, site: str) -> list[dict[str, Any]]:
        if self._has_file(site):
            found: list[dict[str, Any]] = json.loads(await self._pool.config(site))
            return found
        # What reads site files takes memory, and is nothing that this process needs else.
        from luisito.settings.sites.effective import of_settings

        return [one.told() for one in of_settings(self._settings, self._file)]

    def _has_file(self, site: str) -> bool:
        files = self._files
        if files is None:
            return False
        return site in files.by_key or files.wrong_of(site_of(site)) is not None
