"""Hooks as events come: what is ordered, when, and what is told of those that fail."""

import attrs
import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from luisito.core.events import Kind
from luisito.core.hookqueue import OF_A_SITE
from luisito.errors import SpawnerLost, WireError
from luisito.process.hooks import Hooks
from luisito.process.sitefiles import Change
from tests.core.test_hooks import EVENT

RECORD = {"tenant": None, "hooks": {"ready": True}}
READY = attrs.evolve(EVENT, kind=Kind.READY)


class Spawner:
    """Takes orders, and answers when it is told to."""

    def __init__(self):
        self.orders, self.answers, self.refusal = [], [], None

    def run(self, site, event, facts, *, own):
        if self.refusal is not None:
            return fail(self.refusal)
        self.orders.append((site, event, own, facts["REASON"]))
        self.answers.append(Deferred())
        return self.answers[-1]


class World:
    def __init__(self):
        self.clock, self.spawner, self.files = Clock(), Spawner(), {}
        common = {"ready": ("warm",), "exit": "a b"}
        self.hooks = Hooks(self.clock, self.spawner.run, common, 10.0, self.files)

    def hear(self, *events):
        for event in events:
            self.hooks.heard(event)

    def answer(self, words=""):
        self.spawner.answers.pop(0).callback(words)
        self.clock.advance(0)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def said():
    lines = []

    def observe(event):
        if event["log_level"] >= LogLevel.warn:
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_nothing_is_done_at_once(world):
    """Who tells of an event is in the middle of a start."""
    world.hear(READY)
    assert world.spawner.orders == []
    world.clock.advance(0)
    assert world.spawner.orders == [("a.example", "ready", False, EVENT.words)]
    assert world.hooks.told()["running"] == 1
    world.answer()
    assert world.hooks.told() == {
        "running": 0, "waiting": 0, "dropped": 0, "failures": 0, "failed": [],
    }  # fmt: skip


def test_the_sites_own_by_what_its_file_says_then(world):
    world.hear(READY)
    world.files["a.example"] = RECORD
    world.hear(READY)
    world.clock.advance(0)
    assert [own for _site, _event, own, _facts in world.spawner.orders] == [False, True]


def test_one_that_fails_is_told_until_it_goes_well(world, said):
    for _ in range(2):
        world.hear(READY)
        world.clock.advance(0)
        world.answer("exited with code 1")
    told = world.hooks.told()
    assert told["failed"] == [{"hook": 'HOOKS["ready"]', "error": "exited with code 1"}]
    assert told["failures"] == 2
    assert said == ['HOOKS["ready"]: exited with code 1']
    world.hear(READY)
    world.clock.advance(0)
    world.answer()
    assert world.hooks.told()["failed"] == []


def test_a_changed_file_forgets_its_failures(world):
    world.files["a.example"] = RECORD
    world.hear(READY)
    world.clock.advance(0)
    world.answer()
    world.answer("late")
    assert [one["hook"] for one in world.hooks.told()["failed"]] == ["a.example: hooks.ready"]
    world.hooks.change(Change("a.example", RECORD, None))
    assert world.hooks.told()["failed"] == []


def test_where_the_spawner_does_not_answer_others_go_on(world, said):
    world.hear(READY, READY)
    world.clock.advance(0)
    world.clock.advance(15)
    world.clock.advance(0)
    assert said == ['HOOKS["ready"]: has not ended within 15 s']
    assert len(world.spawner.orders) == 2


def test_the_end_of_the_spawner_is_told_elsewhere(world, said):
    world.spawner.refusal = SpawnerLost("gone")
    world.hear(READY)
    world.clock.advance(0)
    assert said == []
    world.spawner.refusal = WireError("too long")
    world.clock.advance(0)
    world.hear(READY)
    world.clock.advance(0)
    assert said == ['HOOKS["ready"]: too long']


def test_too_many_are_told_once(world, said):
    world.hear(*[READY] * (OF_A_SITE + 5))
    assert world.hooks.told()["dropped"] == 5
    (line,) = said
    assert line.startswith("too many hooks wait (20 for one site, 1000 in all)")


def test_at_the_end_those_that_wait_are_run_too(world):
    world.hear(READY, attrs.evolve(READY, kind=Kind.EXITED))
    settled = world.hooks.settle()
    over = []
    settled.addCallback(lambda _: over.append(True))
    world.answer()
    assert not over
    assert len(world.spawner.orders) == 2
    world.answer()
    assert over
    world.hear(READY)
    assert not world.clock.getDelayedCalls()


def test_at_the_end_a_moment_is_all(world):
    world.hear(READY, READY)
    world.clock.advance(0)
    over = []
    world.hooks.settle().addCallback(lambda _: over.append(True))
    world.clock.advance(1.9)
    assert not over
    world.clock.advance(0.1)
    assert over
    world.answer()
    assert len(world.spawner.orders) == 1


def test_at_the_end_there_may_be_none(world):
    over = []
    world.hooks.settle().addCallback(lambda _: over.append(True))
    assert over
    assert not world.clock.getDelayedCalls()
