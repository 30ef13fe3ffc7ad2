"""What the spawner and the network process get to know of a site."""

import json
import signal

from hypothesis import given
from hypothesis import strategies as st

from luisito.core.cgroup import CPU_PERIOD
from luisito.core.siteindex import BY_BASE, BY_FILE, BY_SETTINGS, BY_TENANTS
from luisito.core.wakerules import Rule
from luisito.settings.sites.records import digest, public_record, run_record, worker_records
from luisito.settings.sites.table import NUMBERS
from luisito.settings.sites.tenants import Grant, Tenant
from tests.sites.made import OWNER, settings, site
from tests.sites.test_keys import EVERY


def run_of(text, common=None, **more):
    common = common or settings()
    return run_record(site(text, common=common, **more), common)


def public_of(text, common=None, **more):
    common = common or settings()
    made = site(text, common=common, **more)
    run = run_record(made, common)
    return public_record(made, run, worker_records(made, run))


def workers_of(text, common=None):
    common = common or settings()
    made = site(text, common=common)
    return worker_records(made, run_record(made, common))


def test_what_a_start_needs():
    run = run_of(EVERY)
    assert run == {
        "command": ("serve", "%FD"),
        "env": {"A": "1", "B": "%HOST"},
        "env_file": "/etc/shop.env",
        "virtualenv": "/srv/shop.example/venv/shop.example",
        "waiting_page": "/srv/shop.example/shop.example.html",
        "folder": "/srv/shop.example",
        "fixed": "/srv/shop.example/",
        "user": 1000,
        "group": "www-data",
        "owner": OWNER,
        "tenant": None,
        "rlimits": {"nofile": [1024, 4096], "core": [0, 0], "cpu": [None, None]},
        "memory_max": 1 << 29,
        "cpu_max": CPU_PERIOD // 2,
        "pids_max": 100,
        "limits_by": [BY_FILE] * 3,
        "stop_signal": "QUIT",
        "stop_command": "kill -QUIT $MAINPID",
        "reload_on": ["*.py"],
        "hooks": {"ready": ("warm", "%HOST")},
    }
    assert getattr(signal, f"SIG{run['stop_signal']}") == signal.SIGQUIT


def test_what_the_settings_say_where_the_file_does_not():
    common = settings(
        ENV={"A": "0", "C": "2"},
        PROJECT_PATH="/srv/%HOST/100%%",
        RUN_AS="www-data",
        RLIMITS={"core": 0, "nofile": 5},
        MEMORY_MAX=2**20,
        CPU_MAX=2,
        PIDS_MAX=7,
    )
    run = run_of('env.A = "1"\nrlimits.nofile = 6\nvirtualenv = "venv"', common)
    assert run["command"] == "serve %PORT"
    assert run["env"] == {"A": "1", "C": "2"}
    assert run["rlimits"] == {"core": [0, 0], "nofile": [6, 6]}
    assert (run["folder"], run["fixed"]) == ("/srv/shop.example/100%", "/srv/")
    assert run["virtualenv"] == "/srv/shop.example/100%/venv"
    assert (run["user"], run["group"], run["stop_signal"]) == ("www-data", None, "TERM")
    assert (run["memory_max"], run["cpu_max"], run["pids_max"]) == (2**20, 2 * CPU_PERIOD, 7)
    none = run_of('memory_max = "none"\ncpu_max = "none"\npids_max = "none"', common)
    assert (none["memory_max"], none["cpu_max"], none["pids_max"]) == (None, None, None)


def test_without_a_folder():
    run = run_of('env_file = "/etc/%HOST.env"')
    assert (run["folder"], run["fixed"]) == (None, "")
    assert (run["env_file"], run["virtualenv"]) == ("/etc/shop.example.env", None)
    assert run["user"] is None


def test_a_tenants_server_runs_as_the_tenant_whatever_run_as_says():
    tenant = Tenant("alice", 1001, "users", 100, Grant(("*",), {}))
    run = run_of("", settings(RUN_AS="root"), tenant=tenant)
    assert (run["user"], run["group"], run["tenant"], run["owner"]) == (1001, None, "alice", 1001)


