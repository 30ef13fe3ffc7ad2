"""settings.py: what is read from it, what is refused and how, and that its documents agree."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.rlimits import NO_EFFECT, UNITS
from luisito.core.template import Template
from luisito.errors import SettingsError
from luisito.settings import Peers, Settings, from_mapping, load
from luisito.settings.former import FORMER
from luisito.settings.table import SETTINGS

ROOT = Path(__file__).parent.parent
KNOWN = {**SETTINGS, **FORMER}
COMMAND = "serve --port %PORT"


def settings(**names: object) -> Settings:
    return from_mapping({"CMD_TPL": COMMAND, **names})


def refusal(**names: object) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**names)
    return str(caught.value)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a settings.py into the current folder, a new one."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "settings.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return "settings.py"

    return write


# What is taken


def test_only_the_command_must_be_set():
    assert settings().max_servers == 10
    with pytest.raises(SettingsError, match=r"CMD_TPL is not set: .* write CMD_TPL = "):
        from_mapping({})


def test_with_site_files_no_command_need_be_set():
    made = from_mapping({"SITES_DIR": "/etc/luisito/sites"})
    assert (made.cmd_tpl, made.sites_dir, made.tenants) == (None, "/etc/luisito/sites", {})
    assert settings(SITES_DIR="/etc/luisito/sites").cmd_tpl == COMMAND


def test_defaults():
    made = settings()
    assert made.listen == ("tcp:8080:interface=127.0.0.1",)
    assert made.max_starting == 2 * len(os.sched_getaffinity(0))
    assert (made.idle_timeout, made.allowed_hosts, made.run_as) == (None, None, None)
    assert (made.queue_limit, made.queue_total, made.queue_timeout) == (100, 10_000, 45)
    assert made.trusted_proxies.unix
    assert not made.operators.unix


def test_settings_are_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings().max_servers = 3


def test_values_are_kept():
    made = settings(
        CMD_TPL=["serve", "%PORT"],
        ENV={"DJANGO_HOST": "%HOST"},
        PROJECT_PATH="/srv/%HOST",
        LISTEN=["tcp:80", "unix:/run/luisito.sock"],
        ALLOWED_HOSTS="example.com",
        IDLE_TIMEOUT=0.5,
        MAX_BODY_SIZE=10,
        MAX_STARTING=3,
        MIN_ALIVE=0,
        RUN_AS=1000,
        PORT_RANGE=[3000, 4000],
        HOST_HEADER="X-Site",
    )
    assert made.cmd_tpl == ("serve", "%PORT")
    assert made.env == {"DJANGO_HOST": "%HOST"}
    assert made.project_path == "/srv/%HOST"
    assert made.listen == ("tcp:80", "unix:/run/luisito.sock")
    assert made.allowed_hosts == ("example.com",)
    assert made.idle_timeout == 0.5
    assert made.max_body_size == 10
    assert made.max_starting == 3
    assert made.min_alive == 0
    assert made.run_as == 1000
    assert made.port_range == (3000, 4000)
    assert made.host_header == "X-Site"


def test_limits_of_servers():
    made = settings(
        RLIMITS={"nofile": (10, 20), "core": 0, "cpu": "unlimited", "as": [5, "unlimited"]},
        CPU_MAX=2,
        MEMORY_MAX=1 << 20,
    )
    assert made.rlimits == {
        "nofile": (10, 20),
        "core": (0, 0),
        "cpu": (None, None),
        "as": (5, None),
    }
    assert (made.cpu_max, made.memory_max, made.pids_max) == (2.0, 1 << 20, None)
    assert settings().rlimits == {}


def test_a_function_may_judge_hosts():
    made = settings(ALLOWED_HOSTS=lambda host: host == "a.test")
    assert made.allowed_hosts("a.test")


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = settings(
        OUTPUT_LOG_DIR="logs", ACCESS_LOG=Path("/var/log/access"), PROJECT_PATH=Path("/srv")
    )
    assert made.output_log_dir == str(tmp_path / "logs")
    assert made.access_log == "/var/log/access"
    assert made.project_path == "/srv"


def test_names_that_are_no_settings_are_ignored():
    def HELPER() -> None: ...  # noqa: N802 - the case under test

    settings(lower=1, Mixed=2, _PRIVATE=3, OS=os, PATH_CLASS=Path, HELPER=HELPER, LENGTH=len)


@pytest.mark.parametrize(
    ("peer", "inside"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("unix", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::2", False),
    ],
)
def test_default_trusted_proxies(peer, inside):
    assert settings().trusted_proxies.includes(peer) is inside


def test_peers_are_read_once():
    made = settings(TRUSTED_PROXIES=["10.0.0.0/8", "192.0.2.1"], OPERATORS=[])
    assert made.trusted_proxies == Peers(
        networks=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("192.0.2.1/32")),
        unix=False,
    )
    assert not made.operators.includes("127.0.0.1")


def test_what_is_remembered_of_peers_is_bounded():
    peers = settings(TRUSTED_PROXIES=["10.0.0.0/8"]).trusted_proxies
    for number in range(3000):
        assert peers.includes(f"10.0.{number >> 8}.{number & 255}")
        assert not peers.includes(f"fe80::1%{number:0>1000}")
    assert 0 < len(peers._known._seen) <= 1024
    assert max(map(len, peers._known._seen)) < 64
    assert peers.includes("10.0.0.0")


# 2012


def test_the_sample_of_2012(write):
    made = load(
        write(
            """
            HOST='0.0.0.0'
            PORT=8888
            MAX_SERVERS=10
            CMD_TPL='/usr/bin/env python manage.py runserver --uid %UID --gid %GID %HOST:%PORT'
            ENV={}
            PROJECT_PATH='/srv/%HOST'
            OUTPUT_LOG_DIR='/var/log/luisito'
            MULTIHOST_CONFIG={'host_header':'Host','sleep':0.2,'wait_up_to':10}
            """
        )
    )
    assert made.listen == ("tcp:8888:interface=0.0.0.0",)
    assert made.start_timeout == 10
    assert made.host_header is None
    assert made.output_log_dir == "/var/log/luisito"


@pytest.mark.parametrize(
    ("names", "endpoint"),
    [
        ({"PORT": 80}, "tcp:80:interface=127.0.0.1"),
        ({"HOST": ""}, "tcp:8080:interface=0.0.0.0"),
        ({"HOST": "localhost", "PORT": 81}, "tcp:81:interface=127.0.0.1"),
        ({"HOST": "::1", "PORT": 82}, r"tcp6:82:interface=\:\:1"),
        ({"HOST": None, "PORT": None}, "tcp:8080:interface=127.0.0.1"),
        ({"HOST": "www.example.com", "PORT": 83}, "tcp:83:interface=www.example.com"),
    ],
)
def test_host_and_port_of_2012(names, endpoint):
    assert settings(**names).listen == (endpoint,)


def test_odd_things_that_files_of_2012_do(write, tmp_path):
    """What meant something then means it now."""
    (tmp_path / "local_settings.py").write_text("MAX_SERVERS = 7\n")
    made = load(
        write(
            """
            # -*- coding: utf-8 -*-
            import os, sys
            from os.path import join, dirname, abspath

            ROOT = dirname(abspath(__file__))   # its own name, and used
            VENV = join(ROOT, 'env')
            PYTHON, MANAGE = join(VENV, 'bin', 'python'), join(ROOT, 'manage.py')
            HOST = u'0.0.0.0'
            PORT = 8000 + 888
            CMD_TPL = (PYTHON, MANAGE, 'runserver', '%HOST:%PORT', '--uid', '%UID', '--gid', '%GID')
            ENV = None
            PROJECT_PATH = ''
            OUTPUT_LOG_DIR = 'logs'
            MULTIHOST_CONFIG = dict(host_header='Host', sleep=.2, wait_up_to=10)
            from local_settings import *
            """
        )
    )
    assert made.listen == ("tcp:8888:interface=0.0.0.0",)
    assert made.cmd_tpl[:2] == (f"{tmp_path}/env/bin/python", f"{tmp_path}/manage.py")
    assert (made.env, made.project_path, made.max_servers) == ({}, None, 7)
    assert made.output_log_dir == f"{tmp_path}/logs"


def test_a_relative_project_path_is_that_of_the_file(write, tmp_path, monkeypatch):
    path = os.path.abspath(write('CMD_TPL = "serve"\nPROJECT_PATH = "../sites/%HOST"\n'))
    monkeypatch.chdir("/")
    assert load(path).project_path == str(tmp_path.parent / "sites" / "%HOST")


def test_a_per_cent_sign_in_the_folder_of_the_file_stays_one(tmp_path):
    folder = tmp_path / "100%HOST"
    folder.mkdir()
    (folder / "settings.py").write_text('CMD_TPL = "serve"\nPROJECT_PATH = "%HOST"\n')
    made = load(str(folder / "settings.py"))
    path = Template.text(made.project_path).render({"HOST": "a.test"})
    assert path == [str(folder / "a.test")]


def test_a_name_of_its_own_that_nothing_uses_may_be_a_misspelt_setting(write):
    with pytest.raises(SettingsError, match=r"settings\.py:2: MAX_SERVER = 3: is no setting"):
        load(write('CMD_TPL = "serve"\nMAX_SERVER = 3\n'))


def test_a_function_says_who_servers_run_as(write, tmp_path):
    made = load(write('CMD_TPL = "serve"\ndef RUN_AS(site):\n    return site[0]\n'))
    assert made.run_as.file == str(tmp_path / "settings.py")
    assert made.run_as.call("games") == "g"


def test_a_host_header_of_2012_that_differs():
    assert settings(MULTIHOST_CONFIG={"host_header": "X-Site"}).host_header == "X-Site"
    assert settings(MULTIHOST_CONFIG={"host_header": "HOST"}).host_header is None


def test_a_setting_by_both_its_names():
    assert refusal(PORT=80, LISTEN="tcp:80") == (
        "PORT and LISTEN are both set, and mean the same: keep LISTEN and remove PORT"
    )
    assert "remove MULTIHOST_CONFIG" in refusal(MULTIHOST_CONFIG={"wait_up_to": 1}, START_TIMEOUT=1)


# What is refused


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "MAX_SERVERS",
            "10",
            '= "10": must be a whole number of at least 1; write MAX_SERVERS = 10',
        ),
        (
            "MAX_SERVERS",
            True,
            "= True: must be a whole number of at least 1; write MAX_SERVERS = 10",
        ),
        ("MAX_SERVERS", 0, "= 0: must be"),
        ("MAX_SERVERS", 7.0, "= 7.0: must be .*; write MAX_SERVERS = 7"),
        ("MAX_SERVERS", 7.5, "= 7.5: must be .*; write MAX_SERVERS = 10"),
        ("MAX_SERVERS", "-3", "; write MAX_SERVERS = 10"),
        ("MAX_STARTING", 0, "or None; write MAX_STARTING = None"),
        ("START_TIMEOUT", "2.5", "must be a number of seconds above 0; write START_TIMEOUT = 2.5"),
        ("START_TIMEOUT", 0, "write START_TIMEOUT = 60"),
        ("START_TIMEOUT", True, "write START_TIMEOUT = 60"),
        ("START_TIMEOUT", None, "= None: must be a number of seconds above 0; write"),
        ("START_TIMEOUT", float("nan"), "must be"),
        ("START_TIMEOUT", float("inf"), "must be"),
        ("START_TIMEOUT", 10**400, "must be"),
        ("IDLE_TIMEOUT", 0, "above 0, or None; write IDLE_TIMEOUT = None"),
        ("MIN_ALIVE", -1, "0 or more; write MIN_ALIVE = 0"),
        ("MAX_HEAD_SIZE", 0, "write MAX_HEAD_SIZE = 32768"),
        ("MAX_BODY_SIZE", 1.5, "at least 1, or None; write MAX_BODY_SIZE = None"),
        ("CMD_TPL", "  ", "must be a command"),
        ("CMD_TPL", 3, "must be a command"),
        ("CMD_TPL", [], "must name a program"),
        ("CMD_TPL", ["run", 80], r'CMD_TPL\[1\] = 80: must be .*; write CMD_TPL\[1\] = "80"'),
        ("CMD_TPL", "a 'b", "CMD_TPL: .*balance the quotes"),
        ("CMD_TPL", "a %PORT %SOCKET", "CMD_TPL and ENV: .*keep one"),
        ("ENV", {"A": 1}, r'ENV\["A"\] = 1: must be a string .*; write ENV\["A"\] = "1"'),
        ("ENV", {"A=B": "1"}, "cannot be the name of a variable"),
        ("ENV", 3, "must be a dict of strings; write ENV = {}"),
        ("PROJECT_PATH", "/srv/%UID", "must have no word but %HOST"),
        ("PROJECT_PATH", 3, 'must be a path, .*; write PROJECT_PATH = "/srv/%HOST"'),
        ("LISTEN", 8080, 'write LISTEN = "tcp:8080:interface=127.0.0.1"'),
        ("LISTEN", "0.0.0.0:80", 'write LISTEN = "tcp:80:interface=0.0.0.0"'),
        ("LISTEN", ["tcp:80", ""], r'LISTEN\[1\] = ""'),
        ("LISTEN", [], "must be an endpoint string"),
        ("ADMIN_LISTEN", 9000, 'write ADMIN_LISTEN = "tcp:9000:interface=127.0.0.1"'),
        ("ADMIN_LISTEN", "ssl:8081", "must be an endpoint such as"),
        ("ADMIN_LISTEN", ["tcp:8081"], "must be an endpoint such as .*, or None"),
        ("ADMIN_TOKEN", "short", "ADMIN_TOKEN: has 5 characters: it must have 16 to 1024"),
        ("ADMIN_TOKEN", 7, "ADMIN_TOKEN: is no string: .*secrets.token_urlsafe"),
        ("ALLOWED_HOSTS", ["a b"], "ALLOWED_HOSTS has 'a b'"),
        ("ALLOWED_HOSTS", 3, "must be a list of hosts"),
        ("TRUSTED_PROXIES", ["10.0.0.1/8"], 'without host bits.*= "10.0.0.0/8"'),
        ("TRUSTED_PROXIES", "proxy.example.com", 'write TRUSTED_PROXIES = "127.0.0.1"'),
        ("OPERATORS", [1], r"OPERATORS\[0\] = 1: must be an address"),
        ("OPERATORS", None, "must be a list of addresses"),
        ("HOST_HEADER", "a b", "must be the name of a header"),
        ("HANDED_SOCKET", "udp", 'must be "unix" or "tcp"; write HANDED_SOCKET = "unix"'),
        ("PORT_RANGE", (80, 90), "from 1024 to 65535"),
        ("PORT_RANGE", (4000, 3000), r"write PORT_RANGE = \(3000, 4000\)"),
        ("PORT_RANGE", 4000, "must be the first and the last"),
        ("PORT_RANGE", (4000, 4002), r"has fewer ports than MAX_SERVERS \+ OVERLAP = 11"),
        ("RUN_AS", 0, 'write RUN_AS = "root"'),
        ("RUN_AS", "1000", "write RUN_AS = 1000"),
        ("RUN_AS", False, 'write RUN_AS = "owner"'),
        ("RUN_AS", "owner", "PROJECT_PATH, which is not set"),
        ("MIN_UID", 0, "at least 1"),
        ("REWARM", 1001, "must be a whole number from 0 to 1000; write REWARM = 0"),
        ("OUTPUT_LOG_DIR", "", "must be a path, or None; write OUTPUT_LOG_DIR = None"),
        ("ACCESS_LOG", "a\0b", "must be a path"),
        ("ACCESS_LOG_FORMAT", "{sight}", r"\{sight\} is none, the nearest is \{site\}; write ACC"),
        ("ACCESS_LOG_FORMAT", "", 'must be "json", "combined" or a template; write .* = "json"'),
        ("HOST", "a b", 'must be an IP address or a host name, or None; write HOST = "127.0.0.1"'),
        ("HOST", "1.2.3", "must be an IP address"),
        ("HOST", 3, "must be an IP address"),
        ("PORT", (8888,), "write PORT = 8888, without the comma behind it"),
        ("RUN_AS", lambda _site: None, "a function must stand in a settings.py"),
        ("STATE_DIR", 3, "must be a path, or None; write STATE_DIR = None"),
        ("RLIMITS", 3, r"must be a dict, or None; write RLIMITS = \{'nofile': 1024, 'core': 0\}"),
        (
            "RLIMITS",
            {"nofiles": 3},
            r"is no limit .* the nearest is \"nofile\"; .* = \{'nofile': 3\}",
        ),
        ("RLIMITS", {"RLIMIT_CORE": 0}, r"write RLIMITS = \{'core': 0\}"),
        ("RLIMITS", {3: 0}, "has 3, which is no limit"),
        (
            "RLIMITS",
            {"rss": 1, "core": 0},
            r"has no effect on Linux; write RLIMITS = \{'core': 0\}",
        ),
        ("RLIMITS", {"core": "0"}, r'RLIMITS\["core"\] = "0": must be .* RLIMITS\["core"\] = 0'),
        ("RLIMITS", {"core": -1}, r'whole number, "unlimited", or .*\["core"\] = "unlimited"'),
        ("RLIMITS", {"core": 2**63}, "must be a whole number"),
        ("RLIMITS", {"core": True}, "must be a whole number"),
        ("RLIMITS", {"core": None}, "must be a whole number"),
        ("RLIMITS", {"nofile": (1, 2, 3)}, r'write RLIMITS\["nofile"\] = \(1024, 4096\)'),
        (
            "RLIMITS",
            {"nofile": (9, 3)},
            r'soft limit.* above .*; write RLIMITS\["nofile"\] = \(3, 9\)',
        ),
        ("RLIMITS", {"nofile": ("unlimited", 3)}, r"must not have a soft limit, the first, above"),
        ("MEMORY_MAX", 512, "at least 1048576, or None; write MEMORY_MAX = None"),
        ("MEMORY_MAX", "512M", "at least 1048576, or None; write MEMORY_MAX = None"),
        ("CPU_MAX", 0, "must be a number of cores, at least 0.01, or None; write CPU_MAX = None"),
        ("CPU_MAX", "0.5", "write CPU_MAX = 0.5"),
        ("CPU_MAX", "half", "write CPU_MAX = None"),
        ("CPU_MAX", True, "must be a number of cores"),
        ("CPU_MAX", float("inf"), "must be a number of cores"),
        ("CPU_MAX", 10**400, "must be a number of cores"),
        ("PIDS_MAX", 0, "at least 1, or None; write PIDS_MAX = None"),
        ("PORT", "8888", "from 1 to 65535, or None; write PORT = 8888"),
        ("PORT", 70000, "from 1 to 65535"),
        ("MULTIHOST_CONFIG", {"wait": 1}, r"must have no key but .*\{'wait_up_to': 1\}"),
        ("MULTIHOST_CONFIG", {"wait_up_to": 0}, r'MULTIHOST_CONFIG\["wait_up_to"\] = 0: must be'),
        ("MULTIHOST_CONFIG", 3, "must be a dict"),
    ],
)
def test_wrong_values(name, value, message):
    text = refusal(**{name: value})
    assert text.startswith(name)
    assert re.search(message, text), text


def test_one_way_in_for_command_and_environment():
    text = refusal(ENV={"SOCKET": "%SOCKET"})
    assert text.startswith("CMD_TPL and ENV: %PORT and %SOCKET exclude each other")


def test_a_uid_below_the_lowest():
    assert refusal(RUN_AS=500, MIN_UID=1000).startswith("RUN_AS = 500: is below MIN_UID = 1000")
    assert re.search("REWARM = 9: .* STATE_DIR, which is not set; write", refusal(REWARM=9))


def test_few_ports_suffice_where_none_is_used():
    assert settings(CMD_TPL="serve --fd %FD", PORT_RANGE=(4000, 4000)).port_range == (4000, 4000)


def test_an_unknown_name_names_the_nearest():
    assert refusal(MAX_SERVER=5) == (
        "MAX_SERVER = 5: is no setting; the nearest is MAX_SERVERS; "
        "write that, or _MAX_SERVER if it is a name of your own"
    )


def test_a_value_that_cannot_be_shown():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert refusal(MAX_SERVERS=Broken()).startswith("MAX_SERVERS = <Broken>: ")


def test_long_values_are_cut():
    assert len(refusal(MAX_SERVERS="x" * 10_000)) < 250


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(KNOWN)), value=anything)
def test_any_value_is_taken_or_refused_by_name(name, value):
    message = ""
    try:
        made = settings(**{name: value})
    except SettingsError as error:
        message = str(error)
    else:
        assert made.listen
        assert made.start_timeout > 0
    assert not message or name in message
    assert "\n" not in message


# The file


def test_a_file_is_python(write, tmp_path):
    made = load(
        write(
            """
            import os
            from pathlib import Path
            from errno import EPERM

            _ports = 8000
            here = os.path.dirname(__file__)

            def ALLOWED_HOSTS(host):
                return host in ("a.test", "b.test")

            CMD_TPL = ["serve", here]
            MAX_SERVERS = _ports // 1000
            OUTPUT_LOG_DIR = "logs"
            """
        )
    )
    assert made.cmd_tpl == ("serve", str(tmp_path))
    assert made.max_servers == 8
    assert made.allowed_hosts("b.test")
    assert made.output_log_dir == str(tmp_path / "logs")


def test_relative_paths_are_those_of_the_file(write, tmp_path, monkeypatch):
    write('CMD_TPL = "serve"\nRUNTIME_DIR = "run"\n')
    monkeypatch.chdir("/")
    assert load(str(tmp_path / "settings.py")).runtime_dir == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'CMD_TPL = "serve"\nMAX_SERVERS = 1\nMAX_SERVERS = "10"\n',
            'settings.py:3: MAX_SERVERS = "10": must be a whole number of at least 1; write MAX',
        ),
        (
            "MAX_SERVER = 3\n",
            "settings.py:1: MAX_SERVER = 3: is no setting; the nearest is MAX_SERVERS; write",
        ),
        (
            "\ndef LISTEN(): ...\n",
            "settings.py:2: LISTEN = <function",
        ),
        ("from errno import EPERM as MAX_SERVERS, ENOENT as CMD_TPL", "settings.py:1: CMD_TPL = 2"),
        ('CMD_TPL = "a %PORT %FD"', "settings.py:1: CMD_TPL and ENV: %FD and %PORT exclude"),
        ('CMD_TPL = "serve"\nPORT = 1\nLISTEN = "tcp:1"', "settings.py:3: PORT and LISTEN are"),
        ('ALLOWED_HOSTS = ["a b"]', "settings.py:1: ALLOWED_HOSTS has 'a b'"),
        ("", "settings.py: CMD_TPL is not set"),
        (
            "\nMAX = = 3\n",
            "settings.py:2: is not Python: invalid syntax; mend that line: MAX = = 3",
        ),
        ("\nimport os\nX = os.nothing\n", "settings.py:3: AttributeError: module 'os' has no"),
        ("def f():\n    return 1 / 0\nX = f()\n", "settings.py:2: ZeroDivisionError: "),
        ("import sys\nsys.exit(3)\n", "settings.py:2: SystemExit: 3; mend that line"),
        ("raise ValueError('a\\nb')\n", "settings.py:1: ValueError: a b; mend"),
        ("X = '\0'", "settings.py"),
    ],
)
def test_an_error_names_file_and_line(write, text, message):
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value).startswith(message)
    assert "Traceback" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.py: is not there; name it by --settings FILE"):
        load(str(tmp_path / "none.py"))
    with pytest.raises(SettingsError, match="cannot be read: Is a directory; name another"):
        load(str(tmp_path))


@pytest.mark.root
def test_a_file_that_one_may_not_read(tmp_path):
    (tmp_path / "settings.py").write_text("")
    (tmp_path / "settings.py").chmod(0o600)
    tmp_path.chmod(0o711)
    code = (
        "import os, sys; from luisito.settings import load; from luisito.errors import LuisitoError"
        "\nos.chdir(sys.argv[1]); os.setgroups([]); os.setresgid(*[65534] * 3)"
        "\nos.setresuid(*[65534] * 3)"
        "\ntry: load('settings.py')"
        "\nexcept LuisitoError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == (
        "settings.py: cannot be read: Permission denied; let whoever starts Luisito read it\n"
    )


# The endpoint of the page


@pytest.mark.parametrize("where", ["tcp:80", "tcp:80:interface=192.0.2.1", "tcp6:80"])
def test_what_other_machines_reach_takes_a_token(where):
    assert re.search(
        f'ADMIN_LISTEN = "{where}": is open to other machines, and ADMIN_TOKEN is not set; set',
        refusal(ADMIN_LISTEN=where),
    )
    assert settings(ADMIN_LISTEN=where, ADMIN_TOKEN="0123456789abcdef").admin_listen == where


@pytest.mark.parametrize(
    "where",
    ["tcp:80:interface=127.0.0.1", r"tcp6:80:interface=\:\:1", "unix:/run/a.sock", "systemd:x"],
)
def test_what_is_reached_on_this_machine_takes_none(where):
    assert settings(ADMIN_LISTEN=where).admin_listen == where


def test_the_token_is_not_shown():
    secret = "an unlikely secret"
    assert secret not in refusal(ADMIN_TOKEN=secret)
    secret = secret.replace(" ", "-")
    assert secret not in repr(settings(ADMIN_TOKEN=secret))


# The documents


def evaluated(text: str) -> object:
    return eval(text, {"__builtins__": {}})


def test_the_example_starts_as_it_is():
    made = load(str(ROOT / "settings.py.example"))
    default = settings(CMD_TPL=made.cmd_tpl)
    assert made == default


def test_the_example_has_each_setting_with_its_default_and_unit():
    text = (ROOT / "settings.py.example").read_text(encoding="utf-8")
    found: dict[str, object] = {}
    for paragraph in text.split("\n\n"):
        match = re.search(r"^(?:# )?([A-Z][A-Z0-9_]*) = (.*)\Z", paragraph.strip(), re.MULTILINE)
        if match is None:
            continue
        name, value = match.groups()
        assert name not in found
        found[name] = evaluated(value)
        comment = " ".join(line.removeprefix("#").strip() for line in paragraph.splitlines())
        assert f"({KNOWN[name].unit})" in comment, name
    assert found.keys() == KNOWN.keys()
    del found["CMD_TPL"]
    assert found == {name: KNOWN[name].default for name in found}


def test_the_example_explains_each_setting_as_the_code_does():
    text = (ROOT / "settings.py.example").read_text(encoding="utf-8")
    for name in KNOWN.keys() - {"CMD_TPL", "ALLOWED_HOSTS"}:  # which it explains by examples
        found = re.search(rf"((?:^# \S.*\n)+)(?:^#   .*\n)*^(?:# )?{name} = ", text, re.MULTILINE)
        assert found is not None, name
        comment = " ".join(line.removeprefix("# ") for line in found[1].splitlines())
        assert comment == f"{KNOWN[name].about} ({KNOWN[name].unit})"


def test_the_documentation_has_each_limit_as_the_code_has_it():
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    table = text.partition("| name | counts |\n|---|---|\n")[2].partition("\n\n")[0]
    found = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    assert found == UNITS
    for name in NO_EFFECT:
        assert f"`{name}`" in text


def test_the_documentation_has_each_setting_as_the_code_has_it():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    found: dict[str, tuple[str, str, str]] = {}
    for section in text.split("\n## ")[1:]:
        group = section.splitlines()[0]
        for name, default, unit, about in re.findall(
            r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \|$", section, re.MULTILINE
        ):
            assert name not in found
            found[name] = (group, unit, about)
            if KNOWN[name].default is attrs.NOTHING:
                assert default == "must be set"
            else:
                assert evaluated(default.strip("`")) == KNOWN[name].default
    assert found == {
        name: (setting.group, setting.unit, setting.about) for name, setting in KNOWN.items()
    }


def test_the_message_in_the_documentation_is_the_real_one(write):
    with pytest.raises(SettingsError) as caught:
        load(write('CMD_TPL = "serve"\n\nMAX_SERVERS = "10"\n'))
    assert str(caught.value) in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


# Rules for requests that wake nothing


def test_rules():
    made = settings(
        WAKE=[
            {"user_agent": "*UptimeRobot*", "answer": 200},
            {"path": "/healthz", "methods": ["GET", "HEAD"], "answer": 200, "text": "ok"},
            {"addresses": ["10.0.0.0/8", "::1"]},
            {"methods": "OPTIONS", "answer": 204},
        ]
    ).wake
    assert [rule.answer for rule in made] == [200, 200, None, 204]
    assert [rule.text for rule in made] == ["asleep\n", "ok", "asleep\n", ""]
    assert made[1].methods == ("GET", "HEAD")
    assert [str(network) for network in made[2].addresses] == ["10.0.0.0/8", "::1/128"]
    assert settings().wake == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"path": "/x"}, """ = {'path': '/x'}: must be a list of dicts; write WAKE = [{'path'"""),
        ("/x", ''' = "/x": must be a list of dicts; write WAKE = [{'''),
        (["/x"], '''[0] = "/x": must be a dict of conditions; write WAKE[0] = {'user_agent': '''),
        (
            [{"path": "/"}, {"agent": "x"}],
            "no word of a rule; the nearest is \"user_agent\"; write WAKE[1] = {'user_agent': 'x'}",
        ),
        (
            [{"answer": 200}],
            "methods, addresses; write WAKE[0] = {'path': '/healthz', 'answer': 200}",
        ),
        ([{"path": "healthz"}], '''[0]["path"] = "healthz": must be a path as clients send it'''),
        ([{"path": ["/a", "/b?c"]}], """write WAKE[0]["path"] = ['/a', '/b']"""),
        ([{"path": "?"}], """write WAKE[0]["path"] = "/healthz\""""),
        ([{"path": []}], '''must not be empty; write WAKE[0]["path"] = "/healthz"'''),
        ([{"user_agent": " "}], '''must be a part of User-Agent, or all of it with *'''),
        ([{"user_agent": 3}], '''write WAKE[0]["user_agent"] = "UptimeRobot"'''),
        ([{"methods": "get"}], '''in upper case; write WAKE[0]["methods"] = "GET"'''),
        ([{"methods": ["HEAD", "BREW"]}], """write WAKE[0]["methods"] = ['HEAD', 'GET']"""),
        (
            [{"addresses": "10.0.0.1/8"}],
            '''a network without host bits; write WAKE[0]["addresses"] = "10.0.0.0/8"''',
        ),
        ([{"path": "/", "answer": 302}], '''[0]["answer"] = 302: must be a status of HTTP'''),
        ([{"path": "/", "answer": "404"}], '''write WAKE[0]["answer"] = 404'''),
        ([{"path": "/", "answer": True}], '''write WAKE[0]["answer"] = 200'''),
        ([{"path": "/", "text": "x"}], "must have an answer to go with text, and not 204 or 205"),
        ([{"path": "/", "text": "x", "answer": 204}], "'text': 'x', 'answer': 200}"),
        ([{"path": "/", "answer": 200, "text": 3}], "must be a text of at most 2000 characters"),
        ([{"path": "/", "answer": 200, "text": "\udcff"}], "must be a text of at most 2000"),
        ([{"path": ["/x"] * 201}], "must have at most 200 words in the conditions of all"),
    ],
)  # fmt: skip
def test_rules_that_are_refused(written, said):
    message = refusal(WAKE=written)
    assert message.startswith("WAKE")
    assert said in message


