"""Metrics in the words of Prometheus, a piece at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from luisito.control.metrics.families import FAMILIES
from luisito.core.tally import COARSE, cumulated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from luisito.control.metrics.families import Family
    from luisito.control.metrics.found import Found, Value

# So many are composed at a time, which takes about a millisecond.
_SAMPLES: Final = 200
_EOF: Final = b"# EOF\n"  # of OpenMetrics
_LE: Final = [floatToGoString(bound) for bound in COARSE]


class _One:
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        return [self._metric]


def written(found: Found, accepts: str) -> tuple[str, Iterator[bytes]]:
    """All metrics.

    Args:
        found: what they are now; it is read as the pieces are.
        accepts: the field Accept of who asks: the text format, or OpenMetrics.

    Returns:
        The Content-Type, and the text in pieces, which may be empty.
    """
    encode, kind = choose_encoder(accepts)
    return kind, _pieces(found, encode, openmetrics="openmetrics" in kind)


def _pieces(found: Found, encode: Callable[..., bytes], *, openmetrics: bool) -> Iterator[bytes]:
    for _ in found.gather():
        yield b""
    for family in FAMILIES:
        samples = _samples(family, found.values(family.name))
        metric = Metric(_family_name(family), family.words, family.kind)
        metric.samples = list(islice(samples, _SAMPLES))
        yield encode(_One(metric)).removesuffix(_EOF)
        while part := list(islice(samples, _SAMPLES)):
            metric.samples = part
            yield _without_head(encode(_One(metric)).removesuffix(_EOF))
    yield encode(ProcessCollector(registry=None)).removesuffix(_EOF)
    if openmetrics:
        yield _EOF


def _family_name(family: Family) -> str:
    return family.name.removesuffix("_total").removesuffix("_info")


def _samples(family: Family, values: Iterable[Value]) -> Iterator[Sample]:
    name = family.name
    for of, value in values:
        labels = dict(zip(family.labels, of, strict=True))
        if not isinstance(value, tuple):
            yield Sample(name, labels, value)
            continue
        counts, total = value
        for bound, (_, count) in zip(_LE, cumulated(counts), strict=True):
            yield Sample(f"{name}_bucket", {**labels, "le": bound}, count)
        times = sum(counts)
        yield Sample(f"{name}_bucket", {**labels, "le": "+Inf"}, times)
        yield Sample(f"{name}_count", labels, times)
        yield Sample(f"{name}_sum", labels, total)


def _without_head(text: bytes) -> bytes:
    """What goes on with a metric whose name and meaning stand before it."""
    while text.startswith(b"#"):
        text = text.partition(b"\n")[2]
    return text
