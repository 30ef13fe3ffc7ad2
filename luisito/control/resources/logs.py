"""The output of a site's servers, as its log has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from luisito.control.answers import answer, refuse
from luisito.control.routes import Route
from luisito.core.keys import file_of
from luisito.core.sitelog import told
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest
    from luisito.control.named import Named
    from luisito.pool import Pool

_LINES: Final = 100  # where nobody says how many
_MOST: Final = 10_000
_number = re.compile(rb"[0-9]{1,18}").fullmatch
_inode = re.compile(rb"[0-9]{1,20}").fullmatch


class SiteOutput:
    """GET /sites/SITE/log.

    Args:
        named: which site is meant.
        pool: asks for it.
        folder: OUTPUT_LOG_DIR; None where there are no such files.
    """

    def __init__(self, named: Named, pool: Pool, folder: str | None) -> None:
        self._named, self._pool, self._folder = named, pool, folder

    def routes(self) -> list[Route]:
        """The resources."""
        return [Route("GET", "/sites/SITE/log", self._tell, for_all=True)]

    async def _tell(self, request: ControlRequest, host: str) -> None:
        site = await self._named.find(request, host)
        if site is None:
            return
        try:
            count, after = _asked(request, b"lines"), _asked(request, b"after")
            file = _asked_file(request)
        except ValueError as error:
            refuse(request, 400, str(error))
            return
        if self._folder is None:
            # Of a server that lives its last words are known.
            lines = self._pool.last_words(site).splitlines()
            answer(request, 200, {"lines": lines, "offset": None, "file": None, "path": None})
            return
        try:
            tail = await self._pool.tail(site, after, file)
        except (OSError, LuisitoError) as error:
            refuse(request, 503, str(error))
            return
        most = min(_MOST, _LINES if count is None else count)
        found, offset = told(tail.data, tail.end, after, most, over=tail.over)
        path = f"{self._folder}/{file_of(site)}.log"
        of = tail.file or None
        answer(request, 200, {"lines": found, "offset": offset, "file": of, "path": path})


def _asked(request: ControlRequest, name: bytes) -> int | None:
    values = (request.args or {}).get(name)
    if not values:
        return None
    if not _number(values[-1]):
        raise ValueError(f"{name.decode()}: it is no number; write {name.decode()}=100")
    return int(values[-1])


def _asked_file(request: ControlRequest) -> str:
    """Which file an offset is of: a string, as what reads JSON may know no number as large."""
    file: bytes = (request.args or {}).get(b"file", [b""])[-1]
    if file and not _inode(file):
        raise ValueError("file: it is none that was told before; leave it out")
    return file.decode("ascii")
