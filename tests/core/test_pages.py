"""The answers that Luisito gives itself."""

import json

import h11
import pytest

from luisito.core.pages import REASONS, page, plain


def read(data, method="GET"):
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    event = client.next_event()
    assert isinstance(event, h11.Response)
    body = b""
    while isinstance(part := client.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    return event, dict(event.headers), body


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("status", sorted(REASONS))
def test_every_page_is_a_whole_response(status, as_json):
    event, headers, body = read(page(status, as_json=as_json, close=False))
    assert (event.status_code, event.reason.decode()) == (status, REASONS[status])
    assert headers[b"cache-control"] == b"no-store"
    assert int(headers[b"content-length"]) == len(body)
    assert b"connection" not in headers
    assert b"retry-after" not in headers
    if as_json:
        assert headers[b"content-type"] == b"application/json"
        content = json.loads(body)
        assert content.keys() == {"status", "error", "message"}
        assert (content["status"], content["error"]) == (status, REASONS[status])
    else:
        assert headers[b"content-type"] == b"text/html; charset=utf-8"
        assert b"<h1>%d %s</h1>" % (status, REASONS[status].encode()) in body
        assert b"<pre>" not in body
        assert b"{" not in body.partition(b"</style>")[2]


def test_the_end_of_the_connection_is_announced():
    assert read(page(400, as_json=False, close=True))[1][b"connection"] == b"close"


def test_no_body_in_answer_to_head():
    """FAULTS 14."""
    whole = page(404, as_json=False, close=False)
    head = page(404, as_json=False, close=False, body=False)
    assert head == whole[: whole.index(b"\r\n\r\n") + 4]
    assert read(head, "HEAD")[2] == b""


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, b"1"), (0.2, b"1"), (1, b"1"), (1.0001, b"2"), (30.0, b"30")]
)
def test_when_to_come_again(seconds, shown):
    """FAULTS 44."""
    headers = read(page(503, as_json=False, close=False, retry_after=seconds))[1]
    assert headers[b"retry-after"] == shown


def test_words_of_somebody_else():
    event, headers, body = read(plain(200, "ä\n", close=True))
    assert (event.status_code, body) == (200, "ä\n".encode())
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert (headers[b"cache-control"], headers[b"connection"]) == (b"no-store", b"close")
    assert plain(429, "", close=False).startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert read(plain(200, "ok", close=False, body=False), "HEAD")[2] == b""


def test_an_answer_without_content_says_nothing_of_it():
    """RFC 9110 section 8.6: no Content-Length goes with 204."""
    assert plain(204, "", close=False) == (
        b"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n"
    )


def test_where_to_ask_instead():
    answer = page(308, as_json=False, close=False, location="http://a.example/x?y")
    assert b"\r\nLocation: http://a.example/x?y\r\n" in answer
    assert b"Location" not in page(308, as_json=False, close=False)


def test_details_for_an_operator_are_text_and_nothing_else():
    detail = "<script>alert('x')</script> & \"é\" {status} \udcff \r\n\x1b"
    body = read(page(502, as_json=False, close=False, detail=detail))[2]
    assert b"<script>" not in body
    assert b"<pre>&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;" in body
    assert "é".encode() in body
    assert b"{status} \\udcff" in body
    content = json.loads(read(page(502, as_json=True, close=False, detail=detail))[2])
    assert content["detail"] == detail
