"""`luisito advise`: how many servers should be allowed, by access logs or a running Luisito."""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import Luisito, add_command
from luisito.commands.common import add_json
from luisito.commands.following import Progress
from luisito.commands.text import duration, table
from luisito.core.text import visible

if TYPE_CHECKING:
    from luisito.advice.advice import Found
    from luisito.advice.logs import Trace
    from luisito.commands import Subparsers

_PLAYED: Final = 50_000  # requests, the last ones, by which policies are compared
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(
        subparsers, "advise", "say how many servers to allow, by what was asked for so far", run
    )
    parser.add_argument(
        "--from",
        dest="logs",
        nargs="+",
        metavar="LOG",
        help="access logs of nginx, Apache or Luisito, in the place of a running Luisito",
    )
    parser.add_argument("--host", metavar="HOST", help="of the site of logs that tell none")
    parser.add_argument(
        "--servers",
        type=_count,
        metavar="N",
        help="the number to begin with (MAX_SERVERS; with --from 10)",
    )
    parser.add_argument(
        "--memory-each", type=_size, metavar="SIZE", help="what a server takes: 60M"
    )
    parser.add_argument(
        "--idle", type=_seconds, metavar="SECONDS", help="IDLE_TIMEOUT, for logs (default: none)"
    )
    parser.add_argument("--svg", metavar="FILE", help="draw it into this file, too")
    add_json(parser)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of servers; write 40")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text) or float(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds; write 600")
    return float(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text.upper())
    if match is None or int(match[1]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 60M")
    return int(match[1]) * _UNITS[match[2]]


def run(options: argparse.Namespace) -> int:
    """Prints what is advised.

    Returns:
        0, or 1 where too little was seen.

    Raises:
        LuisitoError: a log or the drawing's file cannot be used.
    """
    if options.logs:
        found, more, words = _from_logs(options)
    else:
        found, more, words = _of_running(options)
    if options.svg and found.curve:
        _draw(options.svg, found)
    if options.json:
        print(json.dumps({**found.as_dict(), **more}, indent=2))  # noqa: T201 - what was asked for
    else:
        of = "requests" if options.logs else "uses"
        print("\n".join(map(visible, [*_lines(found, of), *words, "", found.words()])))  # noqa: T201
    return 0 if found.curve else 1


def _of_running(options: argparse.Namespace) -> tuple[Found, dict[str, Any], list[str]]:
    from luisito.advice.advice import Found, amount, figure
    from luisito.core.reuse import at_size
    from luisito.errors import SettingsError

    for name in ("host", "idle"):
        if getattr(options, name) is not None:
            raise SettingsError(f"--{name} goes with --from; a running Luisito knows it")
    told = Luisito(options).get("/advice")
    found = Found.of(told, options.servers, options.memory_each)
    limit = told["max_memory"]
    if limit is None or not found.curve:
        return found, {}, []
    by_memory = [(size, cold) for size, cold in told["cold_starts_by_memory"]]
    a_day = 86_400 / max(1.0, found.seconds)
    rows = [
        (size, at_size(by_memory, size, float(found.requests)) * a_day)
        for size in (limit // 2, limit, limit * 3 // 2, limit * 2, limit * 4)
    ]
    words = ["", "by MAX_MEMORY:"]
    words += [
        f"  {amount(size)}: {figure(cold)} cold starts a day{', now' if size == limit else ''}"
        for size, cold in rows
    ]
    told_rows = [{"max_memory": size, "cold_a_day": round(cold, 3)} for size, cold in rows]
    return found, {"by_memory": told_rows}, words


def _from_logs(options: argparse.Namespace) -> tuple[Found, dict[str, Any], list[str]]:
    from luisito.advice.advice import Found, figure
    from luisito.advice.logs import read
    from luisito.core.orders import Limits
    from luisito.core.reuse import Reuse

    with Progress() as progress:
        trace = read(options.logs, options.host, progress.say)
        progress.say(f"{trace.requests:,} requests are played ...")
        reuse, names = Reuse(idle=options.idle), trace.names
        for at, site in trace:
            reuse.saw(names[site], at)
        found = Found(
            options.servers or Limits().max_servers,
            trace.seconds,
            trace.requests,
            len(names),
            reuse.curve(),
            options.memory_each,
        )
        if not found.curve:
            return found, {"skipped": trace.skipped}, []
        costs = _compared(trace, found.advised(), options.idle)
    a_day = 86_400 / trace.seconds
    kept = [(timeout, cold * a_day, awake) for timeout, cold, awake in reuse.kept()]
    words = ["", f"with {found.advised()} servers, by POLICY (the last requests, played):"]
    words += [f'  "{name}": {figure(cold)} cold starts a day' for name, cold in costs.items()]
    words += ["", "with room for all, where each server ends after a while without requests:"]
    words += [
        f"  {duration(timeout)}: {figure(cold)} cold starts a day, {awake:,.1f} servers on average"
        for timeout, cold, awake in kept
    ]
    if trace.skipped:
        words += ["", f"{trace.skipped:,} lines told of no request for a site"]
    more = {
        "skipped": trace.skipped,
        "policies": {name: round(cold, 3) for name, cold in costs.items()},
        "idle_timeouts": [
            {"seconds": timeout, "cold_a_day": round(cold, 3), "servers": round(awake, 3)}
            for timeout, cold, awake in kept
        ],
    }
    return found, more, words


def _compared(trace: Trace, servers: int, idle: float | None) -> dict[str, float]:
    """Cold starts a day by the pool's policies, where all servers start and weigh the same."""
    from luisito.advice.playing import play
    from luisito.core.orders import Limits

    times, sites, names = trace.times[-_PLAYED:], trace.sites[-_PLAYED:], trace.names
    played = [(at, names[site]) for at, site in zip(times, sites, strict=True)]
    a_day = 86_400 / max(1.0, times[-1] - times[0])
    return {
        policy: a_day * play(played, Limits(max_servers=servers, policy=policy, idle_timeout=idle))
        for policy in ("lru", "cost")
    }


def _lines(found: Found, of: str) -> list[str]:
    from luisito.advice.advice import amount, figure

    head = [
        f"{found.requests:,} {of} for {found.sites:,} sites in {duration(found.seconds)}",
        "",
    ]
    if not found.curve:
        return head[:1]
    each, to = found.memory_each, found.advised()
    marks = {found.now: "now", to: "advised"}
    rows = [
        (
            f"{size:,}",
            "-" if each is None else amount(size * each),
            figure(cold),
            marks.get(size, ""),
        )
        for size, cold in found.rows()
    ]
    columns = ("SERVERS", "MEMORY", "COLD STARTS A DAY", "")
    return [*head, *table(columns, rows, frozenset(columns[:3])).split("\n")]


def _draw(path: str, found: Found) -> None:
    from luisito.advice.svg import chart
    from luisito.errors import SettingsError

    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(chart(found))
    except OSError as error:
        raise SettingsError(f"--svg {path}: {error.strerror}") from None
