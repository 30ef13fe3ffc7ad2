"""The proxies that Luisito is measured beside, before anything is started."""

import re
import sys

import pytest

from bench.origin import Origin
from bench.others import GUESTS, OTHERS, Other, filled, left_out


@pytest.fixture
def origin(tmp_path):
    return Origin.install(tmp_path, 1)


@pytest.mark.parametrize("other", [*OTHERS, *GUESTS], ids=lambda other: other.name)
def test_configurations_are_filled_in(other, tmp_path, origin):
    place = other.place(tmp_path, 12_345, origin)
    argv = other.command(place)
    written = [path.read_text() for path in place.folder.iterdir()]
    told = "\n".join([*written, *argv])
    assert not re.search("@[A-Z]", told)
    for port in place.ports.values():
        assert re.search(rf"\b{port}\b", told)
    if "Passenger" in other.name:  # it starts the app server, as Luisito does
        assert " ".join(origin.command("$PORT")) in told
    else:
        assert "12345" in told


def test_no_word_is_left_without_a_meaning():
    assert filled("listen @PORT@; a@b.c", {"PORT": "80"}) == "listen 80; a@b.c"
    with pytest.raises(KeyError):
        filled("listen @PROT@", {"PORT": "80"})


def test_who_is_missing_is_told_how_to_come():
    here = Other("here", list, needs=(sys.executable, "sh"), package="sh")
    absent = Other("absent", list, needs=("sh", "no-such-program", "/no/such/file"), package="it")
    assert left_out([here, absent]) == [
        "absent is left out (no-such-program, /no/such/file not found): apt install -y it"
    ]
