"""`python -m tests.soak [--seconds N]`: ends with a table, and status 1 at a violation."""

import argparse
import sys
import time
from pathlib import Path

from tests.harness import processes
from tests.harness.client import connect
from tests.harness.server import START_LIMIT
from tests.soak import accounts, picture
from tests.soak.clients import Traffic
from tests.soak.faults import EVERY, QUIET, Faults
from tests.soak.verdict import SHOWN, Verdict
from tests.soak.watch import Watch
from tests.soak.world import World

_CLIENTS = 64
# By how much the median of the last third may be over the one of the third before. How many
# connections to servers there are goes by how busy the machine is; each client has one at most.
_GROWTH = {
    "network_rss": 8.0, "spawner_rss": 2.0, "network_held": 20, "network_clients": 20,
    "network_upstream": _CLIENTS, "spawner_fds": 20,
}  # fmt: skip
_LEFT_OPEN = 10  # descriptors more than at the start, when no site is awake and no client is there


def main():
    """Runs it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="of traffic; %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of chance; %(default)s")
    parser.add_argument("--svg", type=Path, help="the picture is written there")
    parser.add_argument("--faults", nargs="+", choices=EVERY, default=list(EVERY), help="all")
    parser.add_argument("--keep", action="store_true", help="the folder is not removed")
    options = parser.parse_args()
    world, verdict = World(), Verdict()
    try:
        return _run(options, world, verdict)
    finally:
        world.stop()
        if options.keep:
            print(f"kept: {world.folder}")
        else:
            world.remove()


def _run(options, world, verdict):
    world.start()
    processes.until(lambda: _listens(world), START_LIMIT, "a start of Luisito")
    watch = Watch(world, verdict)
    first = watch.sample()
    faults = Faults(world, verdict, options.seed, options.faults)
    clients = [Traffic(world.address, verdict, options.seed * 1000 + n) for n in range(_CLIENTS)]
    for thread in (watch, faults, *clients):
        thread.start()
    quiet = max(0.0, options.seconds - QUIET)
    time.sleep(quiet)
    faults.end()
    time.sleep(options.seconds - quiet)
    for thread in clients:
        thread.end()
    for thread in clients:
        thread.join(120)
    watch.end()
    watch.join()
    _settled(watch, verdict, first)
    for left in world.stop():
        verdict.violation(f"left after the end: {left}")
    rows = watch.rows
    statuses, ends = accounts.access(world.access_log, verdict)
    seen = accounts.apps(world.seen, verdict)
    counts = accounts.log(world.log, verdict)
    accounts.flat(rows, verdict, _GROWTH)
    if options.svg is not None:
        options.svg.write_text(picture.draw(rows, verdict.marks))
    _tell(verdict, rows, statuses, ends, {**counts, "requests that origins saw": seen})
    for words, moment in list(zip(verdict.violations, verdict.moments, strict=True))[:SHOWN]:
        print("", f"VIOLATION {words}", *accounts.around(world.log, words, moment), sep="\n")
    return 1 if verdict.violations else 0


def _listens(world):
    try:
        connect(world.address, 1).close()
    except OSError:
        return False
    return True


def _settled(watch, verdict, first):
    """Once no site is awake any more, the descriptors must be back to what they were."""
    end = time.monotonic() + 60
    left = ("servers", "interpreters")
    while any((row := watch.sample())[name] for name in left) or row["processes"] > 1:
        if time.monotonic() > end:
            words = ", ".join(f"{row[name]} {name}" for name in (*left, "processes"))
            verdict.violation(f"{words} are left")
            return
        time.sleep(1)
    for name in ("network_fds", "spawner_fds"):
        if row[name] > first[name] + _LEFT_OPEN:
            verdict.violation(f"{name}: {first[name]} at the start, {row[name]} at the end")


def _tell(verdict, rows, statuses, ends, counts):
    passed = rows[-1]["seconds"]
    print(f"\n| over {passed / 60:.1f} minutes | |\n|---|---|")
    answers = len(verdict.answered)
    print(f"| answers that clients got whole | {answers} ({answers / passed:.0f} a second) |")
    for title, counter in (
        ("what clients got", verdict.outcomes),
        ("access lines by status", statuses),
        ("access lines by end", ends),
        ("faults", verdict.faults),
        ("in the logs", counts),
    ):
        told = ", ".join(f"{name or 'whole'} {count}" for name, count in sorted(counter.items()))
        print(f"| {title} | {told} |")
    for name in ("network_fds", *_GROWTH, "servers"):
        values = [row[name] for row in rows]
        middle = sorted(values)[len(values) // 2]
        words = f"{values[0]:.0f} first, {middle:.0f} median, {max(values):.0f} most"
        print(f"| {name.replace('_', ' ')} | {words}, {values[-1]:.0f} last |")
    print(f"| violations | {len(verdict.violations)} |")


if __name__ == "__main__":
    sys.exit(main())
