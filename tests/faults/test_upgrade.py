"""FAULTS J: upgrades."""

from tests.harness import client


def test_70_upgrade_is_a_tunnel(serve):
    """FAULTS 70, 71."""
    server = serve()
    fields = [("Connection", "Upgrade"), ("Upgrade", "echo")]
    with server.client() as connection:
        connection.send(client.compose("GET", "/upgrade", "a.localhost", fields) + b"early")
        response = connection.response()
        assert (response.status, response.get("upgrade")) == (101, "echo")
        data = connection.buffer
        while len(data) < 5:
            data += connection.sock.recv(100)
        assert data == b"early"
        connection.send(b"more")
        assert connection.sock.recv(100) == b"more"
    with server.client() as connection:
        assert connection.request("/echo", fields=fields).status == 200
        assert connection.request().status == 200


def test_72_h2c(serve):
    """FAULTS 72: the app is not asked for it, and answers as ever."""
    server = serve()
    fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
    ]
    with server.client() as connection:
        response = connection.request("/head", fields=fields)
        assert response.status == 200
        assert b"upgrade" not in response.body.lower()
        assert b"http2-settings" not in response.body.lower()
        assert connection.request().status == 200
