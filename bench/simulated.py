"""The pool's policy with 10,000 simulated servers, by bench/policy.py, beside the same with 10."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bench.processes import BenchError
from bench.report import Row, Verdict

_SCRIPT = Path(__file__).parent / "policy.py"
# An operation does the same steps; more of what it reads is outside the processor's caches.
_LIMIT = 1.5


def rows() -> list[Row]:
    """One row for each operation in bench/policy.py's table; none where there is no such file."""
    if not _SCRIPT.exists():
        print("bench/policy.py is not there: nothing to run", file=sys.stderr)
        return []
    argv = [sys.executable, "-m", "bench.policy"]
    output = subprocess.run(
        argv, cwd=_SCRIPT.parent.parent, capture_output=True, text=True, check=False
    )
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in output.stdout.splitlines()
        if "|" in line
    ]
    try:
        names = cells[0][1:]
        by_servers = {_number(line[0]): line[1:] for line in cells if line[0][:1].isdigit()}
        few, many = (list(map(_number, by_servers[servers])) for servers in (10, 10_000))
    except (IndexError, KeyError, TypeError) as error:
        raise BenchError(
            f"bench/policy.py printed no table that was understood ({error!r}):\n"
            f"{output.stdout}{output.stderr}"
        ) from error
    return [
        Row(
            f"10,000 servers in the policy: {name}",
            {"Luisito": f"{more:,.0f} ns over {base:,.0f} ns with 10"},
            [Verdict(more / base, _LIMIT, " of that with 10")],
        )
        for name, base, more in zip(names, few, many, strict=True)
    ]


def _number(cell: str) -> float:
    found = re.match(r"[\d,.]+", cell)
    if found is None:
        raise TypeError(f"no number in {cell!r}")
    return float(found[0].replace(",", ""))
