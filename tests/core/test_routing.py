"""ALLOWED_HOSTS: which hosts are sites."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.routing import Pattern, Routes, Verdict
from luisito.errors import SettingsError


@pytest.mark.parametrize(
    ("allowed", "yes", "no"),
    [
        (None, ["localhost", "a.localhost", "b.a.localhost"], ["a.example", "xlocalhost"]),
        ([], [], ["localhost", "a.example"]),
        (["*"], ["localhost", "a.example", "127.0.0.1", "[::1]"], []),
        (["A.Example."], ["a.example"], ["example", "b.a.example"]),
        (["*.example"], ["a.example", "b.a.example"], ["example", "aexample", "a.example.org"]),
        (["*", "!shop.example"], ["example", "a.shop.example"], ["shop.example"]),
        (["!*.x.example", "*.example"], ["x.example"], ["a.x.example", "b.a.x.example"]),
        (["!*", "a.example"], [], ["a.example"]),
        (["127.0.0.1", "[::1]"], ["127.0.0.1", "[::1]"], ["127.0.0.2", "[::2]"]),
        (["a.example", "*.b.c.example"], ["a.example", "a.b.c.example"], ["a.c.example", "b"]),
        (lambda host: host.startswith("a"), ["a.example"], ["b.example"]),
    ],
)
def test_allows(allowed, yes, no):
    routes = Routes(allowed)
    assert [host for host in yes if not routes.allows(host)] == []
    assert [host for host in no if routes.allows(host)] == []


def test_a_function_may_answer_with_anything_true():
    answer = Routes({"x": 1}.get).allows("x")
    assert answer is True


@pytest.mark.parametrize(
    ("allowed", "why"),
    [
        ("a.example", "write a list, ['a.example']"),
        ([b"a.example"], "b'a.example'"),
        ([""], "is empty"),
        (["!"], "'!'"),
        (["!!a.example"], "'!!a.example'"),
        (["*."], "is empty"),
        (["*example"], "label '*example'"),
        (["*.*.example"], "label '*'"),
        (["a.*"], "label '*'"),
        ([".example"], "label ''"),
        (["*.127.0.0.1"], "an IP address has no subdomains"),
        (["*.[::1]"], "an IP address has no subdomains"),
        (["a.example:80"], "write it as 'a.example', without a port"),
        (["[0::1]"], "write it as '[::1]'"),
        (["https://a.example"], "is not `name`"),
        (["bücher.example"], "as an A-label"),
        (["\udc80"], "label"),
    ],
)
def test_a_wrong_pattern_is_named_with_its_mend(allowed, why):
    with pytest.raises(SettingsError, match="ALLOWED_HOSTS") as caught:
        Routes(allowed)
    assert why in str(caught.value)


LABELS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join)


@given(
    st.lists(
        st.builds("{}{}{}".format, st.sampled_from(["", "!"]), st.sampled_from(["", "*."]), LABELS)
    ),
    LABELS,
)
def test_agrees_with_scanning_the_patterns(patterns, host):
    def fits(pattern):
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern

    allowed = any(fits(p) for p in patterns if not p.startswith("!"))
    forbidden = any(fits(p[1:]) for p in patterns if p.startswith("!"))
    assert Routes(patterns).allows(host) == (allowed and not forbidden)


@pytest.mark.parametrize(
    ("allowed", "host", "verdict"),
    [
        (None, "a.localhost", Verdict(True, "*.localhost", asked=False)),
        (["A.example", "*"], "a.example", Verdict(True, "A.example", asked=False)),
        (["*.example", "*"], "b.example", Verdict(True, "*.example", asked=False)),
        (["*"], "b.example", Verdict(True, "*", asked=False)),
        (["*", "!*.B.example"], "a.b.example", Verdict(False, "!*.B.example", asked=False)),
        (["!b.example"], "b.example", Verdict(False, "!b.example", asked=False)),
        (["*.example"], "example", Verdict(False, "", asked=False)),
        (lambda host: host == "a", "a", Verdict(True, "", asked=True)),
        (lambda host: host == "a", "b", Verdict(False, "", asked=True)),
    ],
)
def test_explain(allowed, host, verdict):
    assert Routes(allowed).explain(host) == verdict


def test_where_each_site_has_a_folder_any_host_may_have_one():
    assert Routes.of(None, folders=True).allows("a.example")
    assert not Routes.of(None, folders=False).allows("a.example")
    assert not Routes.of(["b.example"], folders=True).allows("a.example")


def test_a_function_that_fails_is_named():
    def broken(host):
        raise KeyError(f"no\n{host}")

    for ask in (Routes(broken).allows, Routes(broken).explain):
        with pytest.raises(SettingsError) as caught:
            ask("a")
        assert str(caught.value) == (
            "ALLOWED_HOSTS: its function raised KeyError for 'a' ('no\\na'); mend that function"
        )


NAMES = [".".join(labels) for n in (1, 2, 3) for labels in itertools.product("ab", repeat=n)]
WRITTEN = ["*", *NAMES, *(f"*.{name}" for name in NAMES)]


def test_patterns_cover_and_meet_as_the_hosts_that_fit_them():
    """Hosts one label longer than any pattern tell all of them apart."""
    hosts = [*NAMES, *(f"{label}.{name}" for label in "abc" for name in NAMES)]
    fitting = {one: {host for host in hosts if Routes([one]).allows(host)} for one in WRITTEN}
    for one, other in itertools.product(WRITTEN, repeat=2):
        first, second = Pattern.parse(one), Pattern.parse(other)
        assert first.covers(second) == (fitting[one] >= fitting[other]), (one, other)
        assert first.meets(second) == bool(fitting[one] & fitting[other]), (one, other)
