"""Tenants: what TENANTS may say, and what their site files may."""

import grp
import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.routing import Pattern, Routes
from luisito.settings.sites.table import KEYS, LIMITS
from luisito.settings.sites.tenants import Grant, Tenant, known, tenants
from luisito.settings.table import SETTINGS
from luisito.settings.values import Wrong, shown
from tests.sites.made import refusal, settings, site

HOSTS = ("alice.example", "*.alice.example", "!shop.alice.example", "!*.x.alice.example")


def tenant(*, hosts=HOSTS, **caps):
    return Tenant("alice", 1001, "users", 100, Grant(hosts, caps))


def made(text, *, of=None, file="alice.example.toml", **more):
    return site(text, file=file, tenant=of or tenant(), **more)


def refused(text, *, of=None, file="alice.example.toml", **more):
    return refusal(text, file=file, tenant=of or tenant(), **more).removeprefix(file)


# TENANTS


def test_what_is_granted():
    read = SETTINGS["TENANTS"].read
    assert read(SETTINGS["TENANTS"].default) == {}
    caps = {"memory_max": 2**29, "cpu_max": None, "rlimits": {"nofile": (1, 2)}, "min_alive": 5,
            "keep": "pinned"}  # fmt: skip
    assert read({"alice": {"hosts": ["alice.example"], **caps}}) == {
        "alice": Grant(("alice.example",), caps)
    }
    granted = read({"alice": {"hosts": ["a.b"], "webhooks": ["*.c.d", "!x.c.d"]}})
    assert granted == {"alice": Grant(("a.b",), {}, ("*.c.d", "!x.c.d"))}


def test_sites_dir_is_a_path():
    assert SETTINGS["SITES_DIR"].read("/etc/luisito/sites") == "/etc/luisito/sites"
    assert SETTINGS["SITES_DIR"].read(SETTINGS["SITES_DIR"].default) is None


EXAMPLE = '{"hosts": ["alice.example", "*.alice.example"]}'.replace('"', "'")
A_DICT = 'must be a dict with "hosts" and, if you like, limits'
ALL = '["a"]["hosts"]'
PATTERN = "must be a pattern of hosts as in ALLOWED_HOSTS"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            None,
            (
                " = None: must be a dict from users to what they are granted; "
                f"write TENANTS = {{'alice': {EXAMPLE}}}"
            ),
        ),
        (
            {3: {}},
            (
                " = {3: {}}: has 3, which is no user's name; "
                f"write TENANTS = {{'alice': {EXAMPLE}}}"
            ),
        ),
        (
            {"root": {}},
            (
                " = {'root': {}}: has \"root\", who may set anything anyway; "
                f"write TENANTS = {{'alice': {EXAMPLE}}}"
            ),
        ),
        (
            {"a": {"hosts": ["a.b"], "keep": True}},
            (
                '["a"]["keep"] = True: must be "demand" or "pinned" or "always"; '
                'write TENANTS["a"]["keep"] = "always"'
            ),
        ),
        (
            {"a": {"hosts": ["a.b"], "webhooks": "c.d"}},
            (
                '["a"]["webhooks"] = "c.d": must be a list of hosts; '
                'write TENANTS["a"]["webhooks"] = [\'c.d\']'
            ),
        ),
        (
            {"a": {"hosts": ["a.b"], "webhooks": ["*"]}},
            (
                '["a"]["webhooks"][0] = "*": must not be any host, which the machine itself is, '
                'too; write TENANTS["a"]["webhooks"][0] = "hooks.example.com"'
            ),
        ),
        (
            {"a": {"hosts": ["a.b"], "webhooks": ["!c.d"]}},
            (
                '["a"]["webhooks"] = [\'!c.d\']: must have a host without "!" too, or nothing is '
                "granted; write TENANTS[\"a\"][\"webhooks\"] = ['hooks.example.com', '!c.d']"
            ),
        ),
        ({"a": 3}, f'["a"] = 3: {A_DICT}; write TENANTS["a"] = {EXAMPLE}'),
        ({"a": {}}, f'["a"] = {{}}: {A_DICT}; write TENANTS["a"] = {EXAMPLE}'),
        (
            {"a": {"hosts": "a.b"}},
            (
                '["a"]["hosts"] = "a.b": must be a list of hosts; '
                'write TENANTS["a"]["hosts"] = [\'a.b\']'
            ),
        ),
        (
            {"a": {"hosts": ["a.b", "x..y"]}},
            (
                f'["a"]["hosts"][1] = "x..y": {PATTERN}; '
                'write TENANTS["a"]["hosts"][1] = "*.alice.example"'
            ),
        ),
        (
            {"a": {"hosts": ["!x..y"]}},
            (
                f'["a"]["hosts"][0] = "!x..y": {PATTERN}; '
                'write TENANTS["a"]["hosts"][0] = "!shop.alice.example"'
            ),
        ),
        (
            {"a": {"hosts": ["!shop.x.org"]}},
            (
                f"{ALL} = ['!shop.x.org']: must have a host without \"!\" too, or nothing is"
                f" granted; write TENANTS{ALL} = ['alice.example', '*.alice.example',"
                " '!shop.x.org']"
            ),
        ),
        (
            {"a": {"hosts": [3]}},
            f'["a"]["hosts"][0] = 3: {PATTERN}; write TENANTS["a"]["hosts"][0] = "*.alice.example"',
        ),
        (
            {"a": {"hosts": ["a.b"], "MEMORY": 3}},
            (
                "[\"a\"] = {'hosts': ['a.b'], 'MEMORY': 3}: has \"MEMORY\", which is no limit of a "
                'site; the nearest is "memory_max"; write TENANTS["a"] = '
                "{'hosts': ['a.b'], 'memory_max': 3}"
            ),
        ),
        (
            {"a": {"hosts": ["a.b"], "memory_max": "3"}},
            (
                '["a"]["memory_max"] = "3": must be a whole number of at least 1048576, or None; '
                'write TENANTS["a"]["memory_max"] = None'
            ),
        ),
        (
            {"a": {"hosts": ["a.b"], "rlimits": {"nofile": "3"}}},
            (
                '["a"]["rlimits"]["nofile"] = "3": must be a whole number, "unlimited", or '
                '(soft, hard) of these; write TENANTS["a"]["rlimits"]["nofile"] = 3'
            ),
        ),
    ],
)
def test_what_cannot_be_granted(value, said):
    with pytest.raises(Wrong) as caught:
        tenants(value)
    wrong = caught.value
    # as load() writes it
    bad = shown(wrong.value if wrong.item else value)
    written = f"{wrong.item} = {bad}: {wrong.must}; write TENANTS{wrong.item} = {shown(wrong.mend)}"
    assert written == said


