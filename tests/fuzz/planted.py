"""Bugs to be found: one for each target, so that it is known to see what it is there for."""

import os
import re
from collections.abc import Callable

CHOSEN = os.environ.get("LUISITO_FUZZ_PLANTED", "")


def _put(owner: object, name: str, value: object) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more: plant another bug"
    setattr(owner, name, value)


def _request_head() -> None:
    """A name with underscores, which a CGI-like app server takes for ours, goes on."""
    from luisito.core import request

    _put(request, "_collides", lambda name: False)


def _request_body() -> None:
    """White space may follow a chunk's size."""
    from luisito.core import body

    lax = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[!-~\x80-\xff]*+)?\r\n")
    _put(body, "_size_line", lax.fullmatch)


def _response() -> None:
    """304 is taken for a status that has a body."""
    from luisito.core import response

    _put(response, "_BODILESS", frozenset([204]))


def _proxy() -> None:
    """An answer that breaks off is taken for whole."""
    from luisito.proxy.upstream import Upstream

    lost = Upstream.lost

    def taken_for_whole(self: Upstream, error: OSError | None) -> None:
        if self.client is not None and self._left is not None and self._left > 0:
            self._keep = False
            self._complete(self.client, b"", self._gateway.clock())
        else:
            lost(self, error)

    _put(Upstream, "lost", taken_for_whole)


def _wire() -> None:
    """True is a number."""
    from luisito.core import codec

    assert int in codec._CHECKS
    codec._CHECKS[int] = lambda value: isinstance(value, int)


def _host() -> None:
    """What some resolvers take for an address is a name."""
    from luisito.core import host

    _put(host, "_NUMERIC", re.compile(r"(?!)"))


def _template() -> None:
    """A word that has been put in is looked at again."""
    from luisito.core.template import Template

    render = Template.render

    def twice(self: Template, values: dict[str, str]) -> list[str]:
        return render(Template(render(self, values)), values)

    _put(Template, "render", twice)


def _forwarded() -> None:
    """A quote that is left open swallows what is added."""
    from luisito.core import forwarded

    _put(forwarded, "_forwarded", re.compile(rb"[^ ]+").fullmatch)


def _access() -> None:
    """A backslash stands for itself."""
    from luisito.core import access

    _put(access, "_plain", re.compile(rb"[ !#-~]*+").fullmatch)


PLANTS: dict[str, Callable[[], None]] = {
    "request_head": _request_head,
    "request_body": _request_body,
    "response": _response,
    "proxy": _proxy,
    "wire": _wire,
    "host": _host,
    "template": _template,
    "forwarded": _forwarded,
    "access": _access,
}


def plant() -> None:
    """Puts in the one that LUISITO_FUZZ_PLANTED names, if it names one."""
    if CHOSEN:
        PLANTS[CHOSEN]()
