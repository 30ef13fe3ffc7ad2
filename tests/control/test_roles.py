"""Who is an operator, and who sees what."""

import pytest

from luisito.control.connections import OF_MEMBERS, PER_USER
from luisito.control.front.guests import OF_STRANGERS, PER_ADDRESS
from luisito.control.roles import STRANGER, TOKEN, Roles, called
from luisito.core.admission import files_for

NOBODY = 65534


@pytest.mark.parametrize(
    ("who", "operators", "others"),
    [
        # root started it; it has become luisito, and the servers run as someone else
        ({"started_by": 0, "serves_as": 105, "servers_as": None}, {0, 105}, {1000, NOBODY}),
        ({"started_by": 0, "serves_as": 105, "servers_as": 1000}, {0, 105}, {1000, NOBODY}),
        # the servers run as luisito too
        ({"started_by": 0, "serves_as": 105, "servers_as": 105}, {0}, {105, NOBODY}),
        # there is no user luisito
        ({"started_by": 0, "serves_as": NOBODY, "servers_as": None}, {0}, {1000, NOBODY}),
        ({"started_by": 0, "serves_as": NOBODY, "servers_as": NOBODY}, {0}, {1000, NOBODY}),
        # a person started it, and all run as that person
        ({"started_by": 1000, "serves_as": 1000, "servers_as": None}, {0, 1000}, {105, NOBODY}),
        ({"started_by": NOBODY, "serves_as": NOBODY, "servers_as": None}, {0, NOBODY}, {1000}),
    ],
)
def test_operators(who, operators, others):
    roles = Roles(**who)
    assert all(roles.is_operator(uid) for uid in operators)
    assert not any(roles.is_operator(uid) for uid in others)


def test_who_sees_a_server():
    roles = Roles(started_by=0, serves_as=105, servers_as=None)
    assert roles.sees(0, 1000)
    assert roles.sees(105, 1000)
    assert roles.sees(1000, 1000)
    assert not roles.sees(1001, 1000)


def test_a_server_that_is_nobodys_yet_is_seen_by_operators_only():
    roles = Roles(started_by=0, serves_as=105, servers_as=None)
    assert roles.sees(0, None)
    assert not roles.sees(1000, None)


def test_nobody_sees_no_server_of_nobodys():
    """Users without a number in our user namespace come as that uid, too."""
    for servers_as in (None, NOBODY):
        roles = Roles(started_by=0, serves_as=NOBODY, servers_as=servers_as)
        assert not roles.sees(NOBODY, NOBODY)
    assert Roles(started_by=NOBODY, serves_as=NOBODY, servers_as=None).sees(NOBODY, NOBODY)


def test_who_has_the_token_is_no_user():
    roles = Roles(started_by=0, serves_as=105, servers_as=None)
    assert roles.is_operator(TOKEN)
    assert not roles.is_operator(STRANGER)
    assert not roles.sees(STRANGER, None)
    assert (called(TOKEN), called(7)) == ("somebody with ADMIN_TOKEN", "uid 7")


@pytest.mark.parametrize(
    ("who", "shared"),
    [
        ({"started_by": 0, "serves_as": 105, "servers_as": 33}, {105, 33, NOBODY}),
        ({"started_by": 0, "serves_as": 105, "servers_as": 0}, {105, NOBODY}),
        ({"started_by": 1000, "serves_as": 1000, "servers_as": None}, {NOBODY}),
        ({"started_by": NOBODY, "serves_as": NOBODY, "servers_as": NOBODY}, set()),
    ],
)
def test_users_that_many_things_run_as(who, shared):
    assert Roles(**who).shared == shared


def test_there_are_descriptors_for_all_who_may_be_connected():
    """Clients take theirs beside them; 50 are for all else that is open."""
    roles = Roles(started_by=1000, serves_as=105, servers_as=None)
    users = len(roles._operators - {TOKEN})
    pipes, files = 32, files_for(0, 0, page=False)
    assert OF_MEMBERS + users * PER_USER + pipes + 50 <= files
    assert OF_STRANGERS + users * PER_ADDRESS <= files_for(0, 0, page=True) - files
