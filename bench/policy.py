"""What the policy's operations cost, by the number of servers: `python bench/policy.py`."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from time import process_time_ns

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from luisito.core.orders import Limits, Spawn, Terminate
from luisito.core.policy import Policy

SIZES = (10, 100, 1_000, 10_000)
WARM = 100_000  # operations measured
COLD = 5_000
ROUNDS = 3


def full(size: int, min_alive: float) -> Policy:
    """Make a pool of idle servers for sites s0, s1, ..."""
    policy = Policy(Limits(max_servers=size, min_alive=min_alive), random.random)
    for number in range(size):
        for order in policy.requested(f"s{number}", number, 0.0):
            if isinstance(order, Spawn):
                policy.ready(order.server, 0.0)
                policy.release(order.server, 0.0)
    policy.tick(min_alive)
    return policy


def warm(size: int, min_alive: float) -> float:
    """Nanoseconds of a take and its release, over all sites in random order."""
    policy = full(size, min_alive)
    sites = [f"s{random.randrange(size)}" for _ in range(WARM)]
    take, release = policy.take, policy.release
    begin = process_time_ns()
    for site in sites:
        server = take(site)
        if server is not None:
            release(server, min_alive)
    return (process_time_ns() - begin) / WARM


def loop() -> float:
    """Nanoseconds of the measuring loop itself."""
    sites = ["s"] * WARM
    begin = process_time_ns()
    for site in sites:
        if site is not None:
            pass
    return (process_time_ns() - begin) / WARM


def cold(size: int, min_alive: float) -> float:
    """Nanoseconds of a whole cold start: request, eviction, spawn, exit, ready, grant, release."""
    policy = full(size, min_alive)
    names = [f"c{number}" for number in range(COLD)]
    now = min_alive
    begin = process_time_ns()
    for name in names:
        now += 2 * min_alive / size  # so that servers come of age as fast as they are needed
        for order in policy.requested(name, name, now):
            if isinstance(order, Terminate):
                victim = order.server
            elif isinstance(order, Spawn):
                spawned = order.server
        policy.exited(victim, now, "")
        policy.ready(spawned, now)
        policy.release(spawned, now)
        policy.deadline()
    return (process_time_ns() - begin) / COLD


def main() -> None:
    empty = min(loop() for _ in range(ROUNDS))
    print(f"Best of {ROUNDS} rounds, ns per operation (the loop's own {empty:.0f} taken off)")
    print(f"{'servers':>8} {'take+release':>14} {'cold+evict':>12} {'with min_alive':>16}")
    for size in SIZES:
        hot = min(warm(size, 0.0) for _ in range(ROUNDS)) - empty
        plain = min(cold(size, 0.0) for _ in range(ROUNDS))
        aged = min(cold(size, 60.0) for _ in range(ROUNDS))
        print(f"{size:>8,} {hot:>14,.0f} {plain:>12,.0f} {aged:>16,.0f}")


if __name__ == "__main__":
    main()
