"""What the proxy has done, counted once: for the access log, the tests and the metrics."""

from __future__ import annotations


class Counters:
    """Counts since the start.

    Attributes:
        connections: accepted from clients, or taken over.
        refused: connections of clients whose address had MAX_CLIENTS_PER_ADDRESS already; these
            do not count among the connections.
        closed_for_room: idle connections of clients that were closed since there were MAX_CLIENTS.
        open: client connections that are open now.
        taken: those of `connections` that the process before had accepted.
        given: those that a successor has taken over.
        heads: complete request heads that came in, good or bad.
        answers: final responses that went out whole.
        aborts: exchanges that ended without a whole answer; each has an access line.
        lines: access lines handed to the log.
        dropped_lines: access lines that could not be written.
        upstream_connections: connections made to app servers.
        retries: requests sent to an app server a second time.
        stalls: pieces of work that held the reactor for too long (see luisito.stalls).
        cold: requests that waited for their server to start.
        asleep: requests that a rule of WAKE has answered, for a site that slept.
        over_wakes: requests of addresses that had woken WAKES_PER_ADDRESS sites.
    """

    __slots__ = (
        "aborts", "answers", "asleep", "closed_for_room", "cold", "connections", "dropped_lines",
        "given", "heads", "lines", "open", "over_wakes", "refused", "retries", "stalls", "taken",
        "upstream_connections",
    )  # fmt: skip

    def __init__(self) -> None:
        self.connections = self.open = self.heads = self.answers = self.aborts = 0
        self.refused = self.closed_for_room = self.stalls = 0
        self.lines = self.dropped_lines = self.upstream_connections = self.retries = self.cold = 0
        self.taken = self.given = self.asleep = self.over_wakes = 0

    def as_dict(self) -> dict[str, int]:
        """All counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}
