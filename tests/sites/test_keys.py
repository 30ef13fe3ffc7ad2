"""Keys of site files one by one: what is taken, and each refusal word for word."""

import sysconfig

import attrs
import pytest

from luisito.core.siteindex import PRELOAD
from luisito.settings.sites.runner import BOOT
from luisito.settings.sites.table import KEYS, LIMITS
from luisito.settings.table import SETTINGS
from tests.sites.made import refusal, settings, site


def test_an_empty_file_is_a_site():
    made = site("")
    assert (made.name, made.path, made.tenant) == ("shop.example", "shop.example.toml", None)
    assert made.given == frozenset()
    assert (made.aliases, made.redirects, made.hosts, made.default) == ((), (), (), False)
    assert (made.stop_signal, made.env, made.rlimits) == ("TERM", {}, {})
    assert {getattr(made, key) for key in LIMITS} == {None}
    assert made.way == "port"


def test_a_site_is_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        site("").name = "other.example"


EVERY = """
command = ["serve", "%FD"]
env = { A = "1", B = "%HOST" }
env_file = "/etc/shop.env"
virtualenv = "venv/%HOST"
reload_on = ["*.py"]
folder = "/srv/%HOST"
user = 1000
group = "www-data"
aliases = ["www.shop.example", "[::1]", "127.0.0.1"]
redirects = ["shop.example.org"]
hosts = ["*.shop.example", "!no.shop.example", "!*.x.shop.example", "a.example"]
default = true
listen = ["tcp:8001:interface=127.0.0.1", "unix:/run/shop.sock:mode=660"]
handed_socket = "tcp"
keep = "always"
restart = "on-failure"
processes = 4
pre_stop = "/may-stop"
hibernate = true
hibernate_after = 900
sticky = "shop_server"
stop_signal = "QUIT"
stop_command = "kill -QUIT $MAINPID"
hooks = { ready = ["warm", "%HOST"], exit = "https://hooks.example/x" }
ready = "/health?deep"
idle_timeout = 600
min_alive = 0
start_timeout = 2.5
stop_timeout = 1
max_requests = 5000
max_age = 86400
stream_idle = "none"
busy_max = 60
wake = [{ path = "/healthz" }]
waiting_page = "%HOST.html"
maintenance = " Back at noon. "
queue_limit = 10
queue_timeout = 3
upstream_max = 4
body_timeout = 5
response_timeout = 6
websocket_timeout = 3600
upstream_keepalive = 7
max_body_size = "none"
rlimits = { nofile = [1024, 4096], core = 0, cpu = "unlimited" }
memory_max = 536870912
cpu_max = 0.5
pids_max = 100

[[process]]
name = "mail"
command = "mail --for %HOST"
env = { C = "2" }
with = "always"
restart = "on-failure"
stop_signal = "INT"
stop_timeout = 30
[[mount]]
path = "/api"
command = "serve api"
"""


def test_every_key():
    made = site(EVERY)
    of_runner = {"django", "app", "runner", "threads", "preload"}
    assert made.given == set(KEYS) - {"extends"} - of_runner
    assert made.command == ("serve", "%FD")
    assert made.env == {"A": "1", "B": "%HOST"}
    assert (made.env_file, made.virtualenv) == ("/etc/shop.env", "venv/%HOST")
    assert (made.folder, made.user, made.group) == ("/srv/%HOST", 1000, "www-data")
    assert made.reload_on == ("*.py",)
    assert made.maintenance == "Back at noon."
    assert made.pre_stop == "/may-stop"
    assert made.hooks == {"ready": ("warm", "%HOST"), "exit": "https://hooks.example/x"}
    assert (made.hibernate, made.hibernate_after) == (True, 900)
    assert made.aliases == ("www.shop.example", "[::1]", "127.0.0.1")
    assert made.redirects == ("shop.example.org",)
    assert made.hosts[1] == "!no.shop.example"
    assert made.listen == ("tcp:8001:interface=127.0.0.1", "unix:/run/shop.sock:mode=660")
    assert (made.default, made.handed_socket, made.stop_signal) == (True, "tcp", "QUIT")
    assert (made.idle_timeout, made.min_alive, made.start_timeout) == (600, 0, 2.5)
    (mail,) = made.process
    assert (mail.name, mail.command, mail.env) == ("mail", "mail --for %HOST", {"C": "2"})
    assert (mail.lives_with, mail.restart, mail.stop_signal) == ("always", "on-failure", "INT")
    assert mail.stop_timeout == 30
    assert (made.keep, made.restart, made.processes) == ("always", "on-failure", 4)
    assert (made.stream_idle, made.max_body_size) == (None, None)
    assert (made.max_requests, made.max_age) == (5000, 86400)
    assert (made.queue_limit, made.upstream_max, made.upstream_keepalive) == (10, 4, 7)
    assert made.rlimits == {"nofile": (1024, 4096), "core": (0, 0), "cpu": (None, None)}
    assert (made.memory_max, made.cpu_max, made.pids_max) == (1 << 29, 0.5, 100)
    assert made.way == "fd"


