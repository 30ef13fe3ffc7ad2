"""`luisito stats [SITE]`: how often sites are used, how long they live, how fast they answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import add_command, tell
from luisito.commands.common import add_json
from luisito.commands.following import target
from luisito.commands.text import duration, moment, table
from luisito.commands.why import notes
from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from luisito.commands import Subparsers


def _times(value: float | None) -> str:
    """A time that may be short."""
    if value is None:
        return "-"
    return f"{value * 1000:.1f} ms" if value < 0.1 else duration(value)


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


# of each column: its name in --sort, its head, what it shows of a row, and how
_COLUMNS: Final[tuple[tuple[str, str, str, Callable[[Any], str]], ...]] = (
    ("site", "SITE", "site", str),
    ("requests", "REQUESTS", "requests", _count),
    ("a-day", "A DAY", "requests_a_day", _count),
    ("alive", "ALIVE", "alive_seconds", duration),
    ("pool", "IN POOL", "pool_seconds", duration),
    ("p50", "WARM P50", "warm_p50_seconds", _times),
    ("p95", "WARM P95", "warm_p95_seconds", _times),
    ("cold-p50", "COLD P50", "cold_p50_seconds", _times),
    ("cold-p95", "COLD P95", "cold_p95_seconds", _times),
    ("cold", "COLD", "cold_share", _share),
    ("starts", "STARTS", "starts", _count),
    ("evictions", "EVICTED", "evictions", _count),
    ("failures", "FAILED", "failures", _count),
    ("refused", "REFUSED", "refused", _count),
)
_FIELDS: Final = {name: field for name, _, field, _ in _COLUMNS}
_LAST: Final = (("last end", "last_exit"), ("last failure", "last_failure"))
_CLASSES: Final = ("cut off", "1xx", "2xx", "3xx", "4xx", "5xx")


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(
        subparsers,
        "stats",
        "show how sites were used, how long they lived, how fast they were",
        run,
    )
    parser.add_argument("site", nargs="?", metavar="SITE", help="only this one, in words")
    parser.add_argument(
        "--sort",
        choices=list(_FIELDS),
        default="requests",
        metavar="COLUMN",
        help=f"by what sites are ordered, the largest first: {', '.join(_FIELDS)} (requests)",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prints them."""
    if options.site is not None:
        return tell(options, target(options.site, "stats"), _words)
    return tell(options, "/stats", partial(_text, options.sort))


def _text(sort: str, found: dict[str, Any]) -> str:
    field = _FIELDS[sort]
    rows = found["sites"]
    if field != "site":  # by which they are ordered already
        rows = sorted(rows, key=lambda row: -1 if row[field] is None else row[field], reverse=True)
    cells = [[visible(show(row[name])) for _, _, name, show in _COLUMNS] for row in rows]
    heads = [head for _, head, _, _ in _COLUMNS]
    return "\n".join([*notes(found), table(heads, cells, frozenset(heads[1:]))])


def _words(found: dict[str, Any]) -> str:
    row = found["stats"]
    if row is None:
        return "\n".join([*notes(found), f"{visible(found['site'])}: nothing has become of it"])
    classes = zip(_CLASSES, row["by_class"], strict=True)
    answers = ", ".join(f"{count:,} {name}" for name, count in classes if count)
    lines = [
        ("site", f"{row['site']}, since {moment(row['first_at'])}"),
        ("requests", f"{row['requests']:,}{answers and ': '}{answers}"),
        ("a day", _count(row["requests_a_day"])),
        ("alive", f"{duration(row['alive_seconds'])}, all its servers together"),
        ("in the pool", f"{duration(row['pool_seconds'])}, on average of those that have ended"),
        ("warm", _speed(row, "warm")),
        ("cold", f"{_speed(row, 'cold')}; {_share(row['cold_share'])} of all"),
        ("starts", f"{row['starts']:,}, {_times(row['start_seconds'])} each, on average"),
        ("evicted", _counted(row["evictions"], "time")),
        ("failed", _counted(row["failures"], "time")),
        ("refused", _counted(row["refused"], "request")),
    ]
    lines += [(name, row[field]) for name, field in _LAST if row[field]]
    told = [f"{name:12}  {visible(value)}" for name, value in lines]
    return "\n".join([*notes(found), *told])


def _speed(row: dict[str, Any], warmth: str) -> str:
    if not row[warmth]:
        return "no answers"
    half, most = (_times(row[f"{warmth}_p{part}_seconds"]) for part in (50, 95))
    answers = _counted(row[warmth], "answer")
    return f"{answers}, half of them within {half}, 95 % within {most}"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
