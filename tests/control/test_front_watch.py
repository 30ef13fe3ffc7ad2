"""Which rows have changed."""

from luisito.control.front.watch import Rows


def row(site, state="awake", **more):
    return {"site": site, "state": state, "up_seconds": 1.0, "idle_seconds": None, **more}


def look(rows, *told, whole):
    rows.begin(whole=whole)
    return [one["site"] for one in told if rows.is_new(one)], rows.end()


def test_only_what_is_another_is_new():
    rows = Rows()
    assert look(rows, row("a"), row("b", "asleep"), whole=True) == (["a", "b"], [])
    assert rows.busy == {"a"}
    assert look(rows, row("a", up_seconds=2.0), row("b", "asleep"), whole=True) == ([], [])
    assert look(rows, row("a", idle_seconds=0.1), whole=False) == (["a"], [])
    assert look(rows, row("a", idle_seconds=0.2), whole=False) == ([], [])
    assert look(rows, row("a", "asleep", idle_seconds=None), whole=False) == (["a"], [])
    assert rows.busy == set()


def test_what_is_no_more_is_told_of_a_look_at_all():
    rows = Rows()
    look(rows, row("a"), row("b"), whole=True)
    assert look(rows, row("a"), whole=False) == ([], [])
    assert look(rows, row("a"), whole=True) == ([], [{"site": "b", "state": "gone"}])
    assert rows.busy == {"a"}
    assert look(rows, row("a"), row("b"), whole=True) == (["b"], [])