def test_limits_are_settings_and_their_readers_are_the_settings():
    for name in LIMITS:
        assert KEYS[name].setting == name.upper()
        assert KEYS[name].unit == SETTINGS[name.upper()].unit


def test_an_application_instead_of_a_command():
    made = site('django = "/srv/%HOST"\nthreads = 8\nprocesses = 2')
    assert made.command == (
        "python3", BOOT, "serve", "--django", "/srv/%HOST", "--fd", "%FD", "--threads", "8",
        "--processes", "2", "--servers", sysconfig.get_path("purelib"),
    )  # fmt: skip
    assert (made.folder, made.fixed, made.way) == ("/srv/%HOST", "/srv/shop.example/", "fd")
    assert [worker.name for worker in made.workers] == [PRELOAD]
    own = site('app = "shop.wsgi:app"\nfolder = "/srv"\nrunner = "python"\npreload = ["numpy"]')
    assert own.command[3:6] == ("shop.wsgi:app", "--fd", "%FD")
    assert own.workers[0].command[-1] == "numpy"
    assert site('app = "shop:make()"\npreload = false').workers == ()


def test_an_application_in_a_file_takes_the_place_of_a_base_s_command():
    base = 'command = "serve"\nfolder = "/srv/%HOST"'
    made = site('extends = "base"\napp = "shop:app"', bases={"base": base})
    assert made.command[3] == "shop:app"
    base = 'django = "/srv/%HOST"\nrunner = "python"'
    assert site('extends = "base"\ncommand = "serve"', bases={"base": base}).command == "serve"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('django = "/srv"\ncommand = "serve"', "django = \"/srv\": must not stand beside command"),
        ('threads = 3\ncommand = "serve"', "threads = 3: says nothing without django or app"),
        ('app = "shop.wsgi"', 'write app = "shop.wsgi:application"'),
        ("app = 3", 'must be module:callable; write app = "shop.wsgi:application"'),
        ('app = "a:b"\nrunner = "ruby"', 'must be "python"; write runner = "python"'),
        ('app = "a:b"\nthreads = 0', "must be a whole number from 1 to 256; write threads = 4"),
        ('app = "a:b"\npreload = "numpy"', 'a list of modules; write preload = ["numpy"]'),
        ('app = "a:b"\npreload = ["a-b"]', "must be a module"),
        ('app = "a:b"\n[[process]]\nname = "preload"\ncommand = "x"', "must be another one"),
    ],
)  # fmt: skip
def test_what_an_application_cannot_have(text, message):
    assert message in refusal(text)


@pytest.mark.parametrize("command", ["serve %PORT", "serve %SOCKET", "serve"])
def test_the_way(command):
    ways = {"serve %PORT": "port", "serve %SOCKET": "socket", "serve": "fd"}
    assert site(f'command = "{command}"').way == ways[command]
    assert site("", common=settings(CMD_TPL=command)).way == ways[command]
    assert site('env.X = "%SOCKET"', common=settings(CMD_TPL="serve")).way == "socket"


