"""One worker, a process beside a site's server: what is known of it, and what may be ordered."""

from __future__ import annotations

from typing import Final, NamedTuple

_STOP_TIMEOUT: Final = 10.0  # seconds, of one that no file that was read has named


class Spec(NamedTuple):
    """What a site file says of a worker.

    Attributes:
        digest: of what it is started by: another one makes another process.
        always: it lives as long as the file; else while the site's server does.
        on_failure: it is not started anew after an end with status 0.
        stop_timeout: seconds from its stop signal to SIGKILL, and from each to the next.
        asked: it lives as long as somebody asks for it; else as said above.
    """

    digest: str
    always: bool
    on_failure: bool
    stop_timeout: float
    asked: bool = False


class Worker:
    """A worker that a file names, or that still runs.

    Attributes:
        site: whose it is.
        name: in its site's file.
        spec: what the file says; None where it names it no more.
        runs: the digest of the process that it has; None where it has none. After a change the
            process is still the one from before.
        asked: somebody asks for it.
        stopping: that process has been told to end.
        since: when that was started, in seconds.
        failures: in a row.
        resting: it has ended with status 0, and is not to be started anew.
        detail: how it failed last, or "".
        patience: the stop_timeout that its file named last.
        until: it is left alone until then, in seconds.
    """

    __slots__ = (
        "asked", "detail", "failures", "name", "patience", "resting", "runs", "since", "site",
        "spec", "stopping", "until",
    )  # fmt: skip

    def __init__(self, site: str, name: str) -> None:
        self.site, self.name = site, name
        self.spec: Spec | None = None
        self.runs: str | None = None
        self.asked = self.stopping = self.resting = False
        self.since = self.until = 0.0
        self.failures = 0
        self.detail = ""
        self.patience = _STOP_TIMEOUT


class Begin(NamedTuple):
    """Start the process of a worker; answer with `exited` or `failed` once it has gone."""

    worker: Worker


class End(NamedTuple):
    """Send a worker its stop signal."""

    worker: Worker
    reason: str


class Kill(NamedTuple):
    """Send a worker SIGKILL; comes again until `exited`."""

    worker: Worker


Order = Begin | End | Kill
