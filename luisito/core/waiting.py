"""The page that a browser is shown while its site wakes, and which requests are a browser's."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Final

from luisito.core.pages import REASONS, response

STATUS: Final = 503
"""The request is not carried out, and may be repeated in a moment (RFC 9110 section 15.6.4). 202
would say that it was accepted; and what is answered 200 would be kept by search engines."""
_EVERY: Final = 1  # seconds after which the page comes back to its address

_accept = re.compile(rb"(?i)\r\naccept:[ \t]*([^\r]*)").findall
_mode = re.compile(rb"(?i)\r\nsec-fetch-mode:[ \t]*([^\r]*)").findall
# Without what would end the quotes, and without what browsers take for the address of another host.
_own_address = re.compile(rb"/(?![/\\])[!#-\[\]-~]*").fullmatch
_nothing = re.compile(rb"q[ \t]*=[ \t]*0(?:\.0*)?[ \t]*", re.IGNORECASE).fullmatch

_STYLE: Final = (
    "body{font:1.1em/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;"
    "color-scheme:light dark;color:CanvasText;background:Canvas}"
)
_SCRIPT: Final = f"setTimeout(function(){{location.reload()}},{_EVERY * 1000})"
_HTML: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<noscript><meta http-equiv="refresh" content="{every}"></noscript>
<title>{site} is waking up</title>
<style>{style}</style>
<h1>{site} is waking up</h1>
<p role="status">It was not used for a while, and is being started. This page goes there by \
itself.</p>
<script>{script}</script>
</html>
"""


def _hash(text: str) -> str:
    """A source of Content-Security-Policy (CSP3 section 2.3.1) for what stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)};"
    " base-uri 'none'; form-action 'none'"
)


def is_navigation(method: bytes, lines: bytes) -> bool:
    """Whether somebody goes to an address in a browser, rather than a program of any kind.

    Args:
        method: of the request.
        lines: RequestFields.lines.
    """
    if method != b"GET" or any(mode.strip() != b"navigate" for mode in _mode(lines)):
        return False
    for value in _accept(lines):
        for each in value.split(b","):
            kind, *parameters = each.split(b";")
            refused = any(_nothing(one.strip(b" \t")) for one in parameters)
            if kind.strip(b" \t").lower() == b"text/html" and not refused:
                return True
    return False


def own_page(content: bytes, target: bytes, *, close: bool) -> bytes:
    """A whole response with a page of the site's own, as HTML in UTF-8.

    `Refresh`, which all browsers know (HTML section 7.4.6), has it come back to its address
    whatever stands in it, and without scripts. It has to say which one: where the address in the
    browser has a fragment they would only go to that otherwise.

    Args:
        content: of the page.
        target: of the request.
        close: see `page`.
    """
    refresh = f"Refresh: {_EVERY}"
    if _own_address(target):
        refresh += f'; url="{target.decode("ascii")}"'
    fields = [f"Retry-After: {_EVERY}", refresh]
    kind = "text/html; charset=utf-8"
    return response(STATUS, REASONS[STATUS], kind, content, fields, close=close, body=True)


def page(site: str, *, close: bool) -> bytes:
    """A whole response.

    Args:
        site: that wakes.
        close: the connection ends with it.
    """
    text = _HTML.format(site=html.escape(site), every=_EVERY, style=_STYLE, script=_SCRIPT)
    fields = [f"Retry-After: {_EVERY}", f"Content-Security-Policy: {_POLICY}"]
    kind = "text/html; charset=utf-8"
    return response(STATUS, REASONS[STATUS], kind, text.encode(), fields, close=close, body=True)
