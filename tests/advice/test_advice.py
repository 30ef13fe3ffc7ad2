"""What is advised, and that the pool's own policy then does as was foretold."""

import json
import random
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from bench.keep.traces import TRACES
from luisito.advice.advice import Found, amount
from luisito.advice.playing import play
from luisito.advice.svg import chart
from luisito.cli import main
from luisito.core.orders import Limits
from luisito.core.reuse import Reuse

DAY = 86_400.0


@pytest.mark.parametrize("idle", [None, 600.0])
@pytest.mark.parametrize("name", list(TRACES))
def test_the_pools_policy_does_as_foretold(name, idle):
    trace = [(at, f"s{site}") for at, site, _ in TRACES[name](300, 4000, 1)]
    reuse = Reuse(idle=idle)
    for at, site in trace:
        reuse.saw(site, at)
    for servers in (5, 40, 150):
        limits = Limits(max_servers=servers, idle_timeout=idle)
        assert play(trace, limits) == reuse.cold(servers)


def test_where_the_curve_bends():
    curve = [(10, 400.0), (40, 310.0), (65, 42.0), (200, 20.0)]
    found = Found(40, DAY, 10_000, 200, curve, 46 << 20)
    assert found.words() == "40 -> 65 servers: cold starts 310 -> 42 a day, + 1.1 GB"
    assert (40, 310.0) in found.rows()
    assert (65, 42.0) in found.rows()


def test_enough_and_more_than_enough():
    curve = [(10, 400.0), (40, 20.5), (65, 20.0)]
    assert Found(40, DAY, 9999, 99, curve).words() == "40 servers are right: cold starts 20 a day"
    words = "80 servers are enough, and 40 would be: cold starts 20 -> 20 a day, - 400 MB"
    assert Found(80, DAY, 9999, 99, curve, 10 << 20).words() == words
    for seen in (Found(40, DAY / 2, 99, 9, curve), Found(80, DAY / 2, 99, 9, curve)):
        assert seen.words().endswith(" (roughly: less than a day was seen)")
        seen = replace(seen, seconds=3599.0)
        assert seen.words().endswith("less than an hour was seen; ask again after some days)")
    assert "nothing can be said" in Found(80, DAY, 9, 9, []).words()


def test_amounts():
    assert [amount(size << 20) for size in (60, 1536)] == ["60 MB", "1.5 GB"]


def test_the_drawing_is_whole():
    root = ET.fromstring(chart(Found(4, DAY, 100, 9, [(1, 90.0), (8, 9.0)])))
    assert root.find("{*}desc").text.startswith("4 -> 8 servers")
    points = root.find("{*}polyline").get("points").split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights)  # downwards on the page
    assert len(set(heights)) == 2


def log(path, count=2000):
    draw = random.Random(1)
    line = '{}.example:80 192.0.2.7 - - [29/Nov/2026:{:02}:{:02}:00 +0000] "GET / HTTP/1.1" 200 5\n'
    with path.open("w") as file:
        for number in range(count):
            minute = number * 1440 // count
            site = f"s{min(draw.randrange(30), draw.randrange(30))}"
            file.write(line.format(site, minute // 60, minute % 60))
    return str(path)


def test_in_words_json_and_a_drawing(tmp_path, capsys):
    path, drawing = log(tmp_path / "log"), tmp_path / "a.svg"
    how = ["advise", "--from", path, "--servers", "5", "--memory-each", "60M"]
    assert main([*how, "--svg", str(drawing)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2,000 requests for 30 sites in 23 h 59 min"
    assert lines[-1].startswith("5 -> ")
    assert sum(line.endswith(("now", "advised")) for line in lines) == 2
    assert lines[-1] in drawing.read_text().replace("&gt;", ">")

    assert main([*how, "--json", "--idle", "3600"]) == 0
    told = json.loads(capsys.readouterr().out)
    row = next(row for row in told["rows"] if row["servers"] == told["advised"])
    assert told["policies"]["lru"] == pytest.approx(row["cold_a_day"], rel=0.01)
    assert row["memory_bytes"] == told["advised"] * (60 << 20)


def test_wrong_use(tmp_path, capsys):
    (tmp_path / "log").write_text("nonsense\n")
    assert main(["advise", "--from", str(tmp_path / "log")]) == 2
    assert f"luisito: {tmp_path}/log:1: 'nonsense'..." in capsys.readouterr().err
    assert main(["advise", "--host", "a.example"]) == 2
    assert "--host goes with --from" in capsys.readouterr().err
    path = log(tmp_path / "log")
    assert main(["advise", "--from", path, "--svg", f"{tmp_path}/none/a.svg"]) == 2
    assert "a.svg: No such file" in capsys.readouterr().err
    for option, value in (("--servers", "0"), ("--idle", "0"), ("--memory-each", "x")):
        with pytest.raises(SystemExit):
            main(["advise", option, value])
        assert f"'{value}' is no" in capsys.readouterr().err


def test_too_little_was_seen(tmp_path, capsys):
    path = log(tmp_path / "log", 1)
    assert main(["advise", "--from", path]) == 1
    assert "nothing can be said" in capsys.readouterr().out