USER = 'must be "owner", a user\'s name or uid, or "root" written out'
GROUP = 'must be a group\'s name or gid, or "root" written out'
PATH = "must be a path, in which no word but %HOST may stand"
FOLDER = "must be an absolute path, in which no word but %HOST may stand"
BASE = "must be the name of a base: NAME, where NAME.base.toml is beside this file"
HOST = "must be a host in lower case, without a port"
PATTERN = 'must be a host in lower case without a port, with "*." or "!" before it or not'
SIGNAL = 'must be "TERM" or "INT" or "QUIT" or "HUP" or "USR1" or "USR2"'
KEEP = 'must be "demand" or "pinned" or "always"'
HOOK = 'write hooks = { failure = "/usr/local/bin/site-failed %HOST" }'
HOOK_EXIT = 'write hooks.exit = "/usr/local/bin/site-failed %HOST"'
KILL = 'write stop_command = "kill -QUIT $MAINPID"'
READY = 'must be "accept", "notify", or the path of a URL, such as "/health"'
MAINTENANCE = "must be true, false, a text for the page, or whole seconds for Retry-After"
COMMAND = "must be a command, as a string or a list of strings"
SERVE = 'write command = "python3 -m http.server --bind 127.0.0.1 %PORT"'
ASKED = 'must be the path of a URL, such as /may-stop; write pre_stop = "/may-stop"'
PAGE = "must be true, false, or the path of a file, in which no word but %HOST may stand"
RLIMIT = 'must be a whole number, "unlimited", or [soft, hard] of these'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # unknown keys
        (
            'comand = "x"',
            'comand = "x": is no key; the nearest is command; write command = "x", or remove it',
        ),
        (
            "IDLE_TIMEOUT = 3",
            (
                "IDLE_TIMEOUT = 3: is no key; the nearest is idle_timeout; "
                "write idle_timeout = 3, or remove it"
            ),
        ),
        (
            'cmd_tpl = "x"',
            'cmd_tpl = "x": is no key; the nearest is command; write command = "x", or remove it',
        ),
        (
            'reload_on = "*.py"',
            'reload_on = "*.py": must be a list of patterns of files; write reload_on = ["*.py"]',
        ),
        (
            'reload_on = ["/srv/x.py"]',
            (
                'reload_on[0] = "/srv/x.py": must be a pattern of names, or of paths below '
                '`folder`; write reload_on[0] = "srv/x.py"'
            ),
        ),
        (
            "processes = 0",
            "processes = 0: must be a whole number of at least 1; write processes = 1",
        ),
        (
            "sticky = 1",
            (
                "sticky = 1: must be true, false or the name of a cookie: letters, digits, _, . "
                "and -; write sticky = true"
            ),
        ),
        (
            'sticky = "a b"',
            (
                'sticky = "a b": must be true, false or the name of a cookie: letters, digits, _, '
                '. and -; write sticky = "a_b"'
            ),
        ),
        (
            "processes = 33",
            "processes = 33: must not be more than 32; write processes = 32",
        ),
        (
            "max_requests = 0",
            (
                'max_requests = 0: must be a whole number of at least 1, or "none"; '
                'write max_requests = "none"'
            ),
        ),
        (
            "max_age = 0.5",
            (
                'max_age = 0.5: must be a number of seconds of at least 1, or "none"; '
                "write max_age = 1"
            ),
        ),
        (
            'max_age = "1 day"',
            (
                'max_age = "1 day": must be a number of seconds above 0, or "none"; '
                "write max_age = 86400"
            ),
        ),
        (
            'aliasses = "x"',
            'aliasses = "x": is no key; the nearest is aliases; write aliases, or remove it',
        ),
        (
            "max_servers = 3",
            (
                "max_servers = 3: is a setting of Luisito as a whole, and no key of a site; "
                "write MAX_SERVERS in settings.py"
            ),
        ),
        (
            '"virtual\\u001b[2J" = 1',
            (
                '"virtual\\u001b[2J" = 1: is no key; the nearest is virtualenv; '
                "write virtualenv, or remove it"
            ),
        ),
        # numbers
        (
            'memory_max = "512M"',
            (
                'memory_max = "512M": must be a whole number of at least 1048576 (bytes), or '
                '"none"; write memory_max = 536870912'
            ),
        ),
        (
            'max_body_size = "1.5 GiB"',
            (
                'max_body_size = "1.5 GiB": must be a whole number of at least 1 (bytes), '
                'or "none"; write max_body_size = 1610612736'
            ),
        ),
        (
            'memory_max = "1K"',
            (
                'memory_max = "1K": must be a whole number of at least 1048576 (bytes), or "none"; '
                'write memory_max = "none"'
            ),
        ),
        (
            'idle_timeout = "10 min"',
            (
                'idle_timeout = "10 min": must be a number of seconds above 0, or "none"; '
                "write idle_timeout = 600"
            ),
        ),
        (
            'idle_timeout = "600"',
            (
                'idle_timeout = "600": must be a number of seconds above 0, or "none"; '
                "write idle_timeout = 600"
            ),
        ),
        (
            'start_timeout = "500ms"',
            (
                'start_timeout = "500ms": must be a number of seconds above 0; '
                "write start_timeout = 60"
            ),
        ),
        (
            'start_timeout = "none"',
            'start_timeout = "none": must be a number of seconds above 0; write start_timeout = 60',
        ),
        (
            "min_alive = -1",
            ("min_alive = -1: must be a number of seconds, 0 or more; write min_alive = 0"),
        ),
        (
            "queue_limit = true",
            (
                "queue_limit = true: must be a whole number of at least 1 "
                "(requests); write queue_limit = 100"
            ),
        ),
        (
            'cpu_max = "50%"',
            (
                'cpu_max = "50%": must be a number of cores, at least 0.01, or "none"; '
                "write cpu_max = 0.5"
            ),
        ),
        (
            "start_timeout = nan",
            ("start_timeout = nan: must be a number of seconds above 0; write start_timeout = 60"),
        ),
        (
            'websocket_timeout = "1h"',
            (
                'websocket_timeout = "1h": must be a number of seconds above 0, or "none"; '
                "write websocket_timeout = 3600"
            ),
        ),
        ('pre_stop = "may-stop"', f'pre_stop = "may-stop": {ASKED}'),
        ('pre_stop = "/a b"', f'pre_stop = "/a b": {ASKED}'),
        ("pre_stop = 409", f"pre_stop = 409: {ASKED}"),
        ("waiting_page = 1", f"waiting_page = 1: {PAGE}; write waiting_page = true"),
        # what is run
        ('command = ""', f'command = "": {COMMAND}; {SERVE}'),
        ("command = 3", f"command = 3: {COMMAND}; {SERVE}"),
        ("command = []", f"command = []: must name a program; {SERVE}"),
        ('command = "a \'b"', 'command = "a \'b": no closing quotation; balance the quotes'),
        ("command = \"''\"", "command = \"''\": names no program; write one"),
        (
            'command = ["a", 1]',
            'command[1] = 1: must be a string without NUL; write command[1] = "1"',
        ),
        ("env = 3", "env = 3: must be a table of strings; write env = {}"),
        ("env.A = 1", 'env.A = 1: must be a string without NUL; write env.A = "1"'),
        (
            "env = { 'a b' = true }",
            'env."a b" = true: must be a string without NUL; write env."a b" = "1"',
        ),
        (
            'env = { "A=B" = "1" }',
            (
                'env = { "A=B" = "1" }: has "A=B", which cannot be the name of a variable; '
                "write env = {}"
            ),
        ),
        ("env_file = 3", f'env_file = 3: {PATH}; write env_file = ".env"'),
        ('virtualenv = "%FD"', f'virtualenv = "%FD": {PATH}; write virtualenv = "venv"'),
        ('folder = "shop"', f'folder = "shop": {FOLDER}; write folder = "/srv/shop"'),
        ('folder = "/srv/%UID"', f'folder = "/srv/%UID": {FOLDER}; write folder = "/srv/%HOST"'),
        (
            'extends = "../django.base.toml"',
            f'extends = "../django.base.toml": {BASE}; write extends = "django"',
        ),
        ('extends = ["a"]', f'extends = ["a"]: {BASE}; write extends = "NAME"'),
        # hosts
        (
            'aliases = "www.shop.example"',
            (
                'aliases = "www.shop.example": must be a list of hosts; '
                'write aliases = ["www.shop.example"]'
            ),
        ),
        ("aliases = 3", "aliases = 3: must be a list of hosts; write aliases = []"),
        (
            'aliases = ["a.example", "WWW.Shop.example:80"]',
            f'aliases[1] = "WWW.Shop.example:80": {HOST}; write aliases[1] = "www.shop.example"',
        ),
        (
            'redirects = ["https://bücher.example/x"]',
            (
                f'redirects[0] = "https://bücher.example/x": {HOST}; '
                'write redirects[0] = "xn--bcher-kva.example"'
            ),
        ),
        ('aliases = [""]', f'aliases[0] = "": {HOST}; write aliases[0] = "www.example.com"'),
        ("aliases = [3]", f'aliases[0] = 3: {HOST}; write aliases[0] = "www.example.com"'),
        (
            'aliases = ["*.x.example"]',
            (
                'aliases[0] = "*.x.example": must be one host, as patterns stand in hosts; '
                'write aliases[0] = "x.example"'
            ),
        ),
        (
            'hosts = "*.a"',
            (
                'hosts = "*.a": must be a list of hosts, "*.example.com", and exceptions, '
                '"!shop.example.com"; write hosts = ["*.a"]'
            ),
        ),
        (
            'hosts = ["!*"]',
            (
                'hosts[0] = "!*": must not be any host; default = true does that; '
                'write hosts[0] = "*.example.com"'
            ),
        ),
        (
            'hosts = ["!*.Shop.example."]',
            f'hosts[0] = "!*.Shop.example.": {PATTERN}; write hosts[0] = "!*.shop.example"',
        ),
        ('hosts = ["x.*"]', f'hosts[0] = "x.*": {PATTERN}; write hosts[0] = "www.example.com"'),
        ('hosts = [""]', f'hosts[0] = "": {PATTERN}; write hosts[0] = "www.example.com"'),
        ('hosts = ["!"]', f'hosts[0] = "!": {PATTERN}; write hosts[0] = "!www.example.com"'),
        ("hosts = [1]", f'hosts[0] = 1: {PATTERN}; write hosts[0] = "www.example.com"'),
        ('default = "yes"', 'default = "yes": must be true or false; write default = true'),
        ("default = 0", "default = 0: must be true or false; write default = false"),
        # users
        ("user = 0", f'user = 0: {USER}; write user = "root"'),
        ('user = "1000"', f'user = "1000": {USER}; write user = 1000'),
        ('user = "a b"', f'user = "a b": {USER}; write user = "owner"'),
        ("group = 0", f'group = 0: {GROUP}; write group = "root"'),
        ('group = "33"', f'group = "33": {GROUP}; write group = 33'),
        ("group = false", f'group = false: {GROUP}; write group = "www-data"'),
        # the pool
        (
            'stop_signal = "sigquit"',
            (f'stop_signal = "sigquit": {SIGNAL}; write stop_signal = "QUIT"'),
        ),
        ("stop_signal = 15", f'stop_signal = 15: {SIGNAL}; write stop_signal = "TERM"'),
        (
            'handed_socket = "udp"',
            'handed_socket = "udp": must be "unix" or "tcp"; write handed_socket = "unix"',
        ),
        ("keep = true", f'keep = true: {KEEP}; write keep = "always"'),
        ('keep = "no"', f'keep = "no": {KEEP}; write keep = "demand"'),
        (
            'restart = "never"',
            ('restart = "never": must be "always" or "on-failure"; write restart = "always"'),
        ),
        ("stop_command = 3", f"stop_command = 3: {COMMAND}; {KILL}"),
        ("hooks = 3", f"hooks = 3: must be a table from events to commands or URLs; {HOOK}"),
        (
            '[hooks]\nreadyy = "a"',
            (
                'hooks = { readyy = "a" }: has "readyy", and an event is start, ready, failure,'
                ' eviction or exit; write hooks = { ready = "a" }'
            ),
        ),
        ('hooks.exit = ""', f'hooks.exit = "": must be a command or a URL; {HOOK_EXIT}'),
        (
            "hooks.exit = ['a', 3]",
            'hooks.exit[1] = 3: must be a string without NUL; write hooks.exit[1] = "3"',
        ),
        (
            """hooks.exit = "a '\"""",
            f'hooks.exit = "a \'": must be a command or a URL: no closing quotation; {HOOK_EXIT}',
        ),
        (
            'hooks.exit = "a %PORT"',
            (
                'hooks.exit = "a %PORT": must not have %PORT: %HOST alone may stand there, and what'
                f" has happened is in its environment; {HOOK_EXIT}"
            ),
        ),
        (
            'hooks.exit = "https://u@a.example/"',
            (
                'hooks.exit = "https://u@a.example/": must be a URL like https://example.com/path,'
                " of at most 2000 characters of ASCII, with no user and no #; write hooks.exit ="
                ' "https://example.com/hook"'
            ),
        ),
        ("stop_command = []", f"stop_command = []: must name a program; {KILL}"),
        ("ready = true", f'ready = true: {READY}; write ready = "accept"'),
        ('ready = "health"', f'ready = "health": {READY}; write ready = "/health"'),
        ('ready = "/a b"', f'ready = "/a b": {READY}; write ready = "accept"'),
        ('ready = "/a#b"', f'ready = "/a#b": {READY}; write ready = "accept"'),
        ('ready = "sd_notify"', f'ready = "sd_notify": {READY}; write ready = "notify"'),
        (
            'ready = "http://a.test/up"',
            f'ready = "http://a.test/up": {READY}; write ready = "/up"',
        ),
        (
            "maintenance = 0",
            f"maintenance = 0: {MAINTENANCE}; write maintenance = true",
        ),
        (
            'maintenance = "600"',
            f'maintenance = "600": {MAINTENANCE}; write maintenance = 600',
        ),
        (
            'maintenance = ""',
            f'maintenance = "": {MAINTENANCE}; write maintenance = true',
        ),
        # rlimits
        (
            'rlimits = "none"',
            'rlimits = "none": must be a table; write rlimits = { nofile = 1024, core = 0 }',
        ),
        (
            "rlimits = { nofiles = 3 }",
            (
                'rlimits = { nofiles = 3 }: has "nofiles", which is no limit of setrlimit(2); '
                'the nearest is "nofile"; write rlimits = { nofile = 3 }'
            ),
        ),
        ('rlimits.nofile = "3"', f'rlimits.nofile = "3": {RLIMIT}; write rlimits.nofile = 3'),
        (
            "rlimits = { nofile = [4, 3] }",
            (
                "rlimits.nofile = [4, 3]: must not have a soft limit, the first, above the hard "
                "one; write rlimits.nofile = [3, 4]"
            ),
        ),
    ],
)
def test_what_is_refused(text, said):
    assert refusal(f"# a site\n{text}\n") == f"shop.example.toml:2: {said}"


