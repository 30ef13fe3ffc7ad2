"""HOST_HEADER: a trusted proxy names the site in a header of its own."""

import pytest

from luisito.core.request import named_by, request_fields
from luisito.errors import BadMessage

BLOCK = b"\r\nHost: front.example\r\nX-Site: %s\r\nAccept: */*\r\n"


def test_the_header_names_the_site_and_host_stays_the_clients():
    fields = request_fields(BLOCK % b"A.Example:80")
    named = named_by(fields, b"x-site")
    assert named.site == "a.example"
    assert named.host == b"front.example"
    assert named.lines == fields.lines
    assert fields.site == "front.example"


def test_without_the_header_host_names_the_site():
    fields = request_fields(b"\r\nHost: front.example\r\n")
    assert named_by(fields, b"x-site") is fields


@pytest.mark.parametrize("value", [b"../etc", b"", b"a b", b"a.example\r\nX-Site: b.example"])
def test_a_wrong_value_is_refused_by_its_name(value):
    with pytest.raises(BadMessage, match="x-site") as caught:
        named_by(request_fields(BLOCK % value), b"x-site")
    assert caught.value.status == 400
