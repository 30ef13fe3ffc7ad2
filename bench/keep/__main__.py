"""How long clients wait for starts, by which servers are kept: `python -m bench.keep --help`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bench.keep.traces import MB, TRACES, Request, Site, sites
from bench.keep.world import Result, World
from luisito.core.orders import Limits

_MORE = """\
The pool's real policy hears of a week of requests, in simulated time: the same seed gives the same
table. Three traces: zipf (each request for any site, whatever came before), diurnal (each site has
a time of day of its own) and bursty (visits, and now and then a crawler). bench/keep/traces.py has
their parameters. "waited" is what all requests waited for starts, and for room, together; "p95" is
of those that waited; "memory" is the mean of what all servers took.
"""
_POLICIES = ("lru", "cost")


def main(arguments: list[str]) -> None:
    """Print a row for each trace, bound and policy."""
    options = _parser().parse_args(arguments)
    kinds = sites(options.sites, options.seed, related=not options.unrelated)
    whole = sum(kind.memory for kind in kinds) / MB
    print(f"{options.sites:,} sites; all together would take {whole:,.0f} MB\n")
    print("| trace | bound | policy | waited | of lru's | cold starts | p95 | memory |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.traces:
        trace = list(TRACES[name](options.sites, options.requests, options.seed))
        for bound, limits in _bounds(options):
            first: Result | None = None
            for policy in options.policies:
                result = _play(kinds, trace, limits | {"policy": policy}, options.seed)
                first = first or result
                _print(name, bound, policy, result, first)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.keep", description=__doc__.partition(":")[0] + ".", epilog=_MORE
    )
    parser.add_argument("--seed", type=int, default=1, help="of sites and requests (1)")
    parser.add_argument("--sites", type=int, default=2000, help="how many there are (2000)")
    parser.add_argument("--requests", type=int, default=200_000, help="of the week (200000)")
    parser.add_argument(
        "--memory",
        type=int,
        nargs="*",
        default=[1000, 2000, 4000, 8000, 16000, 32000],
        help="MAX_MEMORY, in MB (1000 2000 4000 8000 16000 32000)",
    )
    parser.add_argument("--servers", type=int, nargs="*", default=[], help="MAX_SERVERS")
    parser.add_argument("--traces", nargs="*", choices=TRACES, default=list(TRACES))
    parser.add_argument("--policies", nargs="*", choices=_POLICIES, default=list(_POLICIES))
    parser.add_argument(
        "--unrelated",
        action="store_true",
        help="what is large is not rather slow to start, as it is else",
    )
    return parser


def _bounds(options: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    return [
        *((f"{size:,} MB", {"max_memory": size * MB}) for size in options.memory),
        *((f"{number:,} servers", {"max_servers": number}) for number in options.servers),
    ]


def _play(
    kinds: list[Site],
    trace: list[Request],
    bound: dict[str, Any],
    seed: int,
) -> Result:
    plenty: dict[str, Any] = {
        "max_servers": len(kinds),
        "queue_total": len(trace),
        "queue_limit": len(trace),
    }
    return World(kinds, Limits(**(plenty | bound)), seed).run(trace)


def _print(trace: str, bound: str, policy: str, result: Result, first: Result) -> None:
    share = f"{result.waited / first.waited:.2f}" if first.waited else ""
    cells = [
        trace,
        bound,
        policy,
        f"{result.waited:,.0f} s",
        share if result is not first else "",
        f"{result.cold:,}",
        f"{result.p95:.2f} s",
        f"{result.mean_memory / MB:,.0f} MB",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    if result.refused:
        print(f"{result.refused:,} requests were refused", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
