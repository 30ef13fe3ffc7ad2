"""The commands of hooks: whose they are, what they are told, how they end, and what is left."""

import os
import signal
import time

import pytest

from luisito.core import wire
from luisito.spawner import hookruns
from tests.harness import cgroups, processes

from .conftest import wait_until
from .test_sites import Place, user

SHOW = ["sh", "-c", "id -un; id -gn; pwd; echo HOST=%HOST; env; ulimit -n; exit 3"]


@pytest.fixture
def place(network, folder):
    return Place(network, folder)


@pytest.fixture
def roots(as_root, folder):
    return Place(as_root, folder)


def shown(folder, name="out"):
    """A hook that shows what it is in a file; and what reads that once it has ended."""
    path = f"{folder}/{name}"
    with open(path, "w"):
        os.chmod(path, 0o666)
    words = ["sh", "-c", f"({SHOW[2].removesuffix('; exit 3')}) >{path}"]

    def lines():
        with open(path) as file:
            return file.read().splitlines()

    return words, lines


def run(network, site="a.example", event="ready", ask=1, *, own=False, **facts):
    network.order(wire.RunHook(ask, site, event, own, facts))
    return ask


def ended(network, ask=1):
    """What has come of one."""
    found = network.wait(wire.HookEnded)
    assert found.ask == ask
    return found.message


def variables(lines):
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_whose_hook_it_is(roots, folder):
    """A site's is its user's, in its folder; that of the settings is Luisito's own user's."""
    alice, network = user("games"), user("backup")
    home = roots.make("home", owner=alice)
    own, its = shown(folder, "own")
    common, ours = shown(folder, "common")
    roots.write(
        "a.example",
        f'command = "sleep 9"\nfolder = "{home}"\nenv.SHOP = "1"\nrlimits.nofile = 77\n'
        f"hooks.ready = {own!r}\n",
    )
    roots.launch(
        "RUN_AS = 'owner'\nPROJECT_PATH = '/srv/%HOST'",
        hooks={"ready": common},
        network_uid=network.pw_uid,
        network_gid=network.pw_gid,
        run_as="owner",
        project_path="/srv/%HOST",
    )
    roots.look()
    run(roots.network, own=True, REASON="a\nb\x1b$(id)", PID="7")
    assert ended(roots.network) == ""
    who, _group, where, host, *rest = its()
    assert (who, where, host, rest[-1]) == (alice.pw_name, home, "HOST=a.example", "77")
    told = variables(rest)
    assert (told["SHOP"], told["HOME"]) == ("1", alice.pw_dir)
    assert told["LUISITO_REASON"] == "a b $(id)"
    assert (told["LUISITO_EVENT"], told["LUISITO_SITE"]) == ("ready", "a.example")
    assert (told["LUISITO_PID"], told["LUISITO_OTHER"]) == ("7", "")
    assert not told.keys() & {"NOTIFY_SOCKET", "LISTEN_FDS", "PORT"}
    run(roots.network, own=False)
    assert ended(roots.network) == ""
    who, _group, where, _host, *rest = ours()
    assert (who, where) == (network.pw_name, "/")
    assert "SHOP" not in variables(rest)
    assert "TEST_MARK" not in variables(rest)  # of ENV


def test_what_holds_it(place, folder):
    """What holds a server: no rights, a session of its own, no descriptor but 0 to 2."""
    path = f"{folder}/out"
    with open(path, "w"):
        os.chmod(path, 0o666)
    line = f"(cat /proc/self/status; ls /proc/self/fd | wc -l) >{path}"
    us = {"network_uid": 5, "network_gid": 60} if os.geteuid() == 0 else {}
    place.network.launch(hooks={"exit": ["sh", "-c", line]}, **us)
    run(place.network, event="exit")
    assert ended(place.network) == ""
    with open(path) as file:
        *status, descriptors = file.read().splitlines()
    told = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(told[name], 16) == 0
    assert told["NoNewPrivs"] == "1"
    uid = (
        place.network.uid if place.network.user is not None else us.get("network_uid", os.getuid())
    )
    assert set(told["Uid"].split()) == {str(uid)}
    if place.network.user is None and us:
        assert int(told["CapBnd"], 16) == 0
        assert told["Groups"].split() == []
    assert descriptors == "4"  # 0 to 2, and that of ls


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "echo one; echo two >&2; exit 3"], "exited with code 3; its last words: two"),
        (["sh", "-c", "kill -9 $$"], "was killed by SIGKILL (9)"),
        (["sh", "-c", "yes | head -c 200000; exit 4"], "exited with code 4; its last words: y"),
        (["/no/such"], "no such program: '/no/such'; install it or mend HOOKS[\"ready\"]"),
        (["true"], ""),
    ],
    ids=["status", "signal", "much output", "no program", "well"],
)
def test_how_it_ends(as_user, command, said):
    as_user.launch(hooks={"ready": command})
    run(as_user)
    assert ended(as_user) == said