def test_a_share():
    assert settings(QUEUE_SHARE=1).queue_share == 1.0
    assert refusal(QUEUE_SHARE=25) == (
        "QUEUE_SHARE = 25: must be a number above 0, of at most 1; write QUEUE_SHARE = 0.25"
    )
    assert refusal(QUEUE_SHARE="0.5").endswith("write QUEUE_SHARE = 0.5")
    assert refusal(QUEUE_SHARE=0).endswith("write QUEUE_SHARE = 0.25")


# Hooks


def test_hooks_are_commands_and_urls():
    assert settings().hooks == {}
    assert settings(HOOKS=None).hooks == {}
    made = settings(
        HOOKS={"ready": ["warm", "%HOST"], "exit": "https://a.example/", "start": "a b"}
    )
    assert made.hooks == {"ready": ("warm", "%HOST"), "exit": "https://a.example/", "start": "a b"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("warm", ' = "warm": must be a dict from events to commands or URLs; write HOOKS = '),
        ({"wake": "a"}, 'has "wake", and an event is start, ready, failure, eviction or exit; '),
        ({"exit": ["a", None]}, '["exit"][1] = None: must be a string without NUL; write HOOKS['),
        (
            {"exit": "a %UID"},
            '["exit"] = "a %UID": must not have %UID: %HOST alone may stand there',
        ),
        ({"exit": "http://"}, '["exit"] = "http://": must be a URL like https://example.com/path'),
        ({"exit": "'"}, '["exit"] = "\'": must be a command or a URL: no closing quotation; '),
    ],
)
def test_what_is_no_hook(value, said):
    assert said in refusal(HOOKS=value)
