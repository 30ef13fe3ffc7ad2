"""What Prometheus is told is what was counted, in pieces, and in forms that its parsers read."""

import importlib
import json
import random
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic
from twisted.internet.task import Clock

from luisito.control.listing import Listing
from luisito.control.metrics import found as module
from luisito.control.metrics.families import FAMILIES
from luisito.control.metrics.found import Found, Names, Sources
from luisito.control.metrics.written import written
from luisito.control.resources import metrics as resource
from luisito.core import access
from luisito.core.eventcounts import EventCounts
from luisito.core.events import Event, Kind
from luisito.core.orders import Limits
from luisito.core.policy import Policy
from luisito.core.tally import OTHERS, Tally
from luisito.process.chronicle import Chronicle
from luisito.proxy.counters import Counters

FORM = access.form("json")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
STATUS = {
    "uptime_seconds": 2.5,
    "not_restarted": None,
    "memory_bytes": 1 << 20,
    "site_files": None,
    "servers": {"awake": 1, "failed": 0},
    "workers": {"awake": 0},
}


class Sites:
    """Sites that were asked for, and what is told of them."""

    def __init__(self, most=1000, status=STATUS, **limits):
        self.flushed = 0
        self.tally, self.events = Tally(FORM), EventCounts()
        self.chronicle = Chronicle(Clock().seconds)
        gateway = SimpleNamespace(tally=self.tally, counters=Counters(), access=self)
        policy = Policy(Limits(max_servers=7, **limits), random.random)
        self.pool = SimpleNamespace(policy=policy, chronicle=self.chronicle)
        overview = SimpleNamespace(status=lambda: status)
        self.gateway, self.overview = gateway, overview
        self.sources = Sources(overview, self.pool, gateway, self.events, Names(most))

    def flush(self):
        self.flushed += 1

    def ask(self, site, times=1, status=200, seconds=0.2, how=None):
        who = FORM.who(b"::1", site.encode(), b"")
        ending = FORM.at_once if how is None else FORM.how(*how)
        entry = (b"t", who, FORM.nothing, status, 1, 2, seconds, seconds, ending)
        self.tally.add([entry] * times)

    def happens(self, site, kind, **facts):
        self.events.heard(Event(number=1, at=0, site=site, kind=kind, words="", **facts))

    def pieces(self, accepts=""):
        return list(written(Found(self.sources), accepts)[1])

    def told(self, accepts=""):
        """{(name of the sample, its labels in the order of their names): value}; no buckets."""
        text = b"".join(self.pieces(accepts)).decode()
        parse = openmetrics if accepts else classic
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in parse(text)
            for sample in family.samples
            if "le" not in sample.labels
        }


@pytest.mark.parametrize("accepts", ["", OPENMETRICS])
def test_requests(accepts):
    sites = Sites()
    sites.ask("a.test", 3)
    sites.ask("a.test", 2, status=404, seconds=0.5)
    sites.ask("a.test", how=(b"cold", 1.5, 0.5, b""), seconds=2.0)
    sites.ask("b.test", status=503, how=(b"", 0.0, 0.0, b"", b"maintenance"))
    told = sites.told(accepts)
    assert told["luisito_requests_total", "2xx", "a.test"] == 4
    assert told["luisito_requests_total", "4xx", "a.test"] == 2
    assert told["luisito_requests_total", "5xx", "b.test"] == 1
    assert told["luisito_request_duration_seconds_count", "a.test"] == 6
    assert told["luisito_request_duration_seconds_sum", "a.test"] == pytest.approx(3.6)
    assert told["luisito_first_byte_seconds_count", "a.test", "warm"] == 5
    assert told["luisito_first_byte_seconds_count", "a.test", "cold"] == 1
    assert told["luisito_first_byte_seconds_sum", "a.test", "cold"] == 2.0
    assert ("luisito_first_byte_seconds_count", "b.test", "warm") not in told
    assert told["luisito_own_answers_total", "maintenance"] == 1
    assert told["luisito_queue_wait_seconds_count",] == 1
    assert told["luisito_queue_wait_seconds_sum",] == 1.5
    assert sites.flushed == 1


def test_buckets_count_what_was_not_longer():
    sites = Sites()
    for seconds in (0.0001, 0.00011, 0.25, 0.26, 500.0):
        sites.ask("a.test", seconds=seconds)
    text = b"".join(sites.pieces()).decode()
    (family,) = [one for one in classic(text) if one.name == "luisito_request_duration_seconds"]
    buckets = {one.labels["le"]: one.value for one in family.samples if "le" in one.labels}
    assert len(buckets) == 20
    assert [buckets[le] for le in ("0.0001", "0.00025", "0.1", "0.25", "0.5", "100.0", "+Inf")] == [
        1, 2, 2, 3, 4, 4, 5,
    ]  # fmt: skip


