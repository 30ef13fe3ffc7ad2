"""Access logs of nginx, Apache, Luisito and that of 2012: which sites were asked for, and when."""

from __future__ import annotations

import calendar
import gzip
import io
import os
import re
import zlib
from array import array
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.host import normalize
from luisito.errors import BadHost, LuisitoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

_DATE: Final = rb"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"
_JSON: Final = re.compile(rb'\{"time":"([\d-]{10}T[\d:]{8})Z","client":"[^"]*","site":"([^"]*)"')
_COMBINED: Final = re.compile(rb"\S+ - [^\[]*" + _DATE)
_WITH_HOST: Final = re.compile(rb"(\S+) \S+ - [^\[]*" + _DATE)
_NO_SERVER: Final = b'"start":""'  # of Luisito: a redirect, a refusal or an unknown site
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_ENDINGS: Final = re.compile(r"(\.\d+|\.gz|-\d{8})+$")
_NOT_HOST: Final = re.compile(r"^(ssl|access)[-_.]|([-_.](ssl|access|log))+$|^access$")
_GZIP: Final = b"\x1f\x8b"
_FEW: Final = 100  # one line of so many may be something else
_EXPECTED: Final = (
    "expected is nginx's or Apache's combined format, the same with the host before it"
    " (Apache's vhost_combined), or Luisito's JSON"
)
_NO_HOST: Final = (
    "its lines have no host. If they are of one site, give --host HOST, or name the file as its"
    " site: shop.example.access.log. For all sites have the host written: in nginx"
    ' log_format sites \'$host $remote_addr - $remote_user [$time_local] "$request" $status'
    " $body_bytes_sent'; and access_log FILE sites; in Apache CustomLog FILE vhost_combined"
)


class LogError(LuisitoError):
    """A log cannot be used: one line that names the file and the line, and what was expected."""


@dataclass
class Trace:
    """Requests, in the order of their times.

    A request for the same site as the one before, in the same second, is only counted.

    Attributes:
        times: seconds since 1970.
        sites: which one, by its number.
        names: of sites.
        requests: how many there were.
        skipped: lines that told of none.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    sites: array[int] = field(default_factory=lambda: array("L"))
    names: list[str] = field(default_factory=list)
    requests: int = 0
    skipped: int = 0

    @property
    def seconds(self) -> float:
        """From the first request to the last, and a second at least."""
        return max(1.0, self.times[-1] - self.times[0]) if self.times else 1.0

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """When, and for which site by its number."""
        return zip(self.times, self.sites, strict=True)


class _Format(NamedTuple):
    pattern: re.Pattern[bytes]
    at: int  # the group of its time
    host: int  # and of the host; 0 for none
    when: Callable[[bytes], float]


def read(
    paths: Sequence[str], host: str | None = None, told: Callable[[str], None] = lambda _: None
) -> Trace:
    """Read logs, plain ones or gzipped.

    Args:
        paths: of the files; - is the standard input.
        host: the site, where the lines do not tell it.
        told: is called with what is being done.

    Raises:
        LogError: one cannot be read, or is something else.
    """
    reader = _Reader(None if host is None else _host(host.encode()))
    if host is not None and reader.host is None:
        raise LogError(f"--host {host}: no host; write shop.example")
    for path in paths:
        told(f"{path} is read ...")
        try:
            with _opened(path) as file:
                reader.read(path, file)
        except (OSError, EOFError, zlib.error) as error:
            raise LogError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return reader.trace()


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """A file's lines in bytes, whether it is gzipped or not."""
    with ExitStack() as stack:
        raw = stack.enter_context(open(0 if path == "-" else path, "rb", closefd=path != "-"))
        if raw.peek(2)[:2] != _GZIP:
            yield raw
            return
        unzipped = stack.enter_context(gzip.GzipFile(fileobj=raw))
        yield stack.enter_context(io.BufferedReader(unzipped, 1 << 18))


