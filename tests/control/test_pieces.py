"""Long lists are composed in pieces, so that the sites have their turn between them."""

import json

import pytest

from luisito.control.resources.servers import _ROWS, _pieces


@pytest.mark.parametrize("count", [0, 1, _ROWS, _ROWS + 1, 10 * _ROWS])
def test_pieces_make_one_object(count):
    rows = [{"site": f"site-{number}", "state": "awake"} for number in range(count)]
    pieces = list(_pieces(iter(rows)))
    assert json.loads(b"".join(pieces)) == {"servers": rows}
    assert all(piece.count(b'"site"') <= _ROWS for piece in pieces)


def test_a_row_is_read_when_its_piece_is():
    read = []

    def rows():
        for number in range(3 * _ROWS):
            read.append(number)
            yield {"site": str(number)}

    pieces = _pieces(rows())
    assert read == []
    next(pieces)
    assert len(read) == _ROWS