def test_its_time(network):
    """Then all of it is killed, what has left its session as well where there are cgroups."""
    line = "sleep 1000 & setsid sleep 1000 & sleep 1000"
    network.launch(
        hooks={"ready": ["sh", "-c", line]}, hook_timeout=300_000, network_uid=5, network_gid=60
    )
    run(network)
    began = time.monotonic()
    # A shell may still have told that its child was killed.
    assert ended(network).startswith("did not end within HOOK_TIMEOUT = 0.3 s, and was killed")
    assert time.monotonic() - began >= 0.3
    assert wait_until(lambda: not hooks_left(network))
    assert network.silent() == []


def hooks_left(network):
    """The processes that hooks have left, by the variable that each inherits."""
    below = processes.descendants(network.process.pid)
    return [pid for pid in below if "LUISITO_EVENT" in processes.environ(pid)]


def test_what_it_leaves_behind_is_ended(network):
    line = "sleep 1000 & (setsid sleep 1000 &) ; exit 0"
    network.launch(hooks={"ready": ["sh", "-c", line]}, network_uid=5, network_gid=60)
    run(network)
    assert ended(network) == ""
    assert wait_until(lambda: not hooks_left(network))


def test_it_stays_out_of_the_way_of_servers(network):
    """A server of the same user starts, serves and ends while a hook runs, and is not its kin."""
    network.launch(
        hooks={"ready": ["sleep", "1000"]},
        hook_timeout=60_000_000,
        network_uid=5,
        network_gid=60,
        run_as=5 if network.user is None and os.geteuid() == 0 else None,
    )
    run(network)
    assert wait_until(lambda: hooks_left(network))
    network.run()
    assert network.wait(wire.Running).server == 1
    network.order(wire.Signal(1, "KILL"))
    assert network.wait(wire.Exited).signal == signal.SIGKILL
    assert len(hooks_left(network)) == 1


def test_an_order_has_room_for_no_command(as_user, folder):
    as_user.launch(hooks={"ready": ["true"]})
    as_user.order(wire.RunHook(1, "a.example", "exit", False, {}))
    assert ended(as_user) == "no command is known for exit"
    run(as_user, site="../x")
    assert ended(as_user).startswith("site '../x': ")
    run(as_user, own=True)
    assert ended(as_user) == "the site has no file in SITES_DIR"
    for facts in ({"PATH": folder}, {"REASON": "x" * 5000}):
        as_user.order(wire.RunHook(2, "a.example", "ready", False, facts))
        assert as_user.wait(wire.Refused).message.startswith("hook: ")


def test_a_flood_is_bounded(as_user):
    as_user.launch(hooks={"ready": ["sleep", "1000"]}, hook_timeout=1_000_000)
    for ask in range(1, hookruns.AT_ONCE + 3):
        run(as_user, ask=ask)
    facts = [as_user.wait(wire.HookEnded) for _ in range(hookruns.AT_ONCE + 2)]
    busy = f"{hookruns.AT_ONCE} hooks run already"
    assert [fact.message for fact in facts].count(busy) == 2


@pytest.mark.parametrize(
    ("settings", "text", "said"),
    [
        ("", 'user = "root"\nhooks.ready = "https://a.example/"\n', "it would run as root; "),
        ("", 'user = "games"\nhooks.exit = "true"\n', "no command is known for ready"),
        (
            "def RUN_AS(site):\n    return 'games'",
            'hooks.ready = "true"\n',
            "nobody but RUN_AS, a function, says who runs it; write user in the site file",
        ),
        ("", 'folder = "/no/such"\nhooks.ready = "true"\n', "folder '/no/such': "),
    ],
    ids=["root", "none", "function", "folder"],
)
def test_a_site_whose_hook_cannot_be_run(roots, settings, text, said):
    roots.write("a.example", f'command = "sleep 9"\n{text}')
    more = {"run_as_file": f"{roots.folder}/settings.py"} if settings else {}
    roots.launch(settings, **more)
    roots.look()
    run(roots.network, own=True)
    assert ended(roots.network).startswith(said)


@pytest.mark.root
@pytest.mark.cgroups
def test_it_has_a_cgroup_of_its_own_that_goes_with_it(as_root, folder):
    path = f"{folder}/out"
    line = f"cat /proc/self/cgroup >{path}; setsid -f env -i sleep 1000"
    as_root.launch(hooks={"ready": ["sh", "-c", line]}, network_uid=5, network_gid=60)
    os.chmod(folder, 0o777)
    run(as_root)
    assert ended(as_root) == ""
    with open(path) as file:
        own = next(at[3:].rstrip() for at in file if at.startswith("0::"))
    assert own.endswith(f"/servers/{2**31 + 1}")
    groups = f"{cgroups.where().removesuffix(cgroups.of(os.getpid()))}{own}"
    assert wait_until(lambda: not os.path.exists(groups)), cgroups.pids(groups)
