"""Who does harm in a soak: kills apps and the network process, reloads and restarts, at random."""

import collections
import os
import random
import signal
import threading
import time

from luisito.control import client as control
from luisito.core.succession import CRASHES, CRASHES_WITHIN
from luisito.errors import LuisitoError

# What is done, and after how many seconds again, in the mean.
EVERY = {
    "kill_app": 7, "kill_interpreter": 20, "reload": 25, "touch_environment": 30, "restart": 40,
    "kill_network": 60,
}  # fmt: skip
QUIET = 20.0  # seconds at the end without harm
# Of the network process. One crash more within a minute is taken for a loop, and ends everything.
MOST_KILLS = CRASHES - 1


class Faults(threading.Thread):
    """Does harm until it is told to end.

    Args:
        world: whom.
        verdict: who is told before it is done.
        seed: of chance.
        kinds: of EVERY, those that are done.
    """

    def __init__(self, world, verdict, seed, kinds):
        super().__init__(daemon=True)
        self._world, self._verdict = world, verdict
        self._random = random.Random(seed)
        self._ending = threading.Event()
        self._edits = 0
        self._kills = collections.deque(maxlen=MOST_KILLS)
        self._rates = {name: 1 / EVERY[name] for name in kinds}

    def end(self):
        """No more harm."""
        self._ending.set()

    def run(self):
        """See Thread."""
        rates = self._rates
        while not self._ending.wait(self._random.expovariate(sum(rates.values()))):
            (what,) = self._random.choices(list(rates), list(rates.values()))
            try:
                getattr(self, f"_{what}")()
            except (LuisitoError, ProcessLookupError):
                pass  # it is restarting, or was faster
            except Exception as error:
                self._verdict.violation(f"{what} could not be done: {error!r}")

    def _ask(self, target):
        status, answer = control.ask(self._world.control, "GET", target)
        return answer if status == 200 else {}

    def _kill_app(self):
        rows = [row for row in self._ask("/servers").get("servers", ()) if row["pid"]]
        rows = [row for row in rows if not row["worker"]]
        if rows:
            row = self._random.choice(rows)
            self._verdict.fault("app", "app killed", row["site"])
            os.kill(row["pid"], signal.SIGKILL)

    def _kill_interpreter(self):
        rows = [row for row in self._ask("/servers").get("servers", ()) if row["pid"]]
        rows = [row for row in rows if row["worker"]]
        if rows:
            # It excuses nothing: sites are started without it.
            self._verdict.fault("interpreter", "preloaded interpreter killed")
            os.kill(self._random.choice(rows)["pid"], signal.SIGKILL)

    def _touch_environment(self):
        # It excuses nothing either: another interpreter takes the place of those that are stale.
        self._verdict.fault("environment", "environment touched")
        self._world.touch_environment()

    def _kill_network(self):
        now = time.monotonic()
        if len(self._kills) == MOST_KILLS and now - self._kills[0] < CRASHES_WITHIN + 1:
            return
        pid = self._ask("/status").get("pid")
        if pid:
            self._kills.append(now)
            self._verdict.fault("network", "network process killed")
            os.kill(pid, signal.SIGKILL)

    def _reload(self):
        self._edits += 1
        self._world.touch_settings(self._edits)
        self._verdict.fault("reload", "reload (SIGHUP)")
        os.kill(self._world.main, signal.SIGHUP)

    def _restart(self):
        self._verdict.fault("restart", "restart (SIGUSR2)")
        os.kill(self._world.main, signal.SIGUSR2)