WAYS = "exclude each other (in command, env or ENV); keep one of them"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'command = "a %PORT %FD"',
            f':1: command = "a %PORT %FD": %FD and %PORT {WAYS}',
        ),
        (
            'env.S = "%SOCKET"',
            f':1: env = {{ S = "%SOCKET" }}: %PORT and %SOCKET {WAYS}',
        ),
        (
            'user = "owner"',
            (
                ':1: user = "owner": is the owner of folder, and neither that nor PROJECT_PATH is '
                'set; write folder = "/srv/%HOST"'
            ),
        ),
        (
            'env_file = ".env"',
            (
                ':1: env_file = ".env": must be an absolute path, as neither folder nor '
                'PROJECT_PATH is set; write folder = "/srv/%HOST"'
            ),
        ),
        (
            'redirects = [\n"shop.example"]',
            ':2: redirects[0] = "shop.example": is the name of the file, too; remove redirects[0]',
        ),
        (
            'aliases = ["a.b"]\nhosts = ["*.a.b", "a.b"]',
            ':2: hosts[1] = "a.b": is one of aliases, too; remove hosts[1]',
        ),
        (
            'command = "a"\nstop_command = "b %FD"',
            (
                ':2: stop_command = "b %FD": must not have %FD, since the socket is its server\'s; '
                f"{KILL}"
            ),
        ),
        (
            'stop_command = "b %SOCKET"',
            (
                ':1: stop_command = "b %SOCKET": must not have %SOCKET, which its server is not '
                f"reached by; {KILL}"
            ),
        ),
        (
            'stop_command = "b %PORT"\nuser = "root"',
            (
                ':1: stop_command = "b %PORT": must not be set, as its server runs as root; '
                "remove it, or write another user"
            ),
        ),
        (
            'user = "root"\n[hooks]\nexit = "https://a.example/"\nready = "a"',
            (
                ':4: hooks.ready = "a": must not be a command, as it would run as root; '
                "write another user, or set it in HOOKS"
            ),
        ),
        (
            "user = 5",
            ":1: user = 5: is below MIN_UID = 100; write another user, or lower MIN_UID",
        ),
    ],
)
def test_what_cannot_hold_together(text, said):
    assert refusal(text, common=settings(MIN_UID=100)) == f"shop.example.toml{said}"


