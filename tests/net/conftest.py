"""A reactor turned by hand, and no descriptor left behind."""

import gc
from collections.abc import Iterator

import pytest

from luisito.net.splice import close_pipes
from tests.net.turns import Turns, descriptors


@pytest.fixture
def turns() -> Iterator[Turns]:
    close_pipes()
    gc.collect()
    before = descriptors()
    turns = Turns()
    yield turns
    turns.close()
    close_pipes()
    gc.collect()
    assert descriptors() == before
