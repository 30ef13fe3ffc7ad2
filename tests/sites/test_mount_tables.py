"""[[mount]]: what a table of it may say, what it has of its site, and what others get to know."""

import pytest

from luisito.errors import SiteFileError
from luisito.settings.sites.draft import Draft, chain
from luisito.settings.sites.making import make, make_mounts, site_name
from luisito.settings.sites.parts import read
from luisito.settings.sites.records import digest, public_record, run_record
from luisito.settings.sites.tenants import Grant, Tenant
from tests.sites.made import OWNER, refusal, settings

SITE = """
command = "serve shop %FD"
env = { A = "1", B = "2" }
rlimits = { core = 0 }
folder = "/srv/shop"
aliases = ["www.shop.example"]
idle_timeout = 5
[[mount]]
path = "/api"
command = "serve api %PORT"
idle_timeout = 6
[mount.env]
B = "3"
[[mount]]
path = "/api/v1"
strip = false
folder = "/srv/%HOST"
"""


def mounts(text, *, tenant=None, common=None, bases=None, file="shop.example.toml"):
    """A site and its mounts."""

    def part(path, written):
        return read(path, written.encode(), OWNER if tenant is None else tenant.uid)

    draft = Draft(
        site_name(file),
        chain(part(file, text), lambda name, _: part(f"{name}.base.toml", bases[name])),
    )
    common = common or settings()
    site = make(draft, tenant, common)
    return site, *make_mounts(draft, tenant, common)


def wrong(text, **more):
    with pytest.raises(SiteFileError) as caught:
        mounts(text, **more)
    return str(caught.value)


def test_what_it_leaves_out_is_as_its_site_says():
    site, api, v1 = mounts(SITE)
    assert [one.key for one in (site, api, v1)] == [
        "shop.example", "shop.example/api", "shop.example/api/v1",
    ]  # fmt: skip
    assert {one.name for one in (site, api, v1)} == {"shop.example"}
    assert (api.command, api.way, api.env) == ("serve api %PORT", "port", {"A": "1", "B": "3"})
    assert (v1.command, v1.way, v1.env) == ("serve shop %FD", "fd", {"A": "1", "B": "2"})
    assert (api.strip, v1.strip) == (True, False)
    assert (api.folder, v1.folder) == ("/srv/shop", "/srv/%HOST")
    assert run_record(v1, settings())["folder"] == "/srv/shop.example"
    assert (api.fixed, v1.fixed) == ("/srv/shop/", "/srv/shop.example/")
    assert [one.idle_timeout for one in (site, api, v1)] == [5, 6, 5]
    assert (site.aliases, api.aliases, api.mount) == (("www.shop.example",), (), ())


def test_what_others_get_to_know():
    site, api, v1 = mounts(SITE)
    runs = [run_record(one, settings()) for one in (site, api, v1)]
    told = [public_record(one, run, {}) for one, run in zip((api, v1), runs[1:], strict=True)]
    public = public_record(site, runs[0], {}, told)
    assert (public["site"], public["mounted"]) == ("shop.example", "")
    assert public["mounts"] == told
    assert [(one["site"], one["mounted"], one["strip"]) for one in told] == [
        ("shop.example/api", "/api", True), ("shop.example/api/v1", "/api/v1", False),
    ]  # fmt: skip
    assert told[0]["digest"] == digest(runs[1])
    assert (told[0]["limits"], told[1]["limits"]) == ({"idle_timeout": 6}, {"idle_timeout": 5})


