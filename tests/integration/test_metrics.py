"""A whole Luisito tells Prometheus what it has done."""

from __future__ import annotations

import http.client
import socket

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

from luisito.control.metrics.families import FAMILIES
from tests.harness.processes import until


def scraped(server, accept):
    """The content type, and the metrics in the text."""
    connection = http.client.HTTPConnection("luisito", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(f"{server.runtime}/control.sock")
    connection.request("GET", "/metrics", headers={"Accept": accept})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.status == 200, text
    return response.headers["Content-Type"], text


def samples(families):
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_is_told(serve):
    """The names that docs/metrics.md, the alert rules and the dashboard are held to, and counts."""
    server = serve({"MAX_SERVERS": 1})
    server.warm("a.localhost")
    server.request("/bytes/2", host="a.localhost")
    server.warm("b.localhost")  # a.localhost goes for it

    def gone():
        return "luisito_exits_total{" in scraped(server, "*/*")[1]

    until(gone, 20, "the end of the first server")
    kind, text = scraped(server, "*/*")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    families = list(classic(text))
    told = {family.name: family.type for family in families if family.name.startswith("luisito_")}
    assert told == {
        family.name.removesuffix("_total") if family.kind == "counter" else family.name: (
            "gauge" if family.kind == "info" else family.kind
        )
        for family in FAMILIES
    }
    values = samples(families)
    assert values["luisito_requests_total", "2xx", "a.localhost"] == 2
    assert values["luisito_requests_total", "2xx", "b.localhost"] == 1
    assert values["luisito_first_byte_seconds_count", "a.localhost", "cold"] == 1
    assert values["luisito_first_byte_seconds_count", "a.localhost", "warm"] == 1
    assert values["luisito_cold_requests_total",] == 2
    assert values["luisito_spawns_total", "server", "a.localhost"] == 1
    assert values["luisito_evictions_total", "room", "a.localhost"] == 1
    assert values["luisito_start_duration_seconds_count",] == 2
    assert values["luisito_servers", "awake"] == 1
    assert values["luisito_servers_room",] == 0
    kind, text = scraped(server, "application/openmetrics-text; version=1.0.0, text/plain; q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert samples(openmetrics(text))["luisito_requests_total", "2xx", "a.localhost"] == 2
    assert (
        scraped(server, b"text/plain; charset=\xff")[0]
        == "text/plain; version=0.0.4; charset=utf-8"
    )
