from hypothesis import given
from hypothesis import strategies as st

from luisito.core.prefixed import Prefixed


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"a\nb", b"\n\n"])))
def test_each_line_once_whatever_the_pieces(pieces):
    lines = Prefixed("w")
    said = b"".join([*map(lines.feed, pieces), lines.end()])
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert said == b"".join(b"w: " + line + b"\n" for line in expected)
    assert lines.end() == b""


def test_a_line_that_does_not_end_is_cut():
    lines = Prefixed("w")
    said = lines.feed(b"x" * 20000)
    assert said == b"".join(b"w: " + b"x" * 8192 + b"\n" for _ in range(2))
    assert lines.end() == b"w: " + b"x" * (20000 - 2 * 8192) + b"\n"
