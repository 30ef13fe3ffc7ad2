from __future__ import annotations

import pytest

from luisito.core.lifecycle import MOVES, IllegalMove, Server, State, move

LEGAL = [(state, to) for state in State for to in State if to in MOVES[state]]
ILLEGAL = [(state, to) for state in State for to in State if to not in MOVES[state]]


def test_every_state_stands_in_the_table_once():
    assert set(MOVES) == set(State)


@pytest.mark.parametrize(("state", "to"), LEGAL)
def test_legal_moves(state, to):
    assert move(state, to) is to


@pytest.mark.parametrize(("state", "to"), ILLEGAL)
def test_illegal_moves(state, to):
    with pytest.raises(IllegalMove, match=f"{state.name} cannot become {to.name}"):
        move(state, to)


def test_the_error_names_what_would_have_been_legal():
    with pytest.raises(IllegalMove, match="STOPPING cannot become READY, only ABSENT"):
        move(State.STOPPING, State.READY)
    with pytest.raises(IllegalMove, match="only nothing"):
        move(State.FAILED, State.STARTING)


def test_every_state_can_be_reached_and_left_for_good():
    reached = {State.ABSENT}
    for _ in State:
        reached |= {to for state in reached for to in MOVES[state]}
    assert reached == set(State)
    for state in (State.READY, State.DRAINING, State.STOPPING):
        ends = {state}
        for _ in State:
            ends |= {to for s in ends if s is not State.ABSENT for to in MOVES[s]}
        assert State.ABSENT in ends


def test_a_server_begins_with_nothing():
    server = Server(7, "a.example", 3.0)
    assert (server.id, server.site, server.state) == (7, "a.example", State.ABSENT)
    assert (server.leases, server.early, server.data) == (0, False, None)
    assert (server.started_at, server.ready_at, server.used_at) == (3.0, 0.0, 3.0)
    assert repr(server) == "<Server 7 a.example ABSENT leases=0>"
