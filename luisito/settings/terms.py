"""The terms on which sites are served whose files say nothing, or that have none."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from luisito.core.directory import Destination
from luisito.core.wakerules import Rules

if TYPE_CHECKING:
    from luisito.settings import Settings


def terms(settings: Settings, way: str = "fd") -> Destination:
    """What the settings say.

    Args:
        settings: checked.
        way: of CMD_TPL (core.template.way).
    """
    return Destination(
        way=way,
        tcp=settings.handed_socket == "tcp",
        response_timeout=settings.response_timeout,
        body_timeout=settings.body_timeout,
        upstream_keepalive=settings.upstream_keepalive,
        upstream_max=inf if settings.upstream_max is None else settings.upstream_max,
        max_body_size=settings.max_body_size,
        queue_limit=settings.queue_limit,
        queue_timeout=settings.queue_timeout,
        wake=Rules(settings.wake) if settings.wake else None,
    )
