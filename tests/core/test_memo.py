"""The memory of what was read before."""

import pytest

from luisito.core.memo import Memo


def test_it_remembers_within_bounds():
    read = []
    memo = Memo(lambda data: read.append(data) or [data], size=2, longest=4)
    first = memo.get(b"a")
    assert memo.get(bytes(bytearray(b"a"))) is first
    memo.get(b"b")
    memo.get(b"c")  # full: it starts afresh
    assert memo.get(b"a") is not first
    assert read == [b"a", b"b", b"c", b"a"]
    assert memo.get(b"12345") is not memo.get(b"12345")
    assert len(memo._seen) == 2


def test_an_error_is_not_remembered():
    memo = Memo(int, size=2, longest=4)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid"):
            memo.get(b"x")
    assert memo.get(b"1") == 1
