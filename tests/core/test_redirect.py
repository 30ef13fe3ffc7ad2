"""Where a client is sent."""

import pytest

from luisito.core.redirect import location

PROTO = b"x-forwarded-proto"


@pytest.mark.parametrize(
    ("target", "host", "sent", "expected"),
    [
        (b"/a%2Fb?c=d%20e&f", b"old.x", (), "http://new.x/a%2Fb?c=d%20e&f"),
        (b"//evil.x/..", b"old.x", (), "http://new.x//evil.x/.."),
        (b"*", b"old.x", (), "http://new.x/"),
        (b"/\xc3\xa4\\|'", b"old.x", (), "http://new.x/%C3%A4%5C%7C'"),
        (b"/", b"old.x:8080", (), "http://new.x:8080/"),
        (b"/", b"OLD.x:80", (), "http://new.x/"),
        (b"/", b"old.x:443", (), "http://new.x:443/"),
        (b"/", b"old.x:443", ((PROTO, b"https"),), "https://new.x/"),
        (b"/", b"old.x:8443", ((b"via", b"1"), (PROTO, b" HTTPS , http")), "https://new.x:8443/"),
        (b"/", b"old.x", ((PROTO, b"gopher"),), "http://new.x/"),
        (b"/", b"old.x", ((PROTO, b""), (PROTO, b"https")), "https://new.x/"),
        # named by HOST_HEADER: Host is of the way from the proxy to us
        (b"/", b"inner:8080", (), "http://new.x/"),
        (b"/", b"", (), "http://new.x/"),
    ],
)
def test_location(target, host, sent, expected):
    assert location("new.x", target, host, "old.x", sent) == expected
