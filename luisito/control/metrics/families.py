"""The metrics there are: their names, labels and meaning, as docs/metrics.md has them."""

from __future__ import annotations

from typing import Final, Literal

import attrs


@attrs.frozen
class Family:
    """A metric, with all its labels.

    Attributes:
        name: as it is asked for; of a histogram without _bucket, _sum and _count.
        kind: how it is read.
        words: what it counts.
        labels: their names.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    words: str
    labels: tuple[str, ...] = ()


FAMILIES: Final = (
    Family(
        "luisito_build_info",
        "info",
        "Versions of Luisito, and of what it runs on",
        ("version", "python", "twisted"),
    ),
    Family("luisito_uptime_seconds", "gauge", "Since this process serves"),
    Family("luisito_restart_refused", "gauge", "1 where the restart asked for last did not come"),
    # requests
    Family(
        "luisito_requests_total",
        "counter",
        "Requests that are over, by the class of their status; none: there was no answer",
        ("site", "class"),
    ),
    Family(
        "luisito_request_duration_seconds",
        "histogram",
        "Time until the end of requests, streams and tunnels among them",
        ("site",),
    ),
    Family(
        "luisito_first_byte_seconds",
        "histogram",
        "Time until the first byte of whole answers of servers",
        ("site", "start"),
    ),
    Family(
        "luisito_own_answers_total",
        "counter",
        "Answers in the place of a server, by the reason in the access log",
        ("reason",),
    ),
    Family("luisito_cold_requests_total", "counter", "Requests that waited for a server's start"),
    Family("luisito_waiting_requests", "gauge", "Requests that wait for a server now"),
    Family(
        "luisito_queue_wait_seconds",
        "histogram",
        "Time that requests waited for room in the pool or for a connection, of those who did",
    ),
    # servers
    Family("luisito_servers", "gauge", "Servers of sites", ("state",)),
    Family("luisito_workers", "gauge", "Workers of sites", ("state",)),
    Family("luisito_servers_limit", "gauge", "MAX_SERVERS"),
    Family("luisito_servers_room", "gauge", "Servers that may start before another one must go"),
    Family("luisito_memory_bytes", "gauge", "Memory that all servers take, or are expected to"),
    Family("luisito_memory_limit_bytes", "gauge", "MAX_MEMORY; absent where it is not set"),
    Family(
        "luisito_site_memory_bytes",
        "gauge",
        "Memory that a site's servers took when they were last measured",
        ("site",),
    ),
    Family("luisito_spawns_total", "counter", "Starts that were ordered", ("site", "process")),
    Family(
        "luisito_start_duration_seconds",
        "histogram",
        "Time from the start of servers until they were ready",
    ),
    Family(
        "luisito_failures_total",
        "counter",
        "Starts that failed, and servers that broke soon after",
        ("site", "process"),
    ),
    Family(
        "luisito_evictions_total",
        "counter",
        "Servers that were told to go for the sake of others",
        ("site", "reason"),
    ),
    Family(
        "luisito_stops_total",
        "counter",
        "Servers that were told to go for another reason",
        ("site", "process"),
    ),
    Family("luisito_kills_total", "counter", "Servers that were sent SIGKILL", ("site", "process")),
    Family(
        "luisito_exits_total",
        "counter",
        "Servers that have gone, after they had been ready",
        ("site", "process", "ending"),
    ),
    # site files
    Family("luisito_site_files", "gauge", "Sites that have a file"),
    Family("luisito_site_files_broken", "gauge", "Site files that are wrong as they are now"),
    # clients, and Luisito itself
    Family("luisito_open_connections", "gauge", "Connections of clients that are open"),
    Family("luisito_connections_total", "counter", "Connections of clients"),
    Family(
        "luisito_connections_refused_total",
        "counter",
        "Connections of addresses that had MAX_CLIENTS_PER_ADDRESS already",
    ),
    Family(
        "luisito_connections_closed_for_room_total",
        "counter",
        "Idle connections of clients that were closed since there were MAX_CLIENTS",
    ),
    Family("luisito_upstream_connections_total", "counter", "Connections made to servers"),
    Family("luisito_upstream_retries_total", "counter", "Requests sent to a server once more"),
    Family(
        "luisito_reactor_stalls_total",
        "counter",
        "Pieces of work that held all others up for 50 ms of CPU time or more",
    ),
    Family("luisito_access_lines_total", "counter", "Lines of the access log"),
    Family(
        "luisito_access_lines_dropped_total",
        "counter",
        "Lines of the access log that could not be written",
    ),
)