def test_what_everybody_may_know():
    public = public_of(EVERY)
    limits = public.pop("limits")
    assert public.pop("mounts") == []
    assert public == {
        "site": "shop.example",
        "aliases": ["www.shop.example", "[::1]", "127.0.0.1"],
        "redirects": ["shop.example.org"],
        "hosts": ["*.shop.example", "!no.shop.example", "!*.x.shop.example", "a.example"],
        "default": True,
        "listen": ["tcp:8001:interface=127.0.0.1", "unix:/run/shop.sock:mode=660"],
        "way": "fd",
        "handed_socket": "tcp",
        "keep": "always",
        "restart": "on-failure",
        "waiting_page": "%HOST.html",
        "ready": "/health?deep",
        "pre_stop": "/may-stop",
        "hibernate": True,
        "hooks": {"ready": True, "exit": "https://hooks.example/x"},
        "maintenance": "Back at noon.",
        "members": 4,
        "sticky": "shop_server",
        "wake": [Rule(path=("/healthz",)).record()],
        "processes": [
            {
                "name": "mail",
                "digest": digest(workers_of(EVERY)["mail"]),
                "with": "always",
                "restart": "on-failure",
                "stop_timeout": 30,
            }
        ],
        "tenant": None,
        "user": 1000,
        "path": "shop.example.toml",
        "digest": digest(run_of(EVERY)),
        "mounted": "",
        "strip": True,
    }
    assert limits.keys() == set(NUMBERS)
    assert (limits["idle_timeout"], limits["stream_idle"]) == (600, None)
    assert public_of("queue_limit = 3")["limits"] == {"queue_limit": 3}
    assert public_of("")["handed_socket"] is None
    assert (public_of("")["wake"], public_of("wake = []")["wake"]) == (None, [])


WORKERS = """
env = { A = "1", B = "%PORT", D = "%HOST" }
process = [{ name = "w", command = "work %HOST" }, { name = "v", command = ["work"], env.A = "2" }]
"""


def test_what_a_worker_needs():
    common = settings(ENV={"C": "3", "E": "%PORT"})
    run = run_of(WORKERS, common)
    workers = workers_of(WORKERS, common)
    own = {"stop_signal": "TERM", "worker": "w", "env": {"A": "1", "C": "3", "D": "%HOST"}}
    assert workers == {
        "w": {**run, **own, "command": "work %HOST"},
        "v": {**run, **own, "worker": "v", "command": ("work",), "env": {**own["env"], "A": "2"}},
    }
    (one, _) = public_of(WORKERS, common)["processes"]
    assert one == {
        "name": "w", "digest": digest(workers["w"]), "with": "site", "restart": "always",
        "stop_timeout": None,
    }  # fmt: skip


def test_a_worker_that_changes_restarts_nothing_else():
    first, other = public_of(WORKERS), public_of(WORKERS.replace("work %HOST", "work2"))
    without = public_of(WORKERS.partition("process")[0])
    assert first["digest"] == other["digest"] == without["digest"]
    changed = [a != b for a, b in zip(first["processes"], other["processes"], strict=True)]
    assert changed == [True, False]


def test_who_says_a_limit():
    """Which changes no server, as long as it is the same."""
    common = settings(PIDS_MAX=100)
    alice = Tenant(
        "alice", 1001, "users", 100, Grant(("*.example",), {"memory_max": 1 << 29, "cpu_max": 1})
    )
    text = 'extends = "base"\nmemory_max = 8388608'
    run = run_of(text, common, tenant=alice, bases={"base": "pids_max = 7\nmemory_max = 9388608"})
    assert run["limits_by"] == [BY_FILE, BY_TENANTS, BY_BASE]
    assert run_of("", common)["limits_by"] == [BY_SETTINGS] * 3
    assert run_of("mount = [{ path = '/a' }]\npids_max = 100", common)["limits_by"][2] == BY_FILE
    assert public_of("", common)["digest"] == public_of("pids_max = 100", common)["digest"]


def test_the_digest_is_of_what_a_server_needs():
    """An alias or a timeout restarts nothing; a command or a variable does."""
    common = settings(RLIMITS={"core": 0, "nofile": 5})
    first = public_of("", common)["digest"]
    assert first == public_of('aliases = ["x.y"]\nidle_timeout = 5', common)["digest"]
    assert first == public_of('keep = "always"\nrestart = "on-failure"', common)["digest"]
    assert first == public_of("max_requests = 5\nmax_age = 60", common)["digest"]
    assert first == public_of('command = "serve %PORT"', common)["digest"]
    assert first == public_of("rlimits = { nofile = 5, core = 0 }", common)["digest"]
    texts = ['env.A = "1"', 'command = "x"', "user = 5", "pids_max = 3", 'stop_signal = "INT"']
    others = {public_of(text, common)["digest"] for text in texts}
    assert len(others | {first}) == len(texts) + 1
    assert len(first) == 64


@given(st.dictionaries(st.text("ab", min_size=1), st.text(st.characters(exclude_characters="\0"))))
def test_records_are_json(env):
    run = run_of("", settings(ENV={name: text.replace("%", "") for name, text in env.items()}))
    assert digest(run) == digest(json.loads(json.dumps(run)))
    public = public_of(EVERY)
    assert json.loads(json.dumps(public)) == public


def test_a_changed_hook_is_no_other_server():
    plain, hooked = run_of(""), run_of('hooks.ready = "a"')
    assert plain != hooked
    assert digest(plain) == digest(hooked)
    assert public_of("") != public_of('hooks.ready = "a"')


def test_workers_have_no_hooks_of_their_own():
    text = 'hooks.ready = "a"\n[[process]]\nname = "w"\ncommand = "x"\n'
    assert workers_of(text)["w"]["hooks"] == {}