def test_what_becomes_of_servers():
    sites = Sites()
    for _ in range(2):
        sites.happens("a.test", Kind.WAKE)
    sites.happens("a.test", Kind.READY, seconds=0.5)
    sites.happens("a.test", Kind.FAILED)
    sites.happens("a.test", Kind.EVICTED, other="b.test")
    sites.happens("a.test", Kind.EVICTED)
    sites.happens("a.test", Kind.STOPPED, worker="mail")
    sites.happens("a.test", Kind.KILLED)
    sites.happens("b.test", Kind.EXITED, signal=9)
    told = sites.told()
    assert told["luisito_spawns_total", "server", "a.test"] == 2
    assert told["luisito_start_duration_seconds_count",] == 1
    assert told["luisito_failures_total", "server", "a.test"] == 1
    assert told["luisito_evictions_total", "room", "a.test"] == 1
    assert told["luisito_evictions_total", "memory", "a.test"] == 1
    assert told["luisito_stops_total", "worker", "a.test"] == 1
    assert told["luisito_kills_total", "server", "a.test"] == 1
    assert told["luisito_exits_total", "signal", "server", "b.test"] == 1


def test_the_pool():
    sites = Sites(max_memory=1 << 30)
    policy = sites.pool.policy
    for number, site in enumerate(("a.test", "a.test/blog", "b.test")):
        (order,) = policy.requested(site, object(), 1.0)
        policy.ready(order.server, 1.0)
        policy.weighed({order.server: 1000 * (number + 1)}, 1.0)
    told = sites.told()
    assert told["luisito_servers_limit",] == 7
    assert told["luisito_servers_room",] == 4
    assert told["luisito_memory_limit_bytes",] == 1 << 30
    assert told["luisito_memory_bytes",] == 1 << 20
    assert told["luisito_site_memory_bytes", "a.test"] == 1000
    assert told["luisito_site_memory_bytes", "a.test/blog"] == 2000
    assert told["luisito_site_memory_bytes", "b.test"] == 3000


def test_luisito_itself():
    files = {"sites": 3, "broken": [{"path": "x", "error": "y"}]}
    sites = Sites(status={**STATUS, "not_restarted": "its settings are wrong", "site_files": files})
    counters = sites.gateway.counters
    for number, name in enumerate(counters.__slots__, 1):
        setattr(counters, name, number)
    told = sites.told()
    for name, of in module._OF_COUNTERS.items():
        assert told[name,] == getattr(counters, of)
    assert told["luisito_restart_refused",] == 1
    assert told["luisito_site_files",] == 3
    assert told["luisito_site_files_broken",] == 1
    assert told["luisito_uptime_seconds",] == 2.5
    assert told["luisito_servers", "awake"] == 1
    assert ("luisito_memory_limit_bytes",) not in told


# Many sites


@pytest.mark.parametrize("accepts", ["", OPENMETRICS])
def test_many_sites_are_told_of_in_small_pieces(accepts):
    sites = Sites(most=30)
    for number in range(50):
        sites.ask(f"{number}.test", number % 3 + 1)
        sites.happens(f"{number}.test", Kind.WAKE)
    pieces = sites.pieces(accepts)
    assert max(piece.count(b"\n") for piece in pieces) < 250
    told = sites.told(accepts)  # which is parsed, so each name stands once
    requests = {key[2]: count for key, count in told.items() if key[0] == "luisito_requests_total"}
    wanted = Counter({f"{number}.test": number % 3 + 1 for number in range(30)})
    wanted[OTHERS] = sum(number % 3 + 1 for number in range(30, 50))
    assert requests == wanted
    assert told["luisito_spawns_total", "server", OTHERS] == 20


def test_a_site_keeps_its_name_and_others_theirs():
    sites = Sites(most=2)
    sites.happens("a.test", Kind.WAKE)
    sites.happens("b.test", Kind.WAKE)
    sites.told()
    for site in ("c.test", "b.test", "a.test"):
        sites.ask(site)
    told = sites.told()
    assert {key[2] for key in told if key[0] == "luisito_requests_total"} == {
        "a.test", "b.test", OTHERS,
    }  # fmt: skip


def test_hosts_that_are_no_sites_take_no_names():
    sites = Sites(most=1)
    for number in range(5):
        sites.ask(f"{number}.invalid", status=404, how=(b"", 0.0, 0.0, b""))
    sites.ask("a.test")
    told = sites.told()
    assert told["luisito_requests_total", "4xx", "(no site)"] == 5
    assert told["luisito_requests_total", "2xx", "a.test"] == 1


def test_no_two_metrics_are_of_one_name():
    """Of OpenMetrics, a counter's is that without _total."""
    names = [family.name.removesuffix("_total").removesuffix("_info") for family in FAMILIES]
    assert len(set(names)) == len(names)


# Without the library


class Request:
    """What an answer is written to."""

    gone = False

    def __init__(self):
        self.status, self.body = 0, b""

    def setResponseCode(self, status):  # noqa: N802
        self.status = status

    def setHeader(self, name, value):  # noqa: N802
        pass

    def write(self, data):
        self.body += data

    def finish(self):
        self.body += b"."


def test_without_the_library_the_answer_names_the_mend(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "luisito.control.metrics.written")
    monkeypatch.delattr("luisito.control.metrics.written")
    try:
        importlib.reload(resource)
        sites, request = Sites(), Request()
        made = resource.Metrics(Listing(Clock()), sites.overview, sites.pool, sites.gateway, 10)
        (route,) = made.routes()
        route.handler(request)
        assert request.status == 501
        mend = f"run {sys.executable} -m pip install 'luisito[metrics]', then"
        assert mend in json.loads(request.body[:-1])["error"]
    finally:
        monkeypatch.undo()
        importlib.reload(resource)
    assert resource._written is written
