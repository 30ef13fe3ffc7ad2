"""What is written of pinned sites is read again, and nothing else."""

from __future__ import annotations

import pytest

from luisito.core.pins import MOST, read, written


@pytest.mark.parametrize("sites", [[], ["a.example"], ["a.example/api", "b.example"]])
def test_what_is_written_is_read(sites):
    assert read(written(reversed(sites))) == sites


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 2, "pinned": []}',
        b'{"version": 1}',
        b'{"version": 1, "pinned": 1}',
        b'{"version": 1, "pinned": [1]}',
        b"[" * 100_000,
        written(f"{number}.example" for number in range(MOST + 1)),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        read(data)
