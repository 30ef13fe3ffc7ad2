"""Which sites have a stop command that failed when it was run last."""

import pytest

from luisito.core.stopcommands import StopCommands


@pytest.fixture
def commands():
    commands = StopCommands()
    commands.failed("a.example", 1, "it exited")
    return commands


def test_a_failure_stays_when_the_server_has_gone_that_it_concerns(commands):
    commands.ended("a.example", 1)
    commands.ended("b.example", 2)
    assert commands.failures == {"a.example": "it exited"}


def test_it_goes_with_the_next_server_that_is_stopped(commands):
    commands.ended("a.example", 1)
    commands.ended("a.example", 2)
    assert commands.failures == {}


def test_the_last_one_counts(commands):
    commands.failed("a.example", 2, "it was killed")
    commands.ended("a.example", 2)
    assert commands.failures == {"a.example": "it was killed"}


def test_it_goes_with_the_file(commands):
    commands.forget("a.example")
    commands.forget("b.example")
    assert commands.failures == {}
