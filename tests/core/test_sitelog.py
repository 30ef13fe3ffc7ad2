import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.sitelog import LONGEST, MOST, fitting, line, part, rotates, told


def test_a_line_of_ours():
    text = line("2026-11-25T09:00:00+0000", "started: a\nforged luisito: line \ud800")
    assert text == (
        b"2026-11-25T09:00:00+0000 luisito: started: a\\nforged luisito: line \\ud800\n"
    )


def test_a_line_of_ours_is_bounded():
    text = line("t", "\0" * 5000)
    assert text.endswith(b"...\n")
    assert len(text) == len(b"t luisito: \n") + LONGEST


@pytest.mark.parametrize(
    ("held", "size", "limit", "count"),
    [
        (b"one\ntwo\n", 0, 100, 8),
        (b"one\ntwo\n", 92, 100, 8),
        (b"one\ntwo\n", 93, 100, 4),  # the first line still fits
        (b"one\ntwo\n", 97, 100, 0),
        (b"one\n", 100, 100, 0),
        (b"one\n", 300, 100, 0),  # somebody else has made it larger
        (b"x" * 60 + b"\n", 49, 100, 51),  # half of the file would be left empty
        (b"x" * 60 + b"\n", 50, 100, 0),
        (b"x" * 300, 0, 100, 100),
    ],
)
def test_where_a_file_ends(held, size, limit, count):
    assert fitting(held, size, limit) == count
    assert fitting(bytearray(held), size, limit) == count


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=60),
    limit=st.integers(1, 100),
)
def test_no_file_is_larger_than_it_may_be_and_nothing_is_lost(pieces, limit):
    files, held = [bytearray()], bytearray()
    for piece in pieces:
        held += piece
        while held:
            count = fitting(held, len(files[-1]), limit)
            if count:
                files[-1] += held[:count]
                del held[:count]
            else:
                assert rotates(len(files[-1]), limit)
                files.append(bytearray())
    assert all(len(file) <= limit for file in files)
    assert b"".join(files) == b"".join(pieces)


@pytest.mark.parametrize(
    ("size", "after", "start", "end"),
    [
        (100, None, 0, 100),
        (MOST + 7, None, 7, MOST + 7),
        (100, 100, 100, 100),
        (100, 40, 40, 100),
        (100, 101, 0, 100),  # another file
        (3 * MOST, 5, 5, MOST + 5),
    ],
)
def test_which_part_is_told(size, after, start, end):
    assert part(size, after) == (start, end)


@pytest.mark.parametrize(
    ("data", "end", "after", "lines", "offset"),
    [
        (b"", 0, None, [], 0),
        (b"a\nb\nc\n", 6, None, ["b", "c"], 6),
        (b"a\n\nun", 5, None, ["", "un"], 5),
        (b"x" * (MOST - 3) + b"\na\n", MOST + 9, None, ["a"], MOST + 9),
        (b"x" * (MOST - 3) + b"\na\n", MOST, None, ["x" * (MOST - 3), "a"], MOST),
        (b"a\nb\nc\n", 9, 3, ["a", "b", "c"], 9),
        (b"a\nun", 9, 5, ["a"], 7),
        (b"un", 9, 7, [], 7),
        (b"x" * MOST, MOST + 3, 3, ["x" * MOST], MOST + 3),
        (b"\xff\n", 2, None, ["\ufffd"], 2),
    ],
)
def test_the_lines_of_a_part(data, end, after, lines, offset):
    assert told(data, end, after, 2) == (lines, offset)


@pytest.mark.parametrize(
    ("data", "lines"), [(b"", []), (b"a\nb\nc\n", ["a", "b", "c"]), (b"a\nun", ["a", "un"])]
)
def test_the_last_line_of_a_file_that_is_over_is_not_waited_for(data, lines):
    assert told(data, 9, 3, 2, over=True) == (lines, 9)