def test_those_of_a_base_are_all_or_none_of_a_files():
    base = '[[mount]]\npath = "/a"\nfolder = "/a"\n[[mount]]\npath = "/b"\n'
    extends = 'extends = "two"\n'
    of_base = mounts(extends, bases={"two": base})
    assert [one.key for one in of_base] == ["shop.example", "shop.example/a", "shop.example/b"]
    (_, own) = mounts(f'{extends}folder = "/s"\n[[mount]]\npath = "/c"\n', bases={"two": base})
    assert (own.key, own.folder) == ("shop.example/c", "/s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[mount]\npath = "/api"', ':1: mount = { path = "/api" }: must be a list of tables;'),
        ("mount = 5", ":1: mount = 5: must be a list of tables; write mount = []"),
        ("[[mount]]", ':1: mount[0] = {}: must have a path; write path = "/api" there'),
        (
            '[[mount]]\npath = "api/"',
            (':2: mount[0].path = "api/": must be a path like /api: letters, digits and - . _ after'
            ' each slash, none at the end; write mount[0].path = "/api"'),
        ),
        (
            '[[mount]]\npath = "/%61 b/../"',
            'write mount[0].path = "/61b"',
        ),
        ('[[mount]]\npath = "/"', 'write mount[0].path = "/api"'),
        ("[[mount]]\npath = 5", 'write mount[0].path = "/5"'),
        (
            '[[mount]]\npath = "/a"\n[[mount]]\npath = "/b"\n[[mount]]\npath = "/a"',
            ':6: mount[2].path = "/a": is the path of mount[0], too; write another',
        ),
        (
            '[[mount]]\npath = "/a"\nstrip = "no"',
            ':3: mount[0].strip = "no": must be true or false; write mount[0].strip = false',
        ),
        (
            '[[mount]]\npath = "/a"\n[[mount]]\npath = "/b"\nidle_timeout = "5m"',
            (':5: mount[1].idle_timeout = "5m": must be a number of seconds above 0, or "none";'
            " write mount[1].idle_timeout = 300"),
        ),
        (
            '[[mount]]\npath = "/a"\n[mount.env]\nA = 1',
            ":4: mount[0].env.A = 1: must be a string without NUL; write",
        ),
        (
            '[[mount]]\npath = "/a"\nwake = [{ path = "x" }]',
            ':3: mount[0].wake[0].path = "x": must be a path as clients send it',
        ),
        (
            '[[mount]]\npath = "/a"\naliases = ["x.y"]',
            (':3: mount[0].aliases = ["x.y"]: is a key of a site, and of no mount; write aliases'
            " above all mounts, or remove it"),
        ),
        (
            '[[mount]]\npath = "/a"\ncomand = "x"',
            ':3: mount[0].comand = "x": is no key; the nearest is command; write command = "x"',
        ),
        (
            '[[mount]]\npath = "/a"\ncmd_tpl = "x"',
            ':3: mount[0].cmd_tpl = "x": is no key; the nearest is command; write command = "x"',
        ),
        (
            '[[mount]]\npath = "/a"\nallowed_hosts = ["x"]',
            ':3: mount[0].allowed_hosts = ["x"]: is a key of a site, and of no mount;',
        ),
        (
            '[[mount]]\npath = "/a"\nmax_servers = 5',
            ":3: mount[0].max_servers = 5: is a setting of Luisito as a whole",
        ),
        (
            '[[mount]]\npath = "/a"\ncommand = ""',
            ':3: mount[0].command = "": ',
        ),
        (
            'folder = "/a"\n[[mount]]\npath = "/a"\ncommand = "serve %FD %PORT"',
            ':4: mount[0].command = "serve %FD %PORT": ',
        ),
        (
            '[[mount]]\npath = "/a"\nuser = 5',
            ":3: mount[0].user = 5: is below MIN_UID = ",
        ),
        (
            "".join(f'[[mount]]\npath = "/{number}"\n' for number in range(21)),
            ':41: mount[20] = { path = "/20" }: must not be more than 20 mounts;',
        ),
        (
            f'[[mount]]\npath = "/{"a" * 230}"',
            "must be shorter, as shop.example and it are over 240 bytes;",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong(text, said):
    assert said in wrong(text, common=settings(MIN_UID=100))


def test_a_tenant_has_no_more_below_a_path():
    tenant = Tenant("alice", 1000, "alice", 1000, Grant(("shop.example",), {"pids_max": 100}))
    text = '[[mount]]\npath = "/a"\npids_max = 50\n[[mount]]\npath = "/b"\n'
    assert [one.pids_max for one in mounts(text, tenant=tenant)] == [100, 50, 100]
    assert {one.tenant for one in mounts(text, tenant=tenant)} == {"alice"}
    more = text + "pids_max = 101\n"
    said = "shop.example.toml:6: mount[1].pids_max = 101: must be at most 100, as TENANTS grants"
    assert said in wrong(more, tenant=tenant)
    assert 'mount[0].user = "root"' in wrong('[[mount]]\npath = "/a"\nuser = "root"', tenant=tenant)


def test_a_mount_that_is_wrong_makes_the_site_wrong():
    assert "mount[0].path" in refusal('[[mount]]\npath = "x"')


def test_servers_and_cookies_of_mounts():
    site, api = mounts('processes = 2\nsticky = true\n[[mount]]\npath = "/a/b"\nprocesses = 3\n')
    told = [public_record(one, {}, {}) for one in (site, api)]
    assert [one["members"] for one in told] == [2, 3]
    assert [one["sticky"] for one in told] == ["luisito_server", "luisito_server~a~b"]
    site, api = mounts('processes = 2\n[[mount]]\npath = "/a"\nsticky = "x"\n')
    told = [public_record(one, {}, {}) for one in (site, api)]
    assert [(one["members"], one["sticky"]) for one in told] == [(2, None), (2, "x~a")]


def test_hooks_of_a_base_of_the_site_and_of_the_mount_are_put_together():
    base = 'command = "x"\nhooks.ready = "a"\nhooks.start = "a"\n'
    text = 'extends = "b"\nhooks.ready = "b"\n[[mount]]\npath = "/api"\nhooks.exit = "c"\n'
    site, mount = mounts(text, bases={"b": base})
    assert site.hooks == {"start": "a", "ready": "b"}
    assert mount.hooks == {"start": "a", "ready": "b", "exit": "c"}


def test_hooks_of_a_mount_are_judged_too():
    text = 'command = "x"\n[[mount]]\npath = "/api"\nhooks.exit = "http://b.example/"\n'
    tenant = Tenant("alice", 1001, "users", 100, Grant(("alice.example",), {}))
    with pytest.raises(SiteFileError, match=r':4: mount\[0\]\.hooks\.exit = "http://b.example/": '):
        mounts(text, tenant=tenant, file="alice.example.toml")
