"""How many connections there may be, and of whom."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.admission import Admission, files_for, most_clients, place_of


@pytest.mark.parametrize(
    ("peer", "same", "other"),
    [
        (b"192.0.2.1", b"192.0.2.1", b"192.0.2.2"),
        (b"2001:db8::1", b"2001:db8:0:0:ffff:ffff:ffff:ffff", b"2001:db8:0:1::1"),
        (b"::1", b"::2", b"1::1"),
    ],
)
def test_one_place(peer, same, other):
    assert place_of(peer) == place_of(same) != place_of(other)


def test_addresses_that_are_mapped_into_ipv6_are_those_of_ipv4():
    """Or all clients by IPv4 of a listener for both would count as one."""
    assert place_of(b"::ffff:192.0.2.1") == b"192.0.2.1"


def test_what_is_no_address_has_no_place():
    with pytest.raises(ValueError, match="2001:xyz"):
        place_of(b"2001:xyz")


def test_of_one_place_there_are_no_more_than_may_be():
    admission = Admission(inf, 2)
    for _ in range(2):
        assert admission.admits(b"a")
        admission.enter(b"a")
    assert not admission.admits(b"a")
    assert admission.admits(b"b")
    assert admission.admits(None)
    admission.leave(b"a")
    assert admission.admits(b"a")
    assert not admission.is_full()


def test_all_count_together():
    admission = Admission(3, inf)
    for place in (b"a", b"b", None):
        assert not admission.is_full()
        admission.enter(place)
    assert admission.is_full()
    admission.enter(None)  # one that was open before there was a limit
    admission.leave(b"a")
    assert admission.is_full()
    admission.leave(None)
    assert not admission.is_full()


@given(st.lists(st.sampled_from([b"a", b"b", None])))
def test_nothing_is_kept_of_those_that_have_left(places):
    admission = Admission(5, 2)
    for place in places:
        admission.enter(place)
    for place in reversed(places):
        admission.leave(place)
    assert (admission.open, admission._at) == (0, {})


@given(st.integers(1, 10**6), st.integers(0, 1000), st.booleans())
def test_a_limit_on_files_has_room_for_so_many_and_no_more(files, servers, page):
    most = most_clients(files, servers, page=page)
    assert most == 1 or files_for(most, servers, page=page) <= files
    assert files_for(most + 1, servers, page=page) > files
