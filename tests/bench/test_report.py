"""What is printed and drawn of what was measured."""

import re
from xml.etree import ElementTree as ET

import pytest

from bench import svg
from bench.measure import Sample
from bench.report import Row, Verdict, table
from bench.works import WORKS, row

SVG = "{http://www.w3.org/2000/svg}"


def sample(microseconds, requests=1000):
    return Sample(
        cpu=microseconds * requests / 1e6,
        elapsed=1.0,
        requests=requests,
        received=0,
        opened=0,
        latency_median=0.0,
        latency_99=0.0,
    )


SMALL = {
    "Luisito": [sample(14), sample(15), sample(90)],
    "nginx": [sample(12)] * 3,
    "haproxy": [sample(16)] * 3,
    "ReverseProxyResource": [sample(300)] * 3,
    "caddy": [sample(25)] * 3,
}


def test_a_row_has_medians_and_verdicts():
    found = row(WORKS["small"], SMALL)
    assert found.costs == pytest.approx(
        {"Luisito": 15, "nginx": 12, "haproxy": 16, "ReverseProxyResource": 300, "caddy": 25}
    )
    assert found.cells["caddy"] == "25.0 µs, 1,000/s"
    assert {(v.unit, v.limit): (round(v.figure, 2), v.met) for v in found.verdicts} == {
        (" of nginx", 1.40): (1.25, True),
        (" of ReverseProxyResource", 0.13): (0.05, True),
        (" of caddy", 0.5): (0.6, False),  # Passenger is not there, and so has no verdict
    }


def test_the_table_has_a_column_for_those_without_one():
    found = row(WORKS["small"], SMALL)
    head, dashes, line = table([found]).splitlines()
    columns = [column.strip() for column in head.strip("|").split("|")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(columns) == len(cells) == dashes.count("---")
    by_name = dict(zip(columns, cells, strict=True))
    assert by_name["nginx"] == "12.0 µs, 1,000/s"
    assert by_name["others"] == "caddy 25.0 µs, 1,000/s"
    assert by_name["goal"] == "≤ 1.4; ≤ 0.13; ≤ 0.5"
    assert by_name["met"] == "yes; yes; **no**"


def test_a_goal_is_met_up_to_its_limit():
    assert Verdict(50.0, 50.0, " MB more").met
    assert not Verdict(50.1, 50.0, " MB more").met


def test_the_drawing_has_each_figure():
    rows = [row(WORKS["small"], SMALL), Row("a < b & c", {}, [], costs={"Luisito": 20.0})]
    root = ET.fromstring(svg.chart(rows, ["by nginx & others"]))  # well-formed
    assert root.tag == f"{SVG}svg"
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for found in rows:
        assert found.work in texts
        for name, cost in found.costs.items():
            assert name in texts
            assert f"{cost:.1f} µs" in texts
    assert "by nginx & others" in texts


def test_bars_are_to_one_scale_and_inside():
    rows = [row(WORKS["small"], SMALL), row(WORKS["paths"], {"Luisito": [sample(30)]})]
    root = ET.fromstring(svg.chart(rows, []))
    *_, width, height = map(float, root.get("viewBox").split())
    lengths = {}
    names = [text for text in root.iter(f"{SVG}text") if text.get("class") == "name"]
    bars = [bar for bar in root.iter(f"{SVG}rect") if "bar" in bar.get("class").split()]
    for name, bar in zip(names, bars, strict=True):
        lengths.setdefault(name.text, []).append(float(bar.get("width")))
        assert (bar.get("class") == "bar ours") == (name.text == "Luisito")
        assert float(bar.get("x")) + float(bar.get("width")) < width
        assert float(bar.get("y")) + float(bar.get("height")) < height
    assert [name.text for name in names[:5]] == [
        "nginx",
        "Luisito",
        "haproxy",
        "caddy",
        "ReverseProxyResource",
    ]  # the cheapest first
    assert lengths["ReverseProxyResource"][0] / lengths["caddy"][0] == pytest.approx(12, rel=0.01)
    assert lengths["Luisito"][1] / lengths["Luisito"][0] == pytest.approx(2, rel=0.01)


def test_the_drawing_follows_light_and_dark():
    """What is filled is filled by a class, and each class has a colour for both."""
    drawing = svg.chart([row(WORKS["small"], SMALL)], ["note"])
    style = ET.fromstring(drawing).find(f"{SVG}style").text
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    coloured = re.compile(r"(\.?[a-z]+) \{[^}]*fill: (#[0-9a-f]{6})")
    assert dict(coloured.findall(light)).keys() == dict(coloured.findall(dark)).keys()
    assert "fill=" not in drawing
