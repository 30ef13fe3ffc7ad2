"""Sites that sleep, as the bench makes, serves and compares them, before anything is started."""

import sys
import tomllib
from pathlib import Path

import pytest

from bench.sleepers import cold, merging, sites, ways, weight
from bench.sleepers.account import Account, counted


@pytest.fixture
def pair(tmp_path):
    python = Path(sys.executable)
    return [
        sites.Site("a.localhost", sites.DJANGO, tmp_path / "a", python),
        sites.Site("b.localhost", sites.FLASK, tmp_path / "b", python),
    ]


def test_a_page_says_whose_it_is():
    page = b"<p>a.localhost is answered with version 5.2.1</p>"
    assert sites.said(page) == sites.Said("a.localhost", "5.2.1")
    with pytest.raises(ValueError, match="not a page"):
        sites.said(b"<p>Bad Request</p>")


def test_flask_sites_are_whole_and_differ(tmp_path):
    made = sites.make(tmp_path, sites.FLASK, ["a", "b"], Path(sys.executable))
    for site in made:
        text = (site.folder / "shop.py").read_text()
        compile(text, "shop.py", "exec")
        assert f"'{site.name}'" in text
        assert (site.folder / "templates/page.html").exists()
        assert (site.folder / "passenger_wsgi.py").read_text().startswith("from shop import app ")


def test_each_peer_is_told_of_folder_and_virtualenv(pair):
    for site in pair:
        for told in (ways.vassal(site, 2), ways.virtual_host(site, 8080)):
            assert str(site.folder) in told
            assert str(site.virtualenv) in told
        for lines in (ways._gunicorn, ways._waitress, ways._plain, ways._preloaded):
            said = tomllib.loads(ways.site_file(site, lines))
            assert said["virtualenv"] == str(site.virtualenv)
            assert str(site.folder) in (said.get("folder"), said.get("django"))


def test_names_of_ways_differ_and_one_shares():
    everyone = ways.ways()
    assert len({way.name for way in everyone}) == len(everyone)
    assert [way.name for way in everyone if way.shares] == [ways.PRELOADED, ways.HIBERNATING]
    assert [way.name for way in everyone if way.hibernates] == [ways.HIBERNATING]


def test_goals_stand_beside_the_preloaded_way_and_passengers():
    taken = {ways.PRELOADED: [20.0, 40.0, 30.0], ways.PASSENGER: [300.0, 400.0, 350.0]}
    row = cold.starts_row(sites.DJANGO, taken, {ways.PRELOADED: [9.0]})
    assert row.cells[ways.PRELOADED] == "30.0 ms, 95 % 40.0, CPU 9 ms"
    assert "CPU" not in row.cells[ways.PASSENGER]
    assert [(v.limit, v.met) for v in row.verdicts] == [(30.0, True), (0.12, True)]
    alone = cold.starts_row(sites.FLASK, {ways.PRELOADED: [13.0]}, {})
    assert [(v.limit, v.met) for v in alone.verdicts] == [(12.0, False)]
    assert not cold.starts_row(sites.DJANGO, {ways.PLAIN: [1.0]}, {}).verdicts


def test_one_in_twenty_exceeds_the_late_one():
    assert cold.late([float(number) for number in range(1, 101)]) == 95.0
    assert cold.late([7.0]) == 7.0


def test_a_crowd_that_is_not_answered_meets_no_goal():
    row = cold.crowd_row(100, {ways.PRELOADED: 3.0, ways.PLAIN: 20.0}, dict.fromkeys(
        (ways.PRELOADED, ways.PLAIN), 2
    ))  # fmt: skip
    assert row.cells[ways.PRELOADED] == "3.00 s, 2 unanswered"
    assert [verdict.met for verdict in row.verdicts] == [True, False]


def test_a_site_bears_its_part_of_the_interpreter():
    own = {ways.WAITRESS: 30.0, ways.PRELOADED: 8.0}
    row = weight.row(sites.DJANGO, 10, own, {ways.PRELOADED: 3.0})
    assert row.costs[ways.PRELOADED] == 11.0
    assert row.cells[ways.PRELOADED] == "11.0 MB (3.0 of the interpreter)"
    assert row.verdicts[0].figure == pytest.approx(11 / 30)
    assert row.verdicts[0].met


def test_a_hibernating_site_has_goals_of_its_own():
    own = {ways.WAITRESS: 30.0, ways.HIBERNATING: 5.0}
    row = weight.row(sites.DJANGO, 10, own, {ways.HIBERNATING: 2.0}, 2.25)
    assert row.cells[ways.HIBERNATING] == "7.0 MB (2.0 of the interpreter), answers 2.2 ms later"
    assert [(v.limit, v.met) for v in row.verdicts] == [(0.2, False), (5.0, True)]


@pytest.fixture
def kernel(tmp_path):
    for name, text in {"run": "2\n", "pages_to_scan": "100\n", "full_scans": "7\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_how_the_kernel_merges_is_put_back(kernel):
    def said():
        return [(kernel / name).read_text().strip() for name in ("run", "pages_to_scan")]

    def merge():
        with merging.merging(kernel):
            assert said()[0] == "1"
            raise SystemExit

    with pytest.raises(SystemExit):
        merge()
    assert said() == ["2", "100"]


def test_what_is_merged_is_weighed_when_it_falls_no_more(kernel):
    weights = iter([9.0, 6.0, 3.0, 2.99, 0.0])

    def weigh():
        scans = int((kernel / "full_scans").read_text())
        (kernel / "full_scans").write_text(f"{scans + 10}\n")
        return next(weights)

    assert merging.settled(weigh, kernel) == 2.99


def test_cpu_time_is_read_of_both_versions_of_cgroups(tmp_path):
    (tmp_path / "cpuacct.usage").write_text("1500000000\n")
    assert counted(tmp_path) == 1.5
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert counted(tmp_path) == 2.5


def test_without_a_cgroup_nothing_is_counted():
    account = Account(None)
    assert account.charge(["true"]) == ["true"]
    assert account.seconds() is None


def test_a_process_weighs_something():
    assert weight.pss("self") > 1
