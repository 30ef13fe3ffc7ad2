"""`python -m tests.fuzz --help`."""

import argparse
import importlib.util
import sys
import traceback
from pathlib import Path

from tests.fuzz import conformance, targets
from tests.fuzz.campaign import KEPT, campaign, table

_NO_ATHERIS = (
    "atheris is not installed, without which inputs cannot be guided by what they reach. There are"
    " wheels of it for Python 3.11 to 3.14 on x86-64: run `make fuzz` with such a Python"
    f" (this one is {sys.version.split()[0]})."
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzzes Luisito.")
    parser.add_argument("target", nargs="*", help=f"of {', '.join(targets.NAMES)}; default: all")
    parser.add_argument("--seconds", type=int, default=3600, help="in all; default: %(default)s")
    parser.add_argument("--at-once", type=int, default=2, help="processes; default: %(default)s")
    parser.add_argument("--replay", metavar="FILE", help="gives one input to the one TARGET")
    chosen = parser.parse_args()
    names = chosen.target or list(targets.NAMES)
    unknown = set(names) - set(targets.NAMES)
    if unknown:
        parser.error(f"no target is called {', '.join(unknown)}; there are {targets.NAMES}")
    if chosen.replay is not None:
        if len(names) != 1:
            parser.error("--replay needs exactly one target")
        return replay(names[0], Path(chosen.replay))
    if importlib.util.find_spec("atheris") is None:
        print(_NO_ATHERIS, file=sys.stderr)
        return 2
    return fuzz(names, chosen.seconds, chosen.at_once)


def replay(name: str, path: Path) -> int:
    """What one input leads to."""
    target = targets.load(name)
    try:
        target.run(path.read_bytes())
        if hasattr(target, "aside"):
            target.aside.flush()
    except Exception:
        traceback.print_exc()
        return 1
    print(f"{name} finds nothing wrong about {path}")
    return 0


def fuzz(names: list[str], seconds: int, at_once: int) -> int:
    """Gives each target its share of the time."""
    at_once = min(at_once, len(names))
    share = max(1, seconds * at_once // len(names))
    print(f"{len(names)} targets, {share} s each, {at_once} at a time; see {KEPT}", flush=True)
    for name in names:
        conformance.write(name, KEPT / "others" / name)
    outcomes = []
    for outcome in campaign(names, KEPT, [f"-max_total_time={share}"], at_once):
        outcomes.append(outcome)
        print(f"{outcome.target} is over, with {len(outcome.finds)} finds", flush=True)
    outcomes.sort(key=lambda outcome: names.index(outcome.target))
    print(table(outcomes))
    for outcome in outcomes:
        if outcome.failure:
            print(f"\n{outcome.target} could not be fuzzed: {outcome.failure}")
        for path, what in outcome.finds:
            print(f"\n{what}\n    {sys.executable} -m tests.fuzz {outcome.target} --replay {path}")
    return int(any(outcome.finds or outcome.failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
