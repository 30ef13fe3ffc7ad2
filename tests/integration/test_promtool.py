"""Prometheus' own promtool takes the alert rules of contrib, and what a whole Luisito tells."""

import subprocess

import pytest

from tests.harness.server import ROOT
from tests.integration.test_metrics import scraped

pytestmark = pytest.mark.needs("promtool")


def promtool(*words, text=None):
    """What it has to say; it ends with 0 where that is nothing."""
    argv = ["promtool", *words]
    said = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    return said.returncode, said.stdout + said.stderr


def test_it_takes_the_rules():
    rules = ROOT / "contrib/prometheus/alerts.yml"
    code, words = promtool("check", "rules", "--lint-fatal", str(rules))
    assert code == 0, words
    assert f"SUCCESS: {rules.read_text().count('- alert: ')} rules found" in words


def test_it_takes_the_configuration(tmp_path):
    """With a token that is there, as it looks for the file."""
    (tmp_path / "alerts.yml").write_bytes((ROOT / "contrib/prometheus/alerts.yml").read_bytes())
    (tmp_path / "token").write_text("a" * 16)
    text = (ROOT / "contrib/prometheus/prometheus.yml").read_text()
    assert "/etc/prometheus/luisito.token" in text
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/luisito.token", str(tmp_path / "token")))
    code, words = promtool("check", "config", str(config))
    assert code == 0, words


def test_it_takes_what_is_told(serve):
    server = serve({"MAX_SERVERS": 1})
    server.warm("a.localhost")
    server.warm("b.localhost")
    _, text = scraped(server, "*/*")
    assert 'site="b.localhost"' in text
    assert promtool("check", "metrics", text=text) == (0, "")


def test_it_sees_what_is_wrong(tmp_path):
    (tmp_path / "wrong.yml").write_text(
        "groups: [{name: a, rules: [{alert: A, expr: 'rate(luisito_requests_total'}]}]"
    )
    code, words = promtool("check", "rules", str(tmp_path / "wrong.yml"))
    assert code == 1
    assert "could not parse expression" in words
    code, words = promtool("check", "metrics", text="# TYPE a_total counter\na_total 1\n")
    assert code == 3
    assert "no help text" in words
