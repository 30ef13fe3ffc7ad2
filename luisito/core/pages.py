"""The answers that Luisito gives itself: short pages, as HTML or JSON."""

from __future__ import annotations

import html
import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from luisito.core.wakerules import BARE

if TYPE_CHECKING:
    from collections.abc import Sequence

REASONS: Final = {
    308: "Permanent Redirect",
    400: "Bad Request",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}

_WORDS: Final = {
    308: "The site has another address.",
    400: "The request could not be understood.",
    404: "There is no such site here.",
    408: "The request took too long to arrive.",
    413: "The request is larger than is accepted here.",
    414: "The address of the request is too long.",
    429: "Too many sites were woken from your address. Please try again in a moment.",
    431: "The header of the request is too large.",
    501: "The request asks for something that is not spoken here.",
    502: "The site could not answer.",
    503: "The site is busy. Please try again in a moment.",
    504: "The site did not answer in time.",
    505: "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
}

_HTML: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{status} {reason}</title>
<style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;\
color-scheme:light dark}}pre{{white-space:pre-wrap;overflow-wrap:anywhere}}</style>
<h1>{status} {reason}</h1>
<p>{words}</p>
{detail}</html>
"""


def page(
    status: int,
    *,
    as_json: bool,
    close: bool,
    detail: str = "",
    retry_after: float | None = None,
    body: bool = True,
    location: str | None = None,
    words: str = "",
) -> bytes:
    """A whole response.

    Args:
        status: one of REASONS.
        as_json: the client prefers JSON.
        close: the connection ends with this response.
        detail: what went wrong; only for the eyes of an operator.
        retry_after: seconds; rounded up, at least 1.
        body: False in answer to HEAD.
        location: where to ask instead.
        words: what is said in place of the usual words.
    """
    reason, words = REASONS[status], words or _WORDS[status]
    if as_json:
        content = {"status": status, "error": reason, "message": words}
        if detail:
            content["detail"] = detail
        text, kind = json.dumps(content) + "\n", "application/json"
    else:
        shown = f"<pre>{html.escape(detail)}</pre>\n" if detail else ""
        told = html.escape(words, quote=False)
        text = _HTML.format(status=status, reason=reason, words=told, detail=shown)
        kind = "text/html; charset=utf-8"
    fields = []
    if location is not None:
        fields.append(f"Location: {location}")
    if retry_after is not None:
        fields.append(f"Retry-After: {max(1, math.ceil(retry_after))}")
    content_bytes = text.encode("utf-8", "backslashreplace")
    return response(status, reason, kind, content_bytes, fields, close=close, body=body)


def plain(status: int, text: str, *, close: bool, body: bool = True) -> bytes:
    """A whole response with words that somebody else has chosen.

    Args:
        status: a final one.
        text: its content; "" where the status has none.
        close: see `page`; likewise the next.
        body: see there.
    """
    reason, kind = HTTPStatus(status).phrase, "text/plain; charset=utf-8"
    return response(status, reason, kind, text.encode(), (), close=close, body=body)


def response(
    status: int,
    reason: str,
    kind: str,
    content: bytes,
    fields: Sequence[str],
    *,
    close: bool,
    body: bool,
) -> bytes:
    """A whole response, which is not to be stored.

    Args:
        status: of it.
        reason: its words in the status line.
        kind: media type of its content.
        content: of it.
        fields: more header lines.
        close: see `page`; likewise the next.
        body: see there.
    """
    head = [f"HTTP/1.1 {status} {reason}"]
    if status not in BARE:
        head += [f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    head += ["Cache-Control: no-store", *fields]
    if close:
        head.append("Connection: close")
    return "\r\n".join([*head, "", ""]).encode() + (content if body else b"")