def test_tenants_are_found_by_their_uids():
    me = pwd.getpwuid(os.getuid())
    grant = Grant(("a.example",), {})
    assert known({me.pw_name: grant, "nobody-of-this-name": grant}) == {
        me.pw_uid: Tenant(me.pw_name, me.pw_uid, grp.getgrgid(me.pw_gid).gr_name, me.pw_gid, grant)
    }


# Users and hosts


def test_a_site_runs_as_its_tenant():
    assert made("").tenant == "alice"
    assert made('user = "alice"\ngroup = "users"').owner == 1001
    assert made("user = 1001\ngroup = 100").owner == 1001


OF_ALICE = "as the file belongs to alice"
GRANTED = f"must be one of the hosts that TENANTS grants alice, {', '.join(HOSTS)}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('user = "bob"', f':1: user = "bob": must be "alice", {OF_ALICE}; write user = "alice"'),
        ('user = "root"', f':1: user = "root": must be "alice", {OF_ALICE}; write user = "alice"'),
        (
            'folder = "/srv"\nuser = "owner"',
            f':2: user = "owner": must be "alice", {OF_ALICE}; write user = "alice"',
        ),
        ("group = 1001", f':1: group = 1001: must be "users", {OF_ALICE}; write group = "users"'),
        ("default = true", ":1: default = true: must not be set by a tenant; remove default"),
        (
            'listen = "unix:/run/a"',
            ':1: listen = "unix:/run/a": must not be set by a tenant; remove listen',
        ),
        (
            'aliases = ["www.alice.example",\n"shop.alice.example"]',
            f':2: aliases[1] = "shop.alice.example": {GRANTED}; remove aliases[1]',
        ),
        (
            'redirects = ["bob.example"]',
            f':1: redirects[0] = "bob.example": {GRANTED}; remove redirects[0]',
        ),
        (
            'hosts = ["*.example"]',
            (
                f':1: hosts[0] = "*.example": {GRANTED}; what is not granted must be excepted '
                "here, too; remove hosts[0]"
            ),
        ),
    ],
)
def test_what_a_tenant_may_not_say(text, said):
    assert refused(text) == said


def test_the_name_of_a_tenants_file():
    assert refused("", file="bob.example.toml") == (
        f": its name {GRANTED}; rename it, or grant that host in TENANTS"
    )
    assert made("default = false", file="a.alice.example.toml").name == "a.alice.example"


PATTERNS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "*."]),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join),
)
HOST = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)


