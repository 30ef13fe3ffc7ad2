"""Requests are counted by what became of them, and the access log says whose answer it was."""

from luisito.core.tally import NOWHERE
from tests.proxy.rig import HOST

LONG = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n"
ELSEWHERE = b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n"


def test_what_servers_answer_and_what_luisito_does(make):
    rig = make(MAX_BODY_SIZE=1000)
    client, app, _ = rig.opened()
    rig.exchange(client, app)
    for request, status in ((LONG, 413), (ELSEWHERE, 404), (b"x\r\n\r\n", 400)):
        client = rig.client()
        client.send(request)
        assert rig.page(client)[0] == status
    said = [(line["status"], line["start"], line["reason"]) for line in rig.lines()]
    assert said == [
        (200, "warm", ""),
        (200, "warm", ""),
        (413, "warm", "refused"),
        (404, "", ""),
        (400, "", ""),
    ]
    tally = rig.gateway.tally
    site, nowhere = tally.by_site["a.test"], tally.by_site[NOWHERE]
    assert site.by_class == [0, 0, 2, 0, 1, 0]
    assert sum(site.warm) == 2
    assert nowhere.by_class == [0, 0, 0, 0, 2, 0]
    assert tally.own == {"refused": 1}
