"""What happened in a soak, and what of it must not have: events excuse, everything else counts."""

import collections
import threading
import time

# How long before a request a fault may lie that still excuses its failure, in seconds: a site is
# backed off from for a while, a network process takes with it only what it had.
_REACH = {"app": 40.0, "network": 0.5}
SHOWN = 20  # violations that are printed


class Verdict:
    """Counts of outcomes, faults that were made, and violations; for all threads together.

    Attributes:
        outcomes: {words: how often} of what clients got.
        faults: {words: how often} of what was done on purpose.
        violations: the words of what must not have happened, with the time since the start.
        moments: when each was seen, in seconds since the epoch.
        answered: {nonce: (when it was asked for, when its answer had come whole)}.
        posts: how many POSTs were sent.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._done = collections.defaultdict(list)
        self.outcomes = collections.Counter()
        self.faults = collections.Counter()
        self.violations, self.moments = [], []
        self.marks = []
        self.answered = {}

    def seconds(self):
        """Since the start."""
        return time.monotonic() - self._began

    def fault(self, kind, words, site=""):
        """A fault is made now.

        Args:
            kind: "app", "network", or another that excuses nothing.
            words: what is done.
            site: whose app.
        """
        now = time.monotonic()
        with self._lock:
            self.faults[words] += 1
            self._done[kind, site].append(now)
            if kind != "app":
                self.marks.append((now - self._began, words))

    def excused(self, kind, site, since, until):
        """Whether a fault explains what happened to a request between two times (monotonic)."""
        with self._lock:
            times = self._done[kind, site]
            return any(since - _REACH[kind] <= at <= until for at in reversed(times))

    def when(self, began, at):
        """The words for the times (monotonic) of a request, and for the faults around it."""
        asked, whole = began - self._began, at - self._began
        near = [f"{words} at {mark:.1f}" for mark, words in self.marks if abs(mark - asked) < 60]
        return f"asked at {asked:.1f} s, over at {whole:.1f} s ({', '.join(near) or 'no fault'})"

    def outcome(self, words):
        """A client got something."""
        with self._lock:
            self.outcomes[words] += 1

    def whole(self, nonce, began):
        """The answer to a request came whole, which had been asked for at a time (monotonic)."""
        with self._lock:
            self.answered[nonce] = began, time.monotonic()

    def violation(self, words):
        """Something happened that must not."""
        with self._lock:
            self.violations.append(f"at {self.seconds():.1f} s: {words}")
            self.moments.append(time.time())
            if len(self.violations) <= SHOWN:
                print(f"VIOLATION {self.violations[-1]}", flush=True)
