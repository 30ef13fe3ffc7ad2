"""Long answers: a piece in each turn of the reactor, and none for who does not read."""

import os

import pytest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from luisito.control.listing import Listing
from tests.control.rig import Rig

PIECES = 300
PIECE = b"x" * 100_000
ASK = b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Long(Resource):
    """Answers with many pieces, and counts them."""

    isLeaf = True

    def __init__(self, piece):
        super().__init__()
        self.piece, self.composed = piece, 0

    def pieces(self):
        for _ in range(PIECES):
            self.composed += 1
            yield self.piece

    def render(self, request):
        self.listing.go_on(request, self.pieces())
        return NOT_DONE_YET


@pytest.fixture
def rig():
    made = []

    def make(piece):
        made.append(Rig(started_by=os.getuid(), api=Long(piece)))
        return made[-1]

    def listing(piece):
        one = make(piece)
        api = one.front._door._connections.wrappedFactory.resource._api
        api.listing = Listing(one.board)
        return one, api

    yield listing
    for one in made:
        one.close()


def test_a_piece_in_each_turn(rig):
    """Whoever asks at the same time waits for his turn, and so do all others."""
    made, api = rig(b"piece")
    for _ in range(3):
        made.connect().sendall(ASK)
    most = before = 0
    while api.composed < 3 * PIECES:
        made.reactor.iterate(0.01)
        most, before = max(most, api.composed - before), api.composed
    assert most == 1


def held_up(made, api):
    """Asks for the list, and reads nothing of it for many turns."""
    sock = made.connect()
    sock.sendall(ASK)
    made.until(lambda: api.composed)
    for _ in range(3 * PIECES):
        made.reactor.iterate(0)
    return sock


def test_who_reads_nothing_has_nothing_composed(rig):
    made, api = rig(PIECE)
    sock = held_up(made, api)
    assert api.composed < PIECES / 2
    sock.setblocking(False)
    received = bytearray()

    def ended():
        try:
            received.extend(data := sock.recv(1 << 20))
        except BlockingIOError:
            return False
        return not data

    made.until(ended)
    assert api.composed == PIECES
    assert received.count(PIECE) == PIECES


def test_who_goes_while_it_is_held_up_ends_it(rig):
    made, api = rig(PIECE)
    held_up(made, api).close()
    made.until(lambda: not made.front._door._connections.protocols)
    assert api.composed < PIECES / 2
    assert not api.listing._turns._tasks
