"""What `luisito why`, `errors` and `stats` make of what the control socket answers."""

import json
import re

import pytest

from luisito.cli import main
from luisito.commands import stats, why
from luisito.commands.asking import Luisito
from tests.harness.server import ROOT

AT = 1_700_000_000.0
KEPT = {"path": "/var/lib/luisito/history.sqlite", "began": AT, "unwritten": None}


def event(kind, words="words", **facts):
    names = ("worker", "pid", "uid", "seconds", "other", "memory", "code", "signal")
    return {
        "number": 1, "at": AT, "site": "a.example", "kind": kind, "words": words, "count": 1,
        **dict.fromkeys(names), **facts,
    }  # fmt: skip


def row(site, **figures):
    names = (
        "requests", "starts", "failures", "evictions", "refused", "warm", "cold", "alive_seconds",
    )  # fmt: skip
    empty = (
        "requests_a_day", "pool_seconds", "start_seconds", "warm_p50_seconds", "warm_p95_seconds",
        "cold_p50_seconds", "cold_p95_seconds", "cold_share", "last_exit", "last_failure",
    )  # fmt: skip
    return {
        "site": site, "first_at": AT, "last_at": AT, "by_class": [0] * 6,
        **dict.fromkeys(names, 0), **dict.fromkeys(empty), **figures,
    }  # fmt: skip


@pytest.fixture
def answers(monkeypatch):
    """What the control socket would answer, by what it is asked for; which is remembered."""
    found, asked = {}, []

    def get(_self, target):
        asked.append(target)
        return found[target]

    monkeypatch.setattr(Luisito, "get", get)
    monkeypatch.setattr(Luisito, "__init__", lambda self, options: None)
    found["asked"] = asked
    return found


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (event("wake", "started for a request"), "wake     started for a request"),
        (event("refused", "no room", count=12), "refused  no room; 12 requests"),
        (event("refused", "no room"), "refused  no room"),
        (event("exited", "celery has gone", worker="celery"), "exited   (celery): celery has gone"),
        (
            event("evicted", "room for b.example", seconds=0.41, memory=43_000_000,
                  other="b.example"),
            "evicted  room for b.example; its next start takes about 0.41 s; frees 41 MiB",
        ),
        (event("evicted", "out", other="b\x1b"), "evicted  out; for b\\x1b"),
        (
            event("failed", "it exited; its last output:\nTraceback\n  here\nNameError: x\n\n"),
            "failed   it exited; its last output: NameError: x",
        ),
        (event("failed", ""), "failed   "),
    ],
)  # fmt: skip
def test_an_event_is_one_line(one, words):
    date, time, rest = why.event_line(one).split(" ", 2)
    assert (len(date), len(time)) == (10, 8)
    assert rest.strip() == words.strip()


def test_why_is_of_a_site(answers, capsys):
    answers["/sites/a.example%2Fapp/events?limit=2"] = {**KEPT, "events": [event("wake")] * 2}
    assert main(["why", "a.example/app", "-n", "2"]) == 0
    assert capsys.readouterr().out.count("wake     words\n") == 2
    answers["/sites/a.example/events?limit=20"] = {**KEPT, "events": []}
    assert main(["why", "a.example"]) == 0
    assert capsys.readouterr().out == "a.example: nothing has become of it\n"


@pytest.mark.parametrize("number", ["0", "-1", "10001", "x", "1e3", "٣"])
def test_a_number_of_events_is_one(number, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["why", "a.example", "-n", number])
    assert ended.value.code == 2
    assert "is no number from 1 to 10000" in capsys.readouterr().err


