"""Long lists are composed in pieces, so that the sites have their turn between them."""

import json

import pytest

from luisito.control.listing import ROWS, pieces


@pytest.mark.parametrize("count", [0, 1, ROWS, ROWS + 1, 10 * ROWS])
def test_pieces_make_one_object(count):
    rows = [{"site": f"site-{number}", "state": "awake"} for number in range(count)]
    found = list(pieces({"servers": iter(rows)}))
    assert json.loads(b"".join(found)) == {"servers": rows}
    assert all(piece.count(b'"site"') <= ROWS for piece in found)


def test_what_is_more_comes_first():
    found = b"".join(pieces({"sites": iter([{"site": "a"}])}, {"path": None}))
    assert json.loads(found) == {"path": None, "sites": [{"site": "a"}]}
    assert json.loads(b"".join(pieces({"sites": iter([])}, {"path": "x"}))) == {
        "path": "x", "sites": [],
    }  # fmt: skip


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (0, 1), (ROWS + 1, ROWS), (3, 2 * ROWS + 1)])
def test_several_lists(counts):
    first, second = ([{"number": number} for number in range(count)] for count in counts)
    found = list(pieces({"failed": iter(first), "events": iter(second)}, {"began": 1.5}))
    assert json.loads(b"".join(found)) == {"began": 1.5, "failed": first, "events": second}
    assert all(piece.count(b'"number"') <= ROWS for piece in found)


def test_a_row_is_read_when_its_piece_is():
    read = []

    def rows():
        for number in range(3 * ROWS):
            read.append(number)
            yield {"site": str(number)}

    found = pieces({"servers": rows()})
    assert read == []
    next(found)
    assert len(read) == ROWS
