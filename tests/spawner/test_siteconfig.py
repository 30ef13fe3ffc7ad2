"""Run records as the child reads them: whatever one says, a tenant's server is the tenant's."""

import json
import pwd
import re

import pytest

from luisito.core import wire
from luisito.core.cgroup import Limits
from luisito.errors import LuisitoError, WireError
from luisito.spawner.config import Config
from luisito.spawner.render import render
from luisito.spawner.siteconfig import SiteConfig
from luisito.spawner.sites import Record, decode_record, encode_record
from luisito.spawner.users import StartRefusedError
from tests.harness.orders import configure

GAMES, BACKUP = pwd.getpwnam("games"), pwd.getpwnam("backup")
START = wire.encode_start(wire.Start(1, "a.example", None))


def site(*, root=True, common=None, **changes):
    """What is made of a record, under a spawner of root or not."""
    record = {
        "command": "serve",
        "env": {},
        "env_file": None,
        "waiting_page": None,
        "virtualenv": None,
        "folder": None,
        "fixed": "",
        "user": None,
        "group": None,
        "owner": 0,
        "tenant": None,
        "rlimits": {},
        "memory_max": None,
        "cpu_max": None,
        "pids_max": None,
        "stop_signal": "TERM",
        "reload_on": [],
        "stop_command": None,
        **changes,
    }
    order = configure(sites_dir="/etc/sites", settings_file="/etc/settings.py", **(common or {}))
    return SiteConfig(Config(order, root=root), json.dumps(record).encode())


def identity(made):
    return made.identity(made.run_as, None, None)


@pytest.mark.parametrize("user", [None, "root", 0, "owner", "backup", BACKUP.pw_uid])
@pytest.mark.parametrize("common", [{}, {"run_as": "root"}, {"allow_root": True}])
@pytest.mark.parametrize("function", [None, "/etc/settings.py"])
def test_a_tenants_server_is_the_tenants(user, common, function):
    forged = {"user": user, "group": "root", "owner": GAMES.pw_uid, "tenant": "games"}
    made = site(common={**common, "run_as_file": function}, **forged)
    found = identity(made)
    assert (found.uid, found.gid) == (GAMES.pw_uid, GAMES.pw_gid)
    assert 0 not in found.groups
    assert made.run_as_file is None  # nobody is asked
    assert not made.allow_root


def test_root_is_no_tenant():
    with pytest.raises(StartRefusedError, match="where there can be none"):
        identity(site(owner=0, tenant="root", common={"allow_root": True}))


def test_there_are_no_tenants_where_luisito_is_not_root():
    with pytest.raises(StartRefusedError, match="where there can be none"):
        identity(site(owner=GAMES.pw_uid, tenant="games", root=False))


def test_a_tenant_below_min_uid():
    with pytest.raises(StartRefusedError, match="MIN_UID"):
        identity(site(owner=GAMES.pw_uid, tenant="games", common={"min_uid": 1000}))


@pytest.mark.parametrize(
    ("tenant", "fixed", "own"),
    [("games", "/", True), ("games", "/srv/", False), (None, "/", False), (None, "/srv/a/", False)],
)
def test_whose_rights_open_the_folder(tenant, fixed, own):
    assert site(owner=GAMES.pw_uid, tenant=tenant, fixed=fixed, folder="/srv/a").own_folder is own


@pytest.mark.parametrize("user", ["root", 0])
def test_root_has_to_be_written_out(user):
    """For the one site that says so, whatever the settings say of the others."""
    assert identity(site(user=user)).uid == 0
    with pytest.raises(StartRefusedError):
        site(user="owner", common={"run_as": "root"}).identity("root", None, None)
    assert identity(site(common={"run_as": "root"}, user="root")).uid == 0


def test_where_the_settings_say_who_runs():
    """None in the record is RUN_AS = None, or its function, which is asked."""
    assert site(common={"run_as_file": "/etc/settings.py"}).run_as_file == "/etc/settings.py"
    assert site(common={"run_as_file": "/etc/settings.py"}, user="games").run_as_file is None
    assert identity(site()).name == "nobody"


def test_a_group():
    found = identity(site(user="backup", group="games"))
    assert (found.uid, found.gid) == (BACKUP.pw_uid, GAMES.pw_gid)
    assert found.groups == [GAMES.pw_gid]
    assert identity(site(user="backup", group="backup")).gid == BACKUP.pw_gid
    assert identity(site(user="root", group=0)).gid == 0
    for group in ("root", 0):
        with pytest.raises(StartRefusedError, match="do not run with root's"):
            identity(site(user="backup", group=group))


@pytest.mark.parametrize("named", [True, False])
def test_a_virtualenv_whose_interpreter_has_gone_is_not_passed_over(tmp_path, named):
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    said = {"virtualenv": str(folder)} if named else {"finds_virtualenv": True}
    made = site(folder=str(tmp_path), **said)
    made.check_virtualenv()  # of something else than Python
    assert made.virtualenv == (str(folder) if named else None)
    (folder / "bin/python3").symlink_to("/usr/bin/python3.0")
    gone = f"virtualenv '{folder}': no such program: '{folder}/bin/python3'; install it or mend"
    with pytest.raises(StartRefusedError, match=f"{re.escape(gone)} .*-m venv --clear {folder},"):
        made.check_virtualenv()


def test_what_is_rendered():
    made = site(
        command=["serve", "%HOST", "%PATH"],
        env={"A": "%UID", "PATH": "/opt/bin"},
        virtualenv="/srv/a/venv",
        folder="/srv/a",
        memory_max=1 << 20,
        rlimits={"nofile": [10, None]},
        common={"command": None, "umask": 0o027, "env": {"B": "of all"}},
    )
    made.variables = {"A": "less", "C": "more", "NOTIFY_SOCKET": "/x", "LISTEN_FDS": "7"}
    order = wire.Start(3, "a.example", None)
    rendered = render(made, "/run/x", order, identity(site(user="games")))
    assert rendered.argv == ["serve", "a.example", "/srv/a"]
    environ = rendered.environ
    assert (environ["A"], environ["C"]) == (str(GAMES.pw_uid), "more")
    assert environ["NOTIFY_SOCKET"] == "/run/x/3/notify"
    assert environ["LISTEN_FDS"] == "1"
    assert "B" not in environ  # the record has all of ENV that counts
    assert environ["PATH"] == "/srv/a/venv/bin:/opt/bin"
    assert environ["VIRTUAL_ENV"] == "/srv/a/venv"
    assert made.limits == Limits(1 << 20, None, None)
    assert made.rlimits == {"nofile": (10, None)}
    assert made.umask == 0o027
    assert site(command="serve %SOCKET", common={"umask": 0o027}).umask == 0o007


def test_an_order_with_a_record():
    record = Record(7, 10, 2000)
    data = encode_record(record, START)
    beside = [7, 8]
    assert decode_record(data, beside) == (record, START)
    assert beside == [8]
    assert decode_record(START, beside) == (None, START)
    assert beside == [8]
    with pytest.raises(WireError):
        wire.decode_start(data)


def test_site_files_without_a_settings_file_or_a_command():
    with pytest.raises(LuisitoError, match="CMD_TPL is not set, and SITES_DIR is not either"):
        Config(configure(command=None), root=False)
