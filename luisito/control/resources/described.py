"""The description of all resources, for programs: OpenAPI 3.1."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from luisito.control.answers import begin
from luisito.control.routes import Route

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest

NAME: Final = "openapi.json"


def text() -> bytes:
    """The description as it is in our package."""
    return resources.files("luisito.control").joinpath(NAME).read_bytes()


class Described:
    """GET /openapi.json, which everybody may read."""

    def __init__(self) -> None:
        self._text = text()

    def routes(self) -> list[Route]:
        """The resource."""
        return [Route("GET", f"/{NAME}", self._tell, for_all=True)]

    def _tell(self, request: ControlRequest) -> None:
        begin(request, 200)
        request.setHeader(b"Content-Length", b"%d" % len(self._text))
        request.write(self._text)
        request.finish()
