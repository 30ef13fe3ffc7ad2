"""`listen`: which endpoints there are, and whose they may be."""

import os

import pytest

from luisito.settings.sites.listen import listen, place
from luisito.settings.sites.look import Own, endpoints
from luisito.settings.sites.trust import Trust
from luisito.settings.values import Wrong
from tests.sites.made import refusal, settings, site

TCP = "tcp:8001:interface=127.0.0.1"


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ("tcp:8001", "0.0.0.0 port 8001"),
        (TCP, "127.0.0.1 port 8001"),
        (r"tcp:8001:interface=\:\:1", "::1 port 8001"),
        (r"tcp6:8001:interface=0\:\:1", "::1 port 8001"),
        ("tcp6:8001", ":: port 8001"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("unix:/run/../run/a.sock:mode=660", "unix:/run/a.sock"),
        ("tcp:0", None),
        ("tcp:65536", None),
        ("tcp:8001:interface=1", None),
        ("tcp:8001:interface=localhost", None),
        ("tcp:8001:backlog=1", None),
        ("tcp:8001\n", None),
        ("unix:a.sock", None),
        (r"unix:/a\:b", None),
        ("unix:/a:lockfile=1", None),
        ("systemd:domain=INET:index=0", None),
        ("8001", None),
        ("", None),
    ],
)
def test_where_an_endpoint_listens(endpoint, where):
    assert place(endpoint) == where
    if where is None:
        with pytest.raises(Wrong):
            listen(endpoint)
    else:
        assert listen(endpoint) == (endpoint,) == listen([endpoint])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("8001", f'write listen = "{TCP}"'),
        ('"localhost:8002"', 'write listen = "tcp:8002:interface=127.0.0.1"'),
        ('["unix:/a", "b"]', f'write listen[1] = "{TCP}"'),
        ('["unix:/a", "unix://a"]', 'must not name a place twice; write listen = ["unix:/a"]'),
        (str([f"tcp:{port}" for port in range(1, 10)]), "must not be more than 8 endpoints"),
    ],
)
def test_what_is_none(written, said):
    assert said in refusal(f"listen = {written}")


def test_it_belongs_to_one_site_and_to_no_mount_base_or_setting():
    assert site("listen = []").listen == ()
    common = settings(LISTEN=["systemd:domain=INET:index=0", TCP])
    assert refusal(f'listen = "{TCP}"', common=common) == (
        f'shop.example.toml:1: listen = "{TCP}": must not have {TCP}, which is in LISTEN, too;'
        " write another, or take it out of LISTEN"
    )
    assert refusal('extends = "a"', bases={"a": f'listen = "{TCP}"'}) == (
        f'a.base.toml:1: listen = "{TCP}": must stand in the file of one site, and'
        " shop.example.toml extends this one; remove listen"
    )
    mount = f'[[mount]]\npath = "/a"\nlisten = "{TCP}"'
    assert "is a key of a site, and of no mount" in refusal(mount)


def test_those_of_good_files_are_found(tmp_path):
    for name, text in {
        "a.example": f'listen = "{TCP}"',
        "b.example": f'aliases = ["x.example"]\nlisten = ["unix:/b", "{TCP}"]',
        "c.example": 'listen = ["unix:/c", "tcp:8002"]',
        "d.example": 'listen = "tcp:8003"\nunknown = 1',
        "e.example": "",
    }.items():
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "f.example.toml").symlink_to("a.example.toml")
    trust = Trust(os.geteuid(), {})
    assert endpoints(str(tmp_path), settings(), trust) == {
        "a.example": Own(str(tmp_path / "a.example.toml"), (TCP,)),
        "c.example": Own(str(tmp_path / "c.example.toml"), ("unix:/c", "tcp:8002")),
    }