def test_a_site_needs_a_command_from_somewhere():
    common = attrs.evolve(settings(), cmd_tpl=None)
    assert site('command = "serve"', common=common).way == "fd"
    assert refusal("", common=common) == (
        "shop.example.toml: command is not set, and CMD_TPL is not either; "
        'write command = "gunicorn shop.wsgi"'
    )


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "Shop.example.toml",
            (
                "its name must be a host in lower case, without a port; "
                "rename it to shop.example.toml"
            ),
        ),
        (
            "shop.example:80.toml",
            (
                "its name must be a host in lower case, without a port; "
                "rename it to shop.example.toml"
            ),
        ),
        (
            "-.toml",
            (
                "its name is no host: host b'-' has the label '-': 1 to 63 of a-z, 0-9, '-' "
                "and '_', no '-' at either end (other letters as an A-label, xn--...); "
                "rename it to the host of the site, and .toml"
            ),
        ),
        (
            "\udcff\n.toml",
            (
                r"its name is no host: host b'\xff\n' has the label 'ÿ\n': 1 to 63 of "
                "a-z, 0-9, '-' and '_', no '-' at either end (other letters as an A-label, "
                "xn--...); rename it to the host of the site, and .toml"
            ),
        ),
    ],
)
def test_the_name_of_the_file_is_the_site(file, said):
    shown = file.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")
    assert refusal("", file=f"/s/{file}") == f"/s/{shown}: {said}"
    assert site("", file="/s/[::1].toml").name == "[::1]"