def test_it_is_said_where_nothing_is_kept(answers, capsys):
    answers["/stats"] = {**KEPT, "path": None, "sites": [row("a.example")]}
    assert main(["stats"]) == 0
    assert "when this process began to serve: STATE_DIR is not set)" in capsys.readouterr().out
    answers["/stats"] = {**KEPT, "unwritten": "disk full", "sites": []}
    assert main(["stats"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("(/var/lib/luisito/history.sqlite cannot be written: disk full)\n")
    answers["/errors?limit=20"] = {
        **KEPT,
        "path": None,
        "failed": [],
        "as_before": [],
        "by_host_only": [],
        "events": [],
    }
    assert main(["errors"]) == 0
    assert "STATE_DIR is not set)" in capsys.readouterr().out.splitlines()[0]


def test_errors_tell_what_is_failed_and_what_failed(answers, capsys):
    failed = [
        {"site": "a.example", "worker": None, "error": "it exited\nwith this", "retry_seconds": 12},
        {"site": "b.example", "worker": "celery", "error": "gone", "retry_seconds": 0.0},
    ]
    before = [{"site": "c.example", "error": "c.example.toml:1: keep = 3: it must be\nother"}]
    by_host = [{"site": "d.example", "error": "d.example.toml: listen: taken"}]
    found = {"failed": failed, "as_before": before, "by_host_only": by_host}
    found["events"] = [event("failed")]
    answers["/errors?limit=20"] = {**KEPT, **found}
    assert main(["errors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:11] == [
        "failed now:",
        "  a.example: it exited with this; tried again in 12 s",
        "  b.example (celery): gone; tried again at the next request",
        "",
        "served as before, since what is new is wrong:",
        "  c.example: c.example.toml:1: keep = 3: it must be other",
        "",
        "served by Host only, since `listen` does not count:",
        "  d.example: d.example.toml: listen: taken",
        "",
        "failed last:",
    ]
    assert lines[11].endswith("failed   a.example: words")
    answers["/errors?limit=20"] = {
        **KEPT,
        "failed": [],
        "as_before": [],
        "by_host_only": [],
        "events": [],
    }
    assert main(["errors"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == ["nothing is failed now", "", "nothing has failed before"]


SITES = [
    row("a.example", requests=5, warm_p95_seconds=0.2, cold_share=0.5, pool_seconds=7.0),
    row("b.example", requests=70_000, warm_p95_seconds=0.01, requests_a_day=12.4),
    row("c.example", requests=6, warm_p95_seconds=None),
]


@pytest.mark.parametrize(
    ("sort", "order"),
    [("requests", "bca"), ("site", "abc"), ("p95", "abc"), ("cold", "abc"), ("a-day", "bac")],
)
def test_stats_are_sorted(answers, capsys, sort, order):
    answers["/stats"] = {**KEPT, "sites": SITES}
    assert main(["stats", "--sort", sort]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["SITE", "REQUESTS", "A", "DAY"]
    assert [line[0] for line in lines] == list(order)
    assert "70,000" in lines[order.index("b")]
    assert "10.0 ms" in lines[order.index("b")]
    assert "50.0%" in lines[order.index("a")]


def test_the_columns_are_documented():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## luisito why, errors, stats")[2].partition("\n## ")[0]
    assert not [name for name in stats._FIELDS if f"`{name}`" not in section]


def test_one_site_is_told_of_in_words(answers, capsys):
    figures = row(
        "a.example", requests=8, by_class=[1, 0, 6, 0, 1, 0], warm=4, warm_p50_seconds=0.002,
        warm_p95_seconds=0.004, cold=2, cold_p50_seconds=0.5, cold_p95_seconds=0.8,
        cold_share=1 / 3, alive_seconds=7300.0, pool_seconds=3650.0, last_exit="pid 5 exited",
    )  # fmt: skip
    answers["/sites/a.example/stats"] = {**KEPT, "site": "a.example", "stats": figures}
    assert main(["stats", "a.example"]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    told = {name.strip(): words.strip() for name, words in told.items()}
    assert told["requests"] == "8: 1 cut off, 6 2xx, 1 4xx"
    assert told["alive"] == "2 h 1 min, all its servers together"
    assert told["in the pool"] == "1 h, on average of those that have ended"
    assert told["warm"] == "4 answers, half of them within 2.0 ms, 95 % within 4.0 ms"
    assert told["cold"] == ("2 answers, half of them within 0.5 s, 95 % within 0.8 s; 33.3% of all")
    assert told["last end"] == "pid 5 exited"
    assert "last failure" not in told
    assert told["failed"] == "0 times"
    figures["failures"] = figures["refused"] = 1
    assert main(["stats", "a.example"]) == 0
    assert re.findall("1 (?:time|request)$", capsys.readouterr().out, re.MULTILINE)
    answers["/sites/b.example/stats"] = {**KEPT, "site": "b.example", "stats": None}
    assert main(["stats", "b.example"]) == 0
    assert capsys.readouterr().out == "b.example: nothing has become of it\n"


@pytest.mark.parametrize("command", [["stats"], ["errors"], ["why", "a.example"]])
def test_json_is_what_the_control_socket_answers(answers, capsys, command):
    told = {**KEPT, "sites": [row("a.example")], "failed": [], "events": [event("wake")]}
    targets = ("/stats", "/errors?limit=20", "/sites/a.example/events?limit=20")
    answers.update(dict.fromkeys(targets, told))
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
