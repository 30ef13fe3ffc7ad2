"""Sites that are down for maintenance: what is said, who is refused, and which servers go."""

import json

import pytest

from luisito.core.adoption import Known
from luisito.core.directory import REDIRECT, Directory
from luisito.core.lifecycle import State
from luisito.core.maintenance import USUAL, Closed, closed
from luisito.core.orders import Refuse
from luisito.core.pages import page
from luisito.core.sites import Waiting
from tests.core.directories import USUAL as TERMS
from tests.core.directories import record
from tests.core.test_adoption import adopt, ready, talk
from tests.core.test_policy import Talk


def close(t, site="a", seconds=300):
    return t.hear(t.policy.close(site, seconds, t.now))


def test_what_is_written():
    assert closed(False) is None
    assert closed(True).retry_after == USUAL
    assert closed("Back <soon>") == Closed("Back <soon>", USUAL)
    assert closed(60) == Closed(closed(True).words, 60)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_words_are_shown_and_are_no_markup(as_json):
    answer = page(503, as_json=as_json, close=False, words="<b>Back</b> at 5").decode()
    body = answer.partition("\r\n\r\n")[2]
    if as_json:
        assert json.loads(body)["message"] == "<b>Back</b> at 5"
    else:
        assert "<p>&lt;b&gt;Back&lt;/b&gt; at 5</p>" in body


def test_it_is_where_its_hosts_go_but_for_redirects():
    directory = Directory(None, TERMS)
    mounts = [
        record("a.test/up", mounted="/up", strip=True),
        record("a.test/down", mounted="/down", strip=True, maintenance=5),
    ]
    directory.change([record("a.test", maintenance="Later", redirects=["old.test"], mounts=mounts)])
    to = directory.find("a.test")
    assert (to.status, to.closed.words, to.plain) == (503, "Later", False)
    assert "a.test" not in directory.known
    moved = directory.find("old.test")
    assert (moved.status, moved.closed, moved.mounts) == (REDIRECT, None, None)
    assert directory.of("a.test/up").status == 0
    assert directory.of("a.test/down").closed.retry_after == 5
    directory.change([record("a.test")])
    assert directory.find("a.test").plain


def test_who_waits_and_who_asks_is_refused_and_the_server_goes():
    t = Talk()
    assert close(t, "b") == []  # nothing is known of it
    t.ask("a1")
    assert close(t, seconds=60) == ["refuse a1 MAINTENANCE", "terminate a1"]
    assert t.last[0].retry_after == 60
    assert t.ask("a2") == ["refuse a2 MAINTENANCE"]
    assert t.exited(1) == []
    assert t.changed("a") == []
    assert t.ask("b1") == ["refuse b1 MAINTENANCE"]
    t.policy.open("a")
    assert t.ask("a3") == ["spawn a2"]
    assert t.ask("b2") == ["refuse b2 MAINTENANCE"]


def test_what_is_in_flight_is_finished():
    t = Talk()
    t.ask("a1")
    t.ready(1)
    assert close(t) == []
    assert (t.state(1), t.policy.take("a")) == (State.DRAINING, None)
    assert t.release(1) == ["terminate a1"]


def test_its_failures_are_forgotten():
    t = Talk()
    t.ask("a1")
    t.exited(1)
    assert close(t) == []
    assert t.policy.failures() == []
    t.policy.open("a")
    assert t.ask("a2") == ["spawn a2"]


def test_it_is_kept_up_no_longer():
    t = Talk()
    t.begin()
    assert t.keep("a") == ["spawn a1"]
    assert close(t) == ["terminate a1"]
    assert t.exited(1) == []
    t.policy.open("a")
    assert t.keep("a") == ["spawn a2"]


def test_a_file_that_goes_meanwhile_leaves_nothing():
    t = Talk()
    close(t)
    assert t.removed("a") == []
    assert t.ask("a1") == ["spawn a1"]


def test_what_is_adopted_goes():
    t = talk()
    close(t, "z")
    close(t)
    known = [
        ready("a", leases=1),
        Known("a", State.STARTING, started_at=99),
        Known("a", State.DRAINING, leases=1),
        ready("b"),  # numbered as they were started
    ]
    heard = adopt(t, *known, waiting=[Waiting("a", "a9", 98)])
    assert heard == ["refuse a9 MAINTENANCE", "terminate a4"]
    assert isinstance(t.last[0], Refuse)
    assert t.release(2) == ["terminate a2"]
    assert t.policy.take("b") is t.servers[3]


def test_who_waits_and_what_is_closed_is_told():
    t = Talk()
    t.ask("a1")
    t.ask("a2")
    assert (t.policy.waiting_for("a"), t.policy.waiting_for("b")) == (2, 0)
    assert not t.policy.is_closed("a")
    t.policy.close("a", 5.0, t.now)
    assert t.policy.is_closed("a")
    assert t.policy.waiting_for("a") == 0
