"""How requests of the control socket are answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest


def begin(request: ControlRequest, status: int, kind: str = "application/json") -> None:
    """Begins an answer; its body is for `request.write`, its end for `request.finish`."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", kind.encode())


def answer(request: ControlRequest, status: int, value: object) -> None:
    """Answers with a value as JSON, if anybody still waits for it."""
    if request.gone:
        return
    body = json.dumps(value).encode() + b"\n"
    begin(request, status)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def refuse(request: ControlRequest, status: int, why: str, **more: object) -> None:
    """Answers with an error in words, and what more there is to know of it."""
    answer(request, status, {"error": why, **more})


def deny(request: ControlRequest) -> None:
    """Answers whoever may not: the same whatever it was, so that nobody learns what there is."""
    who = "only an operator may, or the user that the site's server runs as"
    refuse(request, 403, f"{who}; ask as root, or as the user who started Luisito")
