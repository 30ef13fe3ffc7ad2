"""The page's files, served from memory, with a tag for each, and packed for whoever can unpack."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import TYPE_CHECKING, Final

import attrs

import luisito.control

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest

_FOLDER: Final = os.path.join(os.path.dirname(luisito.control.__file__), "page")
_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}


@attrs.frozen
class File:
    """One of them."""

    kind: bytes
    body: bytes
    packed: bytes
    tag: bytes

    def answer(self, request: ControlRequest) -> None:
        """Sends it, or that it is still the same (RFC 9110 section 13.1.2)."""
        head = request.setHeader
        packed = b"gzip" in (request.getHeader(b"accept-encoding") or b"")
        tag = b'"%s%s"' % (self.tag, b"-gzip" if packed else b"")
        head(b"ETag", tag)
        head(b"Cache-Control", b"no-cache")
        head(b"Vary", b"Accept-Encoding")
        head(b"Content-Type", self.kind)
        if tag in (request.getHeader(b"if-none-match") or b""):
            request.setResponseCode(304)
            request.finish()
            return
        body = self.packed if packed else self.body
        if packed:
            head(b"Content-Encoding", b"gzip")
        head(b"Content-Length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()


def files() -> dict[bytes, File]:
    """Reads all, by their paths; `index.html` is that of `/`."""
    found: dict[bytes, File] = {}
    for name in sorted(os.listdir(_FOLDER)):
        kind = _TYPES.get(os.path.splitext(name)[1])
        if kind is None:
            continue
        with open(os.path.join(_FOLDER, name), "rb") as file:
            body = file.read()
        path = "/" if name == "index.html" else f"/page/{name}"
        tag = hashlib.sha256(body).hexdigest()[:16].encode()
        found[path.encode()] = File(kind, body, gzip.compress(body, mtime=0), tag)
    return found