# Bases


def test_a_base_is_below_the_file():
    bases = {
        "django": 'extends = "all"\ncommand = "a"\nenv = { A = "1", B = "2" }\nrlimits.core = 0\n',
        "all": 'command = "b"\nidle_timeout = 5\nenv = { B = "0", C = "3" }\naliases = ["x.a"]\n',
    }
    made = site(
        'extends = "django"\nenv = { A = "0" }\nrlimits.nofile = 5\naliases = ["y.a"]', bases=bases
    )
    assert (made.command, made.idle_timeout, made.aliases) == ("a", 5, ("y.a",))
    assert made.env == {"A": "0", "B": "2", "C": "3"}
    assert made.rlimits == {"core": (0, 0), "nofile": (5, 5)}


def test_an_error_names_the_base_that_it_is_in():
    bases = {"django": "\nmin_alive = -1", "all": '\nuser = "owner"'}
    assert refusal('extends = "django"', bases=bases).startswith("django.base.toml:2: min_alive")
    assert refusal('extends = "all"', bases=bases).startswith("all.base.toml:2: user")


def test_bases_must_end():
    bases = {f"b{n}": f'extends = "b{n + 1}"' for n in range(5)} | {"b5": "", "a": 'extends = "c"'}
    assert site('extends = "b1"', bases=bases).given == {"extends"}
    assert refusal('extends = "b0"', bases=bases) == (
        'b4.base.toml:1: extends = "b5": must not be one more than 5 bases below each other; '
        "remove extends"
    )
    assert refusal('extends = "a"', bases={**bases, "c": '# c\nextends = "a"'}) == (
        'c.base.toml:2: extends = "a": must not come back to a.base.toml; remove extends'
    )


def test_rules_of_a_site_and_where_they_are_wrong():
    first = '[[wake]]\npath = "/healthz"\nmethods = ["GET", "HEAD"]\n'
    text = first + '[[wake]]\naddresses = "10.0.0.0/8"\n'
    assert [str(rule) for rule in site(text).wake] == [
        "path=/healthz methods=GET|HEAD",
        "addresses=10.0.0.0/8",
    ]
    assert refusal('wake = [{ path = "/" },\n  { path = "x" }]').startswith(
        'shop.example.toml:2: wake[1].path = "x": must be a path as clients send it'
    )
    assert refusal("wake = 3").startswith(
        "shop.example.toml:1: wake = 3: must be a list of tables; write wake = [{ user_agent = "
    )
    assert "no word of a rule" in refusal('[[wake]]\nagent = "x"')