@given(st.lists(PATTERNS), st.lists(PATTERNS), PATTERNS, st.lists(PATTERNS), st.lists(HOST))
def test_a_pattern_that_is_granted_lets_in_granted_hosts_only(grant, but, asked, excepted, hosts):
    signed = tuple(grant + [f"!{one}" for one in but])
    exceptions = frozenset(map(Pattern.parse, excepted))
    if Grant(signed, {}).allows(Pattern.parse(asked), exceptions):
        served = Routes([asked, *(f"!{one}" for one in excepted)])
        granted = Routes(signed)
        assert [one for one in hosts if served.allows(one) and not granted.allows(one)] == []


def test_what_is_granted_but_for_exceptions():
    said = refused('hosts = ["*.alice.example", "!shop.alice.example"]')
    assert said.startswith(':1: hosts[0] = "*.alice.example": must be one of the hosts')
    made('hosts = ["*.alice.example", "!shop.alice.example", "!*.x.alice.example"]')
    made('hosts = ["*.y.alice.example"]')


# Limits


def test_a_limit_is_at_most_the_cap():
    of = tenant(memory_max=2**29, cpu_max=0.5, min_alive=60.0)
    assert made("memory_max = 1048576\ncpu_max = 0.5\nmin_alive = 60", of=of).memory_max == 2**20
    cap = "as TENANTS grants alice"
    assert refused("\nmemory_max = 1073741824", of=of) == (
        f":2: memory_max = 1073741824: must be at most 536870912, {cap}; "
        "write memory_max = 536870912"
    )
    assert refused('memory_max = "none"', of=of) == (
        f':1: memory_max = "none": must be at most 536870912, {cap}; write memory_max = 536870912'
    )
    assert refused("cpu_max = 2", of=of) == (
        f":1: cpu_max = 2: must be at most 0.5, {cap}; write cpu_max = 0.5"
    )
    assert refused("min_alive = 61", of=of).endswith(f"at most 60, {cap}; write min_alive = 60")


def test_a_limit_without_a_cap_is_at_most_the_settings():
    assert made("start_timeout = 60\nidle_timeout = 9\npids_max = 99").pids_max == 99
    assert refused("start_timeout = 61") == (
        ":1: start_timeout = 61: must be at most 60, the START_TIMEOUT of all, as TENANTS grants "
        "alice no more; write start_timeout = 60"
    )
    assert made("start_timeout = 61", of=tenant(start_timeout=90.0)).start_timeout == 61
    assert made('max_body_size = "none"', of=tenant(max_body_size=None)).max_body_size is None


def test_a_limit_left_out_is_the_lower_one_of_cap_and_setting():
    common = settings(MEMORY_MAX=2**30, QUEUE_LIMIT=50)
    left = made("", of=tenant(memory_max=2**29, queue_limit=70, pids_max=9), common=common)
    assert left.given == {"memory_max", "pids_max"}
    assert (left.memory_max, left.pids_max) == (2**29, 9)


@given(st.sampled_from(LIMITS), st.data())
def test_no_limit_passes_its_cap(key, data):
    """What is in force, by the file or the settings, is never above what the tenant may have."""
    number = st.integers(1, 4) if key == "cpu_max" else st.integers(2**20, 2**20 + 3)
    none = "anyOf" in KEYS[key].schema
    value = st.none() | number if none else number
    common = settings(**{key.upper(): data.draw(value)})
    caps = data.draw(st.just({}) | st.fixed_dictionaries({key: value}))
    said = data.draw(st.none() | number.map(str) | (st.just('"none"') if none else number.map(str)))
    of = tenant(**caps)
    cap = caps.get(key, getattr(common, key))
    text = "" if said is None else f"{key} = {said}"
    if said is not None and cap is not None and (said == '"none"' or int(said) > cap):
        assert "must be at most" in refused(text, of=of, common=common)
        return
    one = made(text, of=of, common=common)
    in_force = getattr(one, key) if key in one.given else getattr(common, key)
    assert cap is None or (in_force is not None and in_force <= cap)


def test_rlimits():
    of = tenant(rlimits={"nofile": (1024, 4096), "core": (0, 0), "cpu": (None, None)})
    common = settings(RLIMITS={"nproc": 50, "core": (0, 5), "nofile": 100})
    assert made("", of=of, common=common).rlimits == {"core": (0, 0), "cpu": (None, None)}
    assert made("rlimits = { nofile = [5, 4096], nproc = 3 }", of=of, common=common).rlimits == {
        "nofile": (5, 4096),
        "nproc": (3, 3),
        "core": (0, 0),
        "cpu": (None, None),
    }
    cap = "as TENANTS grants alice"
    assert refused("rlimits = { rtprio = 9 }", of=of, common=common) == (
        f":1: rlimits.rtprio = 9: must not be set, {cap} no rtprio; remove rlimits.rtprio"
    )
    assert refused("rlimits.nofile = [9, 5000]", of=of, common=common) == (
        f":1: rlimits.nofile = [9, 5000]: must be at most 4096, {cap}; "
        "write rlimits.nofile = [9, 4096]"
    )
    assert refused('[rlimits]\nnproc = "unlimited"', of=of, common=common) == (
        f':2: rlimits.nproc = "unlimited": must be at most 50, {cap}; write rlimits.nproc = 50'
    )


