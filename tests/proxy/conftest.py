"""The rig of each test, and what must hold after it."""

import gc
from collections.abc import Callable, Iterator

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from luisito.net.splice import close_pipes
from tests.net.turns import descriptors
from tests.proxy.rig import Rig


@pytest.fixture(params=["socket", "transport"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def log() -> Iterator[list[dict[str, object]]]:
    """What was logged; a failure among it fails the test."""
    events: list[dict[str, object]] = []
    gc.collect()  # what earlier tests have left says nothing of this one
    globalLogPublisher.addObserver(events.append)
    yield events
    gc.collect()
    globalLogPublisher.removeObserver(events.append)
    assert [event for event in events if event["log_level"] >= LogLevel.error] == []


@pytest.fixture
def make(kind: str, log: list[dict[str, object]]) -> Iterator[Callable[..., Rig]]:
    """Makes rigs: make(way, SETTING=value)."""
    close_pipes()
    before = descriptors()
    rigs: list[Rig] = []

    def make(way: str = "unix", **names: object) -> Rig:
        rigs.append(Rig(kind, way, names))
        return rigs[-1]

    yield make
    try:
        for rig in rigs:
            rig.check()
    finally:
        for rig in rigs:
            rig.close()
        close_pipes()
    gc.collect()
    assert descriptors() == before


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()
