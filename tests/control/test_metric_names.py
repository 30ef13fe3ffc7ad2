"""Documentation, alert rules and the dashboard name metrics that there are, with their labels."""

import json
import re
from pathlib import Path

import pytest
import yaml

from luisito.control.metrics.families import FAMILIES

ROOT = Path(__file__).parent.parent.parent
CONTRIB = ROOT / "contrib"
BY_NAME = {family.name: family for family in FAMILIES}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
# What is asked for in an expression, and the labels that Prometheus adds.
SAMPLES = {
    f"{family.name}{suffix}": family
    for family in FAMILIES
    for suffix in SUFFIXES.get(family.kind, ("",))
}
FROM_ELSEWHERE = {"up", "process_cpu_seconds_total"}
ADDED = {"instance", "job", "le"}
NAME = re.compile(r"(?<![\w$\"])(?:luisito|process)_\w+|\bup\b")
ASKED = re.compile(rf"({NAME.pattern})(?:\{{([^}}]*)\}})?")
BY = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")


def rules():
    (group,) = yaml.safe_load((CONTRIB / "prometheus/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def dashboard():
    board = json.loads((CONTRIB / "grafana/luisito.json").read_text())
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found[f"${variable['name']}"] = variable["query"]["query"]
    return found


EXPRESSIONS = {**rules(), **dashboard()}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_what_is_asked_for_is_there(where):
    expression = EXPRESSIONS[where]
    asked = ASKED.findall(expression)
    assert asked
    labels = set(ADDED)
    for name, matchers in asked:
        assert name in SAMPLES or name in FROM_ELSEWHERE, name
        of = set(ADDED)
        if name in SAMPLES:
            of.update(SAMPLES[name].labels)
        labels |= of
        for matcher in filter(None, matchers.split(",")):
            assert re.match(r"\w+", matcher)[0] in of, (name, matcher)
    for group in BY.findall(expression):
        assert set(re.findall(r"\w+", group)) <= labels, group


def test_the_test_sees_what_is_wrong():
    """A name with a letter more, and a label that is another metric's."""
    assert ASKED.findall('rate(luisito_requestss_total{site="a"}[5m])') == [
        ("luisito_requestss_total", 'site="a"')
    ]
    assert "luisito_requestss_total" not in SAMPLES
    assert "luisito_queue_wait_seconds" not in SAMPLES  # of which no such sample is told


def test_what_an_alert_or_a_panel_shows_is_a_label():
    text = (CONTRIB / "prometheus/alerts.yml").read_text()
    known = {label for family in FAMILIES for label in family.labels} | ADDED
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= known
    legends = (CONTRIB / "grafana/luisito.json").read_text()
    assert set(re.findall(r"\{\{(\w+)\}\}", legends)) <= known


def test_prometheus_reads_the_rules():
    config = yaml.safe_load((CONTRIB / "prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    assert {one["job_name"] for one in config["scrape_configs"]} == {"luisito"}


# docs/metrics.md


def table(heading):
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    lines = text[text.index(heading) :].splitlines()[2:]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines[: lines.index("") if "" in lines else None]
    ]


def test_the_documentation_has_all_in_their_order():
    rows = table("| metric |")
    assert [row[0].strip("`") for row in rows] == list(BY_NAME)
    for name, kind, labels, unit, words in rows:
        family = BY_NAME[name.strip("`")]
        assert kind == family.kind
        assert tuple(re.findall(r"`(\w+)`", labels)) == family.labels
        for word in ("seconds", "bytes"):
            assert (unit == word) == (f"_{word}" in family.name), name
        assert words


def test_the_documentation_says_what_to_do_at_each_alert():
    named = {name for row in table("| alert |") for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(rules())
