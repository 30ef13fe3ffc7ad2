"""One line of the access log for each request, in JSON or in a form of one's own."""

from __future__ import annotations

import difflib
import re
import string
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from luisito.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable

Entry = tuple[bytes, Any, Any, int, int, int, float, float, Any]
"""What a line is made of:

- when the request ended, ISO 8601;
- who asked, for which site: `Form.who`;
- what was asked for: `Form.asked`;
- status of the answer; 0 where none was sent;
- bytes received of the request, head and body;
- bytes sent of the answer, head and body;
- seconds until the first byte of the answer; 0 where none came;
- seconds until the end;
- how it ended: `Form.how`.
"""


class Ending(NamedTuple):
    """How a request was served; see Form.how."""

    start: bytes
    queued: float
    starting: float
    end: bytes
    reason: bytes


class Form(Protocol):
    """How lines are written; what requests have in common is composed once for all of them.

    Attributes:
        nothing: `asked`, of a head that cannot be read.
        at_once: `how`, of nearly all requests: at once, by a server that was awake.
        of_agents: `who` wants the header lines.
    """

    nothing: Any
    at_once: Any
    of_agents: bool

    @property
    def line(self) -> Callable[[Entry], bytes]:
        """The line of an entry, with its newline."""

    def who(self, client: bytes, site: bytes, lines: bytes) -> Any:  # noqa: ANN401 - the form's own
        """What all requests with the same header lines of a connection share.

        Args:
            client: address of the client.
            site: key of the site, or empty.
            lines: the header lines, each ended by CRLF; empty unless `of_agents`.
        """

    def asked(self, method: bytes, target: bytes, minor: int) -> Any:  # noqa: ANN401 - as above
        """What was asked for.

        Args:
            method: of the request.
            target: of the request, as `request_line` has let it pass; its query is left out,
                since tokens travel there.
            minor: the version is HTTP/1.minor.
        """

    def how(
        self, start: bytes, queued: float, starting: float, end: bytes, reason: bytes = b""
    ) -> Any:  # noqa: ANN401 - as above
        """How a request was served.

        Args:
            start: b"warm" or b"cold", or b"" where no server was asked for.
            queued: seconds in which it waited for a place in the pool.
            starting: seconds in which it waited for its server to be ready.
            end: b"" for a whole answer, else why there is none.
            reason: why Luisito treated it otherwise than most, in a word; or b"".
        """

    def site(self, who: Any) -> bytes:  # noqa: ANN401 - as above
        """The key of the site that `who` was made with."""

    def ending(self, how: Any) -> Ending:  # noqa: ANN401 - as above
        """What `how` was made with."""


def form(text: str) -> Form:
    """The form that a person names, or writes.

    Args:
        text: "json", "combined", or words with {names} of FIELDS in them.

    Raises:
        TemplateError: it is none; the message says what it must be.
    """
    if text == "json":
        return Json()
    return Written(COMBINED if text == "combined" else text)


# ---------------------------------------------------------------------------- JSON

_plain = re.compile(rb"[ !#-\[\]-~]*+").fullmatch
# Bytes are looked up one by one: a long target of nothing but such bytes would take ten times as
# long with a function called for each.
_json: Final = tuple(
    bytes([byte]) if _plain(bytes([byte])) else b"\\u%04x" % byte for byte in range(256)
).__getitem__


def escaped(value: bytes) -> bytes:
    r"""`value` as the inside of a JSON string; bytes that are not printable ASCII as \u00XX."""
    if _plain(value):
        return value
    return b"".join(map(_json, value))


class Json:
    """One object a line; its parts are composed as bytes, so that a line costs no frame."""

    line = staticmethod(
        b'{"time":"%b%b%b","status":%d,"in":%d,"out":%d,"first_byte":%.6f,"total":%.6f,%b'.__mod__
    )
    of_agents = False

    def __init__(self) -> None:
        self.nothing = self.asked(b"", b"", 1)
        self.at_once = self.how(b"warm", 0.0, 0.0, b"")

    def who(self, client: bytes, site: bytes, lines: bytes) -> bytes:
        """See Form."""
        del lines
        return b'","client":"%s","site":"%s","method":"' % (escaped(client), site)

    def asked(self, method: bytes, target: bytes, minor: int) -> bytes:
        """See Form."""
        del minor
        target = _without_query(target)
        # of what stands in a valid target, JSON minds only these
        if not target.isascii() or target.find(b"\\") >= 0:
            target = escaped(target)
        return b'%s","target":"%s' % (method, target)

    def how(
        self, start: bytes, queued: float, starting: float, end: bytes, reason: bytes = b""
    ) -> bytes:
        """See Form."""
        return b'"start":"%s","queued":%.6f,"starting":%.6f,"end":"%s","reason":"%s"}\n' % (
            start, queued, starting, escaped(end), reason,
        )  # fmt: skip

    def site(self, who: bytes) -> bytes:
        """See Form."""
        return who.rsplit(b'"', 5)[1]

    def ending(self, how: bytes) -> Ending:
        """See Form."""
        parts = how.split(b'"')
        queued, starting = parts[6][1:-1], parts[8][1:-1]
        return Ending(parts[3], float(queued), float(starting), parts[11], parts[15])


