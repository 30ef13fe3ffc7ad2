"""How many threads answer."""

import threading

import pytest

from luisito.app.wsgi import _Dispatcher


class Request:
    """One that goes on after it was answered, until it is told to end."""

    def __init__(self, dispatcher, *, answered):
        self._dispatcher, self._answered = dispatcher, answered
        self.begun, self.ends = threading.Event(), threading.Event()

    def service(self):
        if self._answered:
            self._dispatcher.answered()
        self.begun.set()
        self.ends.wait(20)


@pytest.mark.parametrize("answered", [True, False])
def test_who_has_answered_takes_the_next_request(answered):
    """Before waitress knows that it is idle; else its client's next request finds none."""
    dispatcher = _Dispatcher(4)
    first, second = (Request(dispatcher, answered=answered) for _ in range(2))
    dispatcher.add_task(first)
    assert first.begun.wait(20)
    dispatcher.add_task(second)
    assert len(dispatcher.threads) == (1 if answered else 2)
    first.ends.set()
    assert second.begun.wait(20)
    second.ends.set()
    assert dispatcher.shutdown()
    assert not dispatcher.threads