class _Reader:
    """Collects what files tell."""

    def __init__(self, host: str | None) -> None:
        self.host = host
        self._numbers: dict[str, int] = {}
        self._by_word: dict[bytes, int | None] = {}
        self._trace = Trace()
        self._sorted = True

    def read(self, path: str, file: BinaryIO) -> None:
        """Read the lines of a file."""
        form: _Format | None = None
        own: int | None = None
        times, sites, trace = self._trace.times, self._trace.sites, self._trace
        latest = times[-1] if times else 0.0
        last_word, last_at, last_site = b"", 0.0, -1
        wrong, first_wrong, number, match = 0, 0, 0, None
        for number, line in enumerate(file, 1):
            if form is None:
                if line.isspace():
                    continue
                form = _format(path, number, line)
                own = None if form.host else self._own(path, number)
                pattern, at_group, host_group, when = form
            match = pattern.match(line)
            if match is None:
                wrong += 1
                first_wrong = first_wrong or number
                continue
            site = own
            if host_group:
                try:
                    site = self._by_word[match[host_group]]
                except KeyError:
                    site = self._number_of(match[host_group])
            if site is None or (pattern is _JSON and _NO_SERVER in line):
                trace.skipped += 1
                continue
            word = match[at_group]
            if word != last_word:
                try:
                    last_at, last_word = when(word), word
                except ValueError:
                    wrong += 1
                    first_wrong = first_wrong or number
                    continue
                if last_at < latest:
                    self._sorted = False
                latest = last_at
            elif site == last_site:
                trace.requests += 1
                continue
            trace.requests += 1
            last_site = site
            times.append(last_at)
            sites.append(site)
        if wrong > 1 + number // _FEW:
            raise LogError(
                f"{path}:{first_wrong}: this line and {wrong - 1} others are of another format"
                f" than the first one; {_EXPECTED}, the same in all lines"
            )
        trace.skipped += wrong

    def trace(self) -> Trace:
        """What was read, in the order of time."""
        trace = self._trace
        if not self._sorted:
            order = sorted(range(len(trace.times)), key=trace.times.__getitem__)
            trace.times = array("d", (trace.times[one] for one in order))
            trace.sites = array("L", (trace.sites[one] for one in order))
        trace.names = list(self._numbers)
        return trace

    def _own(self, path: str, number: int) -> int:
        """The site of a file whose lines tell none."""
        name = self.host
        if name is None:
            word = _NOT_HOST.sub("", _ENDINGS.sub("", os.path.basename(path)))
            name = _host(_NOT_HOST.sub("", word).encode()) if "." in word else None
        if name is None:
            raise LogError(f"{path}:{number}: {_NO_HOST}")
        return self._numbers.setdefault(name, len(self._numbers))

    def _number_of(self, word: bytes) -> int | None:
        name, number = _host(word), None
        if name is not None:
            number = self._numbers.setdefault(name, len(self._numbers))
        if len(self._by_word) < 1_000_000:
            self._by_word[word] = number
        return number


def _host(word: bytes) -> str | None:
    """The site of a host; of Luisito's, a mount's key goes with its site."""
    try:
        return normalize(word.partition(b"/")[0])
    except BadHost:
        return None


def _format(path: str, number: int, line: bytes) -> _Format:
    for form in (
        _Format(_JSON, 1, 2, _iso),
        _Format(_COMBINED, 1, 0, _clf),
        _Format(_WITH_HOST, 2, 1, _clf),
    ):
        if form.pattern.match(line):
            return form
    shown = line[:60].decode("latin-1").rstrip("\r\n")
    raise LogError(f"{path}:{number}: {shown!r}...: {_EXPECTED}")


def _iso(word: bytes) -> float:
    year, month, day = map(int, word[:10].split(b"-"))
    hour, minute, second = map(int, word[11:].split(b":"))
    return float(calendar.timegm((year, month, day, hour, minute, second)))


def _clf(word: bytes) -> float:
    """A time as in Apache's manual, mod_log_config, %t."""
    day, month, year = int(word[:2]), _MONTHS.index(word[3:6]) + 1, int(word[7:11])
    clock = int(word[12:14]), int(word[15:17]), int(word[18:20])
    offset = int(word[22:24]) * 3600 + int(word[24:26]) * 60
    return float(calendar.timegm((year, month, day, *clock))) - (
        offset if word[21:22] == b"+" else -offset
    )