def _without_query(target: bytes) -> bytes:
    query = target.find(b"?")
    return target if query < 0 else target[:query]


# ---------------------------------------------------------------------------- forms of one's own

COMBINED: Final = (
    '{client} - - [{clf_time}] "{method} {target} {protocol}" {status} {out} "{referer}" "{agent}"'
)
"""The combined log format of Apache and nginx; its size counts the head of the answer too."""

_FORMATS: Final = {
    "time": "b", "client": "b", "site": "b", "referer": "b", "agent": "b", "method": "b",
    "target": "b", "protocol": "b", "status": "03d", "in": "d", "out": "d", "first_byte": ".6f",
    "total": ".6f", "start": "b", "queued": ".6f", "starting": ".6f", "end": "b", "reason": "b",
    "clf_time": "b",
}  # fmt: skip
FIELDS: Final = tuple(_FORMATS)
"""The names that a form may have; those of `Entry` in its order, and the time as Apache has it."""
_BYTES: Final = tuple(name.encode() for name in FIELDS)

_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_quoted: Final = tuple(
    bytes([byte]) if _plain(bytes([byte])) else b"\\x%02X" % byte for byte in range(256)
).__getitem__
_header: Final = {
    name: re.compile(rb"(?im)^%b:[ \t]*([^\r\n]*)" % name) for name in (b"referer", b"user-agent")
}


class Written:
    r"""A line as somebody wrote it, with {names} in it.

    What could end a field or a line is written as nginx does it, \xXX, and what is empty as -.

    Raises:
        TemplateError: a name is unknown, or a brace is left alone.
    """

    def __init__(self, text: str) -> None:
        parts = []
        used = set()
        try:
            for words, name, spec, conversion in string.Formatter().parse(text):
                parts.append(words.replace("%", "%%"))
                if name is None:
                    continue
                if name not in _FORMATS or spec or conversion:
                    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.0)[0]
                    raise TemplateError(
                        f"must have no field but {', '.join(FIELDS)}; {{{name}}} is none, the"
                        f" nearest is {{{near}}}"
                    )
                used.add(name)
                parts.append(f"%({name}){_FORMATS[name]}")
        except ValueError as error:
            raise TemplateError(
                f"must have its fields in braces, like {{site}}, and a brace itself as {{{{ or"
                f" }}}}: {error}"
            ) from None
        format_ = "".join(parts)
        if not format_.isprintable():
            raise TemplateError("must be one line of printable characters")
        self._format = format_.encode() + b"\n"
        self.of_agents = not used.isdisjoint(("referer", "agent"))
        self._dated: tuple[bytes, bytes] = (b"", b"")
        self.nothing = (b"-", b"-", b"-")
        self.at_once = self.how(b"warm", 0.0, 0.0, b"")

    def who(self, client: bytes, site: bytes, lines: bytes) -> tuple[bytes, ...]:
        """See Form."""
        referer, agent = (
            match[1] if (match := pattern.search(lines)) is not None else b""
            for pattern in _header.values()
        )
        return tuple(map(_written, (client, site, _without_query(referer), agent)))

    def asked(self, method: bytes, target: bytes, minor: int) -> tuple[bytes, ...]:
        """See Form."""
        return method, _written(_without_query(target)), b"HTTP/1.%d" % minor

    def how(
        self, start: bytes, queued: float, starting: float, end: bytes, reason: bytes = b""
    ) -> tuple[bytes, float, float, bytes, bytes]:
        """See Form."""
        return start or b"-", queued, starting, _written(end), reason or b"-"

    def site(self, who: tuple[bytes, ...]) -> bytes:
        """See Form."""
        return _read(who[1])

    def ending(self, how: tuple[bytes, float, float, bytes, bytes]) -> Ending:
        """See Form."""
        start, queued, starting, end, reason = how
        return Ending(_read(start), queued, starting, _read(end), _read(reason))

    def line(self, entry: Entry) -> bytes:
        """See Form."""
        time, who, asked, status, received, sent, first_byte, total, how = entry
        if self._dated[0] != time:
            self._dated = time, _clf(time)
        flat = (
            time, *who, *asked, status, received, sent, first_byte, total, *how, self._dated[1],
        )  # fmt: skip
        return self._format % dict(zip(_BYTES, flat, strict=True))


def _written(value: bytes) -> bytes:
    if not value:
        return b"-"
    return value if _plain(value) else b"".join(map(_quoted, value))


def _read(written: bytes) -> bytes:
    return b"" if written == b"-" else written


def _clf(time: bytes) -> bytes:
    """An ISO 8601 time in UTC as Apache writes it (strftime's %d/%b/%Y:%H:%M:%S %z)."""
    year, month, day = time[:10].split(b"-")
    return b"%b/%b/%b:%b +0000" % (day, _MONTHS[int(month) - 1], year, time[11:19])
