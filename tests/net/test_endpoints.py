"""Asking an endpoint string where it would listen."""

import pytest

from luisito.errors import SettingsError
from luisito.net.endpoints import Place, place


@pytest.mark.parametrize(
    ("description", "where"),
    [
        ("tcp:80", Place(80, "", "")),
        ("tcp:8080:interface=127.0.0.1", Place(8080, "127.0.0.1", "")),
        ("tcp6:81", Place(81, "::", "")),
        (r"tcp6:82:interface=\:\:1", Place(82, "::1", "")),
        ("unix:/run/l.sock:mode=660", Place(None, "", "/run/l.sock")),
        ("systemd:domain=INET:index=0", Place(None, "", "")),
    ],
)
def test_place(description, where):
    assert place(description) == where


@pytest.mark.parametrize("description", ["tcp:", "nonsense:1", "ssl:443", "stdio:"])
def test_what_is_none(description):
    with pytest.raises(SettingsError, match="LISTEN: "):
        place(description)
