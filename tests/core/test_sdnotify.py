"""What is said to service managers."""

import pytest

from luisito.core import sdnotify


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("", ""),
        ("/run/systemd/notify", "/run/systemd/notify"),
        ("@/org/systemd", "\0/org/systemd"),
        ("vsock:2:1234", ""),
        ("relative", ""),
    ],
)
def test_where_they_listen(variable, address):
    assert sdnotify.address(variable) == address


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["READY=1", "STATUS=7 of 10 servers, 2 starting, 41 req/s"],
        ["STOPPING=1"],
        ["WATCHDOG=1", "STATUS="],
        sdnotify.reloading(1.5),
    ],
)
def test_what_may_be_said(words):
    assert sdnotify.may_be_said(words)


@pytest.mark.parametrize(
    "words",
    [
        ["MAINPID=1"],
        ["WATCHDOG=trigger"],
        ["READY=1\nMAINPID=1"],
        ["STATUS=a\nMAINPID=1"],
        ["FDSTORE=1"],
        ["READY=1", "BARRIER=1"],
        [""],
        ["READY=1"] * 9,
        ["STATUS=" + "x" * 201],
    ],
)
def test_what_may_not(words):
    assert not sdnotify.may_be_said(words)


def test_reloading_tells_when():
    assert sdnotify.reloading(2.25) == ["RELOADING=1", "MONOTONIC_USEC=2250000"]