@pytest.mark.parametrize("keep", ["demand", "pinned", "always"])
def test_how_a_tenants_server_is_kept(keep):
    """As the grant says, or less; on demand where it says nothing."""
    words = ["demand", "pinned", "always"]
    for most in (None, *words):
        of = tenant() if most is None else tenant(keep=most)
        allowed = words[: words.index(most or "demand") + 1]
        if keep in allowed:
            assert made(f'keep = "{keep}"', of=of).keep == keep
        else:
            what = " or ".join(f'"{word}"' for word in allowed)
            assert refused(f'keep = "{keep}"', of=of) == (
                f':1: keep = "{keep}": must be {what}, as TENANTS grants alice;'
                f' write keep = "{allowed[-1]}"'
            )


@pytest.mark.parametrize(
    ("grant", "word"), [({}, None), ({"keep": "pinned"}, None), ({"keep": "always"}, "always")]
)
def test_how_long_a_tenants_worker_lives(grant, word):
    text = '[[process]]\nname = "w"\ncommand = "x"\n'
    of = tenant(**grant)
    assert made(text, of=of).process[0].lives_with == "site"
    assert made(f'{text}with = "site"', of=of).process[0].lives_with == "site"
    if word is not None:
        assert made(f'{text}with = "always"', of=of).process[0].lives_with == word
        return
    assert refused(f'{text}with = "always"', of=of) == (
        ':4: process[0].with = "always": must be "site", as TENANTS grants alice no'
        ' keep = "always"; write process[0].with = "site"'
    )


def test_how_many_servers_a_tenants_site_may_have():
    assert made("processes = 3", of=tenant(processes=4)).processes == 3
    assert made("", of=tenant(processes=4)).processes == 1
    assert refused("processes = 5", of=tenant(processes=4)) == (
        ":1: processes = 5: must be at most 4, as TENANTS grants alice no more; write processes = 4"
    )
    assert refused("processes = 2", of=tenant()).endswith("write processes = 1")


def test_to_which_hosts_a_tenants_hooks_may_send():
    """Luisito sends them, who reaches what the tenant may not."""
    text = '[hooks]\nready = "warm"\nexit = "http://169.254.169.254/x"'
    said = (
        ':3: hooks.exit = "http://169.254.169.254/x": must not be a webhook at 169.254.169.254,'
        ' which TENANTS does not grant alice; ask the operator for "webhooks": ["169.254.169.254"]'
        " there, or write a command"
    )
    assert refused(text, of=tenant()) == said
    granted = ("*.hooks.example", "!no.hooks.example", "127.0.0.1")
    of = Tenant("alice", 1001, "users", 100, Grant(HOSTS, {}, granted))
    assert refused(text, of=of) == said
    for host in ("a.hooks.example", "127.0.0.1:8080"):
        assert made(f'hooks.exit = "https://{host}/x"', of=of).hooks["exit"].startswith("https:")
    for host in ("no.hooks.example", "hooks.example", "localhost", "127.0.0.2"):
        assert "TENANTS does not grant alice" in refused(f'hooks.exit = "http://{host}/"', of=of)


def test_what_stands_in_a_base_is_the_tenants_word_too():
    bases = {"all": '\nuser = "root"'}
    assert refusal('extends = "all"', file="alice.example.toml", tenant=tenant(), bases=bases) == (
        f'all.base.toml:2: user = "root": must be "alice", {OF_ALICE}; write user = "alice"'
    )


def test_every_capped_key_is_judged():
    """One that was added to the table and forgotten here would be free for all."""
    capped = {name for name, key in KEYS.items() if key.capped}
    assert capped == {*LIMITS, "rlimits", "keep", "processes"}
    free = {"command", "env", "env_file", "virtualenv", "folder", "extends", "handed_socket",
            "stop_signal", "restart", "wake", "waiting_page", "reload_on", "maintenance", "ready",
            "max_requests", "max_age", "mount", "sticky", "websocket_timeout",
            "pre_stop", "stop_command", "hibernate", "django", "app", "runner", "threads",
            "preload"}  # fmt: skip
    free |= {"process"}  # but for how long one lives, which is judged
    judged = {"user", "group", "default", "listen", "aliases", "redirects", "hosts", "hooks"}
    assert set(KEYS) == capped | free | judged
