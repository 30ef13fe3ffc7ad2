"""HOST_HEADER through the proxy: believed from trusted peers only."""

import pytest


@pytest.mark.parametrize(("peer", "status"), [(b"127.0.0.1", b"200"), (b"192.0.2.1", b"404")])
def test_host_header_counts_from_trusted_proxies_only(make, peer, status):
    rig = make(HOST_HEADER="X-Site")
    client = rig.client(peer=peer)
    client.send(b"GET / HTTP/1.1\r\nHost: elsewhere.test\r\nX-Site: a.test\r\n\r\n")
    if status == b"200":
        app = rig.accept()
        head = rig.head(app)
        assert b"\r\nHost: elsewhere.test\r\n" in head
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    rig.expect(client, b"HTTP/1.1 " + status)
