from __future__ import annotations

import re
from fnmatch import translate
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.wakerules import Rule, Rules, may_answer, rules_of

LINES = b"\r\nHost: a.test\r\nUser-Agent: Mozilla/5.0 (compatible; UptimeRobot/2.0)\r\nA: b\r\n"
NETWORKS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def matches(rule, *, lines=LINES, client=b"10.1.2.3", method=b"GET", target=b"/healthz?a=1"):
    about = Rules([rule]).about(lines, client)
    return about is not None and about.first(method, target) is rule


@pytest.mark.parametrize(
    ("agents", "yes"),
    [
        (("uptimerobot",), True),
        (("bingbot", "UPTIME"), True),
        (("*UptimeRobot*",), True),
        (("UptimeRobot*",), False),
        (("Mozilla/*robot/2.0)",), True),
        (("*",), True),
        (("bingbot",), False),
    ],
)
def test_agents(agents, yes):
    assert matches(Rule(user_agent=agents)) is yes


def test_a_request_without_an_agent():
    lines = b"\r\nHost: a.test\r\nX-User-Agent: UptimeRobot\r\n"
    assert not matches(Rule(user_agent=("UptimeRobot",)), lines=lines)
    assert matches(Rule(user_agent=("*",)), lines=lines)
    assert matches(Rule(user_agent=("b",)), lines=b"\r\nuser-agent:\t B \r\n")


@pytest.mark.parametrize(
    ("paths", "yes"),
    [
        (("/healthz",), True),
        (("/health",), False),
        (("/HEALTHZ",), False),
        (("/x", "/health*"), True),
        (("*z",), True),
        (("/h*l*z",), True),
        (("/healthz*z",), False),  # what is there once does not count twice
    ],
)
def test_paths(paths, yes):
    assert matches(Rule(path=paths)) is yes


def test_all_conditions_must_hold():
    rule = Rule(
        user_agent=("Uptime",), path=("/healthz",), methods=("GET", "HEAD"), addresses=NETWORKS
    )
    assert matches(rule)
    assert matches(rule, method=b"HEAD", client=b"2001:db8::1")
    assert matches(rule, client=b"::ffff:10.0.0.1")
    assert not matches(rule, method=b"POST")
    assert not matches(rule, target=b"/")
    assert not matches(rule, lines=b"\r\nUser-Agent: curl\r\n")
    for client in (b"11.1.2.3", b"unix", b"2001:db9::1", b"\xff"):
        assert not matches(rule, client=client)


def test_only_what_may_match_is_asked_again():
    agent, path = Rule(user_agent=("Uptime",)), Rule(path=("/healthz",))
    rules = Rules([agent, path])
    assert rules.about(LINES, b"1.2.3.4") is rules
    about = rules.about(b"\r\nUser-Agent: curl\r\n", b"1.2.3.4")
    assert about.first(b"GET", b"/") is None
    assert about.first(b"GET", b"/healthz") is path
    assert Rules([agent]).about(b"\r\n", b"1.2.3.4") is None
    assert rules.first(b"GET", b"/healthz") is agent  # the first one counts


def test_a_rule_in_json_is_the_same_rule():
    rule = Rule(
        user_agent=("a", "b*"), path=("/x",), methods=("GET",), addresses=NETWORKS,
        answer=200, text="ok",
    )  # fmt: skip
    assert Rule.of(rule.record()) == rule
    assert rules_of([]) is None
    about = rules_of([rule.record()]).about(b"\r\nUser-Agent: A\r\n", b"10.0.0.1")
    assert about.first(b"GET", b"/x") == rule


def test_a_rule_in_words():
    assert str(Rule(path=("/a", "/b"), addresses=NETWORKS[:1])) == "path=/a|/b addresses=10.0.0.0/8"


def test_answers():
    asked = (200, 204, 206, 301, 404, 418, 503, 600, 100, 299)
    assert [status for status in asked if may_answer(status)] == [200, 204, 404, 418, 503]


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_star_is_anything(pattern, text):
    wanted = re.fullmatch(translate(pattern), text) is not None
    assert matches(Rule(path=(pattern,)), target=text.encode()) == wanted


def test_many_stars_cost_no_more_than_a_look_at_the_text():
    rule = Rule(path=("*a" * 1000 + "b",))
    assert not matches(rule, target=b"a" * 30_000)
