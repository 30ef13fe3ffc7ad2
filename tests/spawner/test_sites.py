"""Servers of site files: read by a process of its own, started by run records, as who may be."""

import json
import os
import pwd
import signal
import socket
import stat
import time

import pytest

from luisito.core import wire
from luisito.process import handshake
from luisito.spawner import channel, config, loading, tree
from luisito.spawner.loading import Loading
from luisito.spawner.sites import Sites
from tests.harness import cgroups, processes
from tests.harness.orders import configure

from .conftest import read_all, wait_until
from .test_succession import Dynasty

SHOW = """command = ["sh", "-c", "id -un; pwd; env"]\n"""
WAIT = """command = ["sleep", "1000"]\n"""
SECRET = "hunter2"


class Place:
    """A folder of site files with a settings file, and a spawner that has been told of both."""

    def __init__(self, network, folder):
        self.network, self.folder = network, folder
        self.path = f"{folder}/sites"
        os.mkdir(self.path, 0o755)
        self.asks = 0

    def told(self, settings=""):
        """Write a settings file; what a spawner is told of it."""
        self.settings = f"{self.folder}/settings.py"
        env = {"TEST_MARK": self.network.mark}
        with open(self.settings, "w") as file:
            file.write(f"SITES_DIR = {self.path!r}\nENV = {env!r}\n{settings}\n")
        return {"command": None, "sites_dir": self.path, "settings_file": self.settings}

    def launch(self, settings="", **changes):
        self.network.launch(**{**self.told(settings), **changes})
        return self

    def write(self, name, text, owner=None):
        """Put a file there at once, so that no look sees half of it; it is older than a moment."""
        path = f"{self.path}/{name}.toml"
        with open(f"{path}~", "w") as file:
            file.write(text)
        if owner is not None:
            os.chown(f"{path}~", owner.pw_uid, owner.pw_gid)
        os.rename(f"{path}~", path)
        return path

    def make(self, name, owner=None, mode=0o755):
        path = f"{self.folder}/{name}"
        os.mkdir(path, mode)
        os.chmod(path, mode)
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        return path

    def put(self, path, text, owner=None, mode=0o644):
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        return path

    def ask(self):
        self.asks += 1
        self.network.order(wire.AskSites(self.asks))
        return self.asks

    def answer(self):
        """The next answer: what was told, or why nothing was."""
        while True:
            fact, descriptors = self.network.fact()
            if isinstance(fact, wire.Sites):
                break
        if not descriptors:
            return fact.message
        (file,) = descriptors
        with pytest.raises(PermissionError):
            os.pwrite(file, b"x", 0)
        with pytest.raises(PermissionError):
            os.truncate(file, 0)
        return json.loads(os.pread(file, os.fstat(file).st_size, 0))

    def look(self):
        self.ask()
        return self.answer()

    def output(self, server, site, port=None):
        """What a server writes until it ends."""
        if port is None:
            self.network.start(server, site)
        else:
            self.network.order(wire.Start(server, site, port or None))
        while True:
            fact, descriptors = self.network.fact()
            assert not isinstance(fact, wire.Failed), fact
            if isinstance(fact, wire.Started):
                assert fact.server == server
                return read_all(descriptors[0]).splitlines()

    def environment(self, server, site):
        return dict(line.split("=", 1) for line in self.output(server, site) if "=" in line)

    def failed(self, server, site):
        self.network.start(server, site)
        return self.network.wait(wire.Failed).message


@pytest.fixture
def place(network, folder):
    return Place(network, folder)


@pytest.fixture
def roots(as_root, folder):
    return Place(as_root, folder)


@pytest.fixture
def one(as_user, folder):
    """By an ordinary user, where it makes no difference."""
    return Place(as_user, folder)


def broken(told):
    """What is wrong, by the names of files."""
    return {os.path.basename(path): message for path, message in told["broken"]}


def user(name):
    return pwd.getpwnam(name)


def sites(told):
    return sorted(record["site"] for record in told["sites"])


# -- starts


WORKER = """
[[process]]
name = "w"
command = ["sh", "-c", "exec sleep 1000"]
stop_signal = "INT"
"""


def start_worker(place, server, name, site="a.example"):
    """Starts a worker; returns its pid once its command was executed."""
    place.network.order(wire.Start(server, site, None, name))
    pid = place.network.wait(wire.Started).pid
    assert place.network.wait(wire.Running).server == server
    return pid


def test_a_worker_has_no_way_in_and_a_signal_of_its_own(one):
    one.launch()
    one.write("a.example", 'command = "sleep %PORT"\nenv = { A = "1", B = "%PORT" }\n' + WORKER)
    told = one.look()
    assert [each["name"] for each in told["sites"][0]["processes"]] == ["w"]
    pid = start_worker(one, 1, "w")
    assert wait_until(lambda: processes.command(pid).startswith("sleep"))
    environ = processes.environ(pid)
    assert environ["A"] == "1"
    assert not environ.keys() & {"B", "PORT", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"}
    (row,) = one.network.silent()
    assert (row["site"], row["worker"], row["way"]) == ("a.example", "w", "none")
    assert (row["port"], row["current"]) == (None, 1)
    one.write("a.example", WAIT + WORKER.replace("1000", "999"))
    one.look()
    (row,) = one.network.silent()
    assert row["current"] == 0
    one.network.order(wire.Signal(1, "TERM"))
    assert one.network.wait(wire.Exited).signal == signal.SIGINT


def test_workers_that_are_refused(one):
    """Those that no file names, and a second one; they do not take the places of servers."""
    one.launch(max_servers=1, overlap=0)
    one.write("a.example", WAIT + WORKER + WORKER.replace('"w"', '"v"'))
    one.write("b.example", WAIT)
    one.look()
    for name, site in (("x", "a.example"), ("w", "b.example"), ("\0", "a.example"), ("w", "c.d")):
        one.network.order(wire.Start(9, site, None, name))
        failed = one.network.wait(wire.Failed)
        assert f"is no worker of {site}" in failed.message
        assert not failed.overloaded
    one.network.order(wire.Start(9, "w@a.example", None))
    assert "start refused: site" in one.network.wait(wire.Failed).message
    one.network.order(wire.Start(9, "a.example", None, "w"), one.network.listener.fileno())
    assert "1 descriptors do not fit" in one.network.wait(wire.Failed).message
    start_worker(one, 1, "w")
    start_worker(one, 2, "v")
    one.network.order(wire.Start(3, "a.example", None, "w"))
    failed = one.network.wait(wire.Failed)
    assert "that worker lives already" in failed.message
    assert failed.overloaded
    one.network.start(4, "a.example")
    one.network.wait(wire.Started)


def test_a_site_runs_as_its_file_says(place):
    """As its user, in its folder, with its environment; and no word of that is told."""
    daemon = user("daemon") if os.geteuid() == 0 and place.network.user is None else None
    shop = place.make("shop", daemon)
    os.makedirs(f"{shop}/venv/bin")
    place.put(f"{shop}/venv/bin/show", "#!/bin/sh\nid -un; pwd; env\n", mode=0o755)
    place.put(f"{shop}/.env", f"PASSWORD={SECRET}\nA=less\nB='from the file'\n", daemon, 0o600)
    if daemon is None and place.network.user is not None:
        os.chown(f"{shop}/.env", place.network.uid, -1)
    place.launch()
    place.write(
        "shop.example",
        f'command = "show"\nfolder = "{shop}"\nvirtualenv = "venv"\nenv_file = ".env"\n'
        f'env = {{ A = "%HOST", TOKEN = "{SECRET}" }}\naliases = ["www.shop.example"]\n',
    )
    told = place.look()
    assert sites(told) == ["shop.example"]
    assert (told["gone"], told["broken"]) == ([], [])
    assert SECRET not in json.dumps(told)
    started, output = place.network.run(1, "shop.example")
    lines = read_all(output).splitlines()
    who = "daemon" if daemon is not None else pwd.getpwuid(place.network.uid).pw_name
    assert lines[:2] == [who, shop]
    env = dict(line.split("=", 1) for line in lines if "=" in line)
    assert env["PATH"].split(":")[0] == env["VIRTUAL_ENV"] + "/bin" == f"{shop}/venv/bin"
    assert (env["A"], env["B"]) == ("shop.example", "from the file")
    assert env["PASSWORD"] == env["TOKEN"] == SECRET
    assert env["USER"] == who
    assert env["LISTEN_FDS"] == "1"
    running = place.network.wait(wire.Running)
    assert (running.server, running.user, running.argv, running.folder) == (1, who, [], "")
    assert started.server == 1
    assert place.network.spare is None  # whoever has that could tell the child of any record


def test_what_a_server_has_open(one):
    """The records of all other sites are not among it."""
    one.launch()
    one.write("a.example", 'command = ["sh", "-c", "ls -l /proc/$$/fd"]\n')
    one.write("b.example", WAIT + f'env = {{ TOKEN = "{SECRET}" }}\n')
    one.look()
    shown = "\n".join(one.output(1, "a.example"))
    assert "memfd" not in shown
    assert "socket:" in shown


def test_hosts_without_a_file(one):
    one.launch()
    one.write("a.example", WAIT)
    one.look()
    assert "has no file in SITES_DIR" in one.failed(1, "b.example")


def test_hosts_without_a_file_where_there_is_a_template(one):
    env = {"TEST_MARK": one.network.mark}
    one.launch('CMD_TPL = ["true"]', command=["sh", "-c", "echo by the template"], env=env)
    one.write("a.example", 'command = ["sh", "-c", "echo by the file"]\n')
    assert "have not been read yet" in one.failed(1, "b.example")
    one.look()
    assert one.output(2, "b.example") == ["by the template"]
    assert one.output(3, "a.example") == ["by the file"]


@pytest.mark.parametrize("way", ["PORT", "SOCKET"])
def test_each_site_has_a_way_of_its_own(one, way):
    one.launch('CMD_TPL = ["true"]', command=["true"])
    one.write("a.example", f'command = ["sh", "-c", "echo %{way}; umask"]\n')
    told = one.look()
    assert told["sites"][0]["way"] == way.lower()
    assert "not fit a command that is reached by" in one.failed(1, "a.example")
    one.network.last = 2
    assert one.output(2, "a.example", 20002 if way == "PORT" else 0) == (
        ["20002", "0022"]
        if way == "PORT"
        else [wire.socket_path(one.network.hello.runtime_dir, 2), "0007"]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PASSWORD hunter2\n", "/.env:1: is not NAME=VALUE"),
        ("A" * 65537, "has more than 65536 bytes"),
        (None, "No such file or directory"),
        ("link", "is a symbolic link"),
        ("pipe", "is no regular file"),
    ],
)
def test_a_file_of_variables_that_cannot_be_read(one, text, message):
    shop = one.make("shop")
    if text == "link":
        os.symlink("/etc/passwd", f"{shop}/.env")
    elif text == "pipe":
        os.mkfifo(f"{shop}/.env")
        os.chmod(f"{shop}/.env", 0o666)
    elif text is not None:
        one.put(f"{shop}/.env", text)
    one.launch()
    one.write("a.example", WAIT + f'folder = "{shop}"\nenv_file = ".env"\n')
    one.look()
    said = one.failed(1, "a.example")
    assert message in said
    assert f"{shop}/.env" in said
    assert "hunter2" not in said


def test_a_virtual_environment_that_is_not_there(one):
    shop = one.make("shop")
    one.launch()
    one.write("a.example", WAIT + f'folder = "{shop}"\nvirtualenv = "venv"\n')
    one.look()
    assert "run python3 -m venv " in one.failed(1, "a.example")


def test_a_program_that_is_not_there(one):
    one.launch()
    one.write("a.example", 'command = "no-such-program"\n')
    one.look()
    assert "mend command in its site file" in one.failed(1, "a.example")


def test_limits_of_a_site(one):
    one.launch()
    one.write("a.example", 'command = ["sh", "-c", "ulimit -n"]\nrlimits = { nofile = 77 }\n')
    one.look()
    assert one.output(1, "a.example") == ["77"]


def test_a_site_is_stopped_by_its_own_signal(one):
    trap = "trap 'echo INT' INT; trap 'echo TERM' TERM; echo on; sleep 1000 & wait"
    one.launch()
    command = json.dumps(["sh", "-c", trap])
    one.write("a.example", f'command = {command}\nstop_signal = "INT"\n')
    one.look()
    _, output = one.network.run(1, "a.example")
    os.set_blocking(output, True)
    assert os.read(output, 100) == b"on\n"
    one.network.order(wire.Signal(1, "TERM"))
    assert os.read(output, 100) == b"INT\n"


def test_the_folder_of_a_site(one):
    shop = one.make("shop")
    one.launch()
    one.write("a.example", WAIT + f'folder = "{shop}"\n')
    one.write("b.example", WAIT + f'folder = "{shop}/none"\n')
    one.write("c.example", WAIT)
    one.look()
    found = {}
    for number, site in enumerate(["a.example", "b.example", "c.example", "d.example"]):
        one.network.order(wire.AskFolder(number, site))
        found[site] = one.network.wait(wire.Folder).exists
    assert found == {"a.example": True, "b.example": False, "c.example": True, "d.example": False}


# -- changes


def current(place):
    return {row["site"]: row["current"] for row in place.network.silent()}


def test_a_changed_file_is_told_and_only_that(one):
    one.launch()
    for name in ("a", "b", "c"):
        one.write(f"{name}.example", WAIT)
    assert sites(one.look()) == ["a.example", "b.example", "c.example"]
    for server, name in enumerate(("a", "b", "c"), 1):
        one.network.run(server, f"{name}.example")
        one.network.wait(wire.Running)
    assert current(one) == {"a.example": 1, "b.example": 1, "c.example": 1}
    one.write("a.example", WAIT + 'env = { A = "1" }\n')
    one.write("b.example", WAIT + 'aliases = ["www.b.example"]\n')
    os.unlink(f"{one.path}/c.example.toml")
    told = one.look()
    assert (sites(told), told["gone"]) == (["a.example", "b.example"], ["c.example"])
    # An alias makes no difference to a server.
    assert current(one) == {"a.example": 0, "b.example": 1, "c.example": 0}
    assert one.look() == {"sites": [], "gone": [], "broken": []}
    assert "has no file" in one.failed(4, "c.example")


def test_a_broken_file_keeps_the_last_good_version(one):
    one.launch()
    one.write("a.example", 'command = ["echo", "good"]\n')
    one.look()
    path = one.write("a.example", "command = 1\n")
    told = one.look()
    assert (told["sites"], told["gone"]) == ([], [])
    assert broken(told)["a.example.toml"].startswith(f"{path}:1: command = 1: must be ")
    assert broken(one.look()).keys() == {"a.example.toml"}
    assert one.output(1, "a.example") == ["good"]
    one.write("a.example", 'command = ["echo", "better"]\n')
    assert sites(one.look()) == ["a.example"]
    assert one.output(2, "a.example") == ["better"]


def test_a_look_that_cannot_be_leaves_all_as_it_was(one):
    one.launch()
    one.write("a.example", 'command = ["echo", "good"]\n')
    one.look()
    os.rename(one.path, f"{one.path}.away")
    assert one.look().startswith(f"SITES_DIR = '{one.path}': ".replace("'", '"'))
    assert one.output(1, "a.example") == ["good"]
    os.rename(f"{one.path}.away", one.path)
    assert one.look() == {"sites": [], "gone": [], "broken": []}


def test_settings_that_cannot_be_read(one):
    one.launch("MAX_SERVERS = 'ten'")
    assert "MAX_SERVERS" in one.look()


def test_looks_are_ordered_one_after_the_other(one):
    one.launch()
    one.write("a.example", WAIT)
    asks = [one.ask() for _ in range(5)]
    told = [one.network.wait(wire.Sites) for _ in asks]
    done = sorted(fact.ask for fact in told if not fact.message)
    assert 1 <= len(done) <= 3
    assert {fact.ask for fact in told} == set(asks)
    assert all("ask again" in fact.message for fact in told if fact.ask not in done)


def test_no_look_where_there_are_no_site_files(as_user):
    as_user.launch()
    as_user.order(wire.AskSites(1))
    assert as_user.fact()[0] == wire.Refused("look: SITES_DIR is not set")


def test_site_files_need_a_settings_file(as_user):
    with pytest.raises(Exception, match=r"SITES_DIR = .* settings file"):
        as_user.launch(sites_dir="/etc")


# -- looks that go wrong


def test_a_look_that_hangs_holds_up_nothing(one):
    go = f"{one.folder}/go"
    one.launch(f"import os, time\nwhile not os.path.exists({go!r}): time.sleep(0.01)")
    one.write("a.example", WAIT)
    one.ask()
    started = time.monotonic()
    one.network.silent()
    assert time.monotonic() - started < loading.DEADLINE
    one.put(go, "")
    assert sites(one.answer()) == ["a.example"]


class Alone:
    """Looks without a spawner around them."""

    def __init__(self, folder, settings):
        self.told = []
        file = f"{folder}/settings.py"
        with open(file, "w") as written:
            written.write(f"SITES_DIR = {folder + '/sites'!r}\n{settings}\n")
        os.mkdir(f"{folder}/sites", 0o755)
        order = configure(command=None, sites_dir=f"{folder}/sites", settings_file=file)
        told = config.Config(order, root=os.geteuid() == 0)
        self.loading = Loading(told, -1, os.getpid(), None, Sites(), self.send)

    def send(self, fact, descriptors):
        self.told.append((fact, descriptors))

    def turn(self):
        """What the spawner's loop does; whether something was told."""
        self.loading.tick(time.monotonic())
        if self.loading.pid:
            pid, status = os.waitpid(self.loading.pid, os.WNOHANG)
            if pid:
                assert self.loading.reaped(pid, os.waitstatus_to_exitcode(status))
        return self.told

    def look(self, ask=1):
        self.told.clear()
        self.loading.look(ask)
        assert wait_until(self.turn)
        return self.told[0][0]


@pytest.fixture
def alone(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    made = []

    def make(settings=""):
        made.append(Alone(folder, settings))
        return made[0]

    yield make
    for each in made:
        pid = each.loading.pid
        each.loading.close()
        if pid:
            os.waitpid(pid, 0)


def test_a_look_that_takes_too_long_is_killed(alone, monkeypatch):
    monkeypatch.setattr(loading, "DEADLINE", 0.3)
    made = alone("import time\ntime.sleep(1000)")
    fact = made.look()
    assert "takes more than" in fact.message
    assert fact.ask == 1
    assert wait_until(lambda: made.turn() and not made.loading.pid)
    assert len(made.told) == 1
    assert not made.loading.sites.known


def test_a_look_that_cannot_be_killed_yet_is_waited_for_by_nobody(alone, monkeypatch):
    monkeypatch.setattr(loading, "DEADLINE", 0.3)
    monkeypatch.setattr(loading, "kill", lambda *_: None)
    made = alone("import time\ntime.sleep(1000)")
    made.look()
    pid = made.loading.pid
    assert pid
    assert "takes more than" in made.look(2).message
    assert made.told[0][0].ask == 2
    os.kill(pid, signal.SIGKILL)


def test_a_look_that_crashes(alone):
    made = alone("import os\nos._exit(7)")
    assert "has ended with status 7" in made.look().message
    assert made.loading.pid == 0
    assert not made.loading.sites.known


def test_a_look_that_is_killed(alone):
    made = alone("import os\nos.kill(os.getpid(), 9)")
    assert "has ended with signal 9" in made.look().message


def test_the_next_look_comes_a_little_later(alone):
    made = alone()
    assert made.look().message == ""
    first = made.loading.deadline()
    assert first is None
    made.loading.look(2)
    assert made.loading.deadline() is not None
    made.told.clear()
    assert wait_until(made.turn)
    assert made.told[0][0].ask == 2


def test_the_text_that_was_read_counts(one):
    """The file may be another by now, which nobody has judged."""
    env = {"TEST_MARK": one.network.mark, "A": "old"}
    one.launch("ENV['A'] = 'new'", text=f"SITES_DIR = {one.path!r}\nENV = {env!r}\n".encode())
    one.write("a.example", SHOW)
    one.look()
    assert one.environment(1, "a.example")["A"] == "old"


# -- those that order


def test_no_order_brings_a_record_with_it(one):
    """Not in the place of the socket, nor before it, nor in the name of a site."""
    one.launch('CMD_TPL = ["true"]', command=["true"])
    one.write("a.example", WAIT)
    one.look()
    record = json.dumps({"command": ["sh", "-c", "id"]}).encode()
    file = os.memfd_create("record")
    os.write(file, record)
    listener = one.network.listener.fileno()
    for server, beside in enumerate([(file,), (file, listener), (listener, file)], 1):
        one.network.order(wire.Start(server, "a.example", None), *beside)
        assert "start refused: " in one.network.wait(wire.Failed).message
    one.network.order(wire.Start(4, f"0 {len(record)}\n4 0 a.example", None), file, listener)
    assert "start refused: " in one.network.wait(wire.Failed).message
    os.close(file)


def test_a_successor_has_the_site_files_read_for_itself(as_user, folder):
    os.chmod(folder, 0o777)
    place = Place(as_user, folder)
    dynasty = Dynasty(as_user, folder)
    changes = place.told()
    dynasty.launch(**changes)
    place.write("a.example", WAIT)
    place.write("b.example", WAIT)
    place.look()
    for server, name in enumerate(("a", "b"), 1):
        as_user.run(server, f"{name}.example")
        as_user.wait(wire.Running)
    place.write("b.example", WAIT + "min_alive = 3\n")
    place.write("a.example", WAIT + 'env = { A = "1" }\n')
    successor = dynasty.next()
    try:
        successor.configure(env={}, network_gid=as_user.uid or 0, **changes)
        successor.order(wire.AskSites(1))
        fact, (file,) = successor.wait(wire.Sites)
        told = json.loads(os.pread(file, os.fstat(file).st_size, 0))
        assert (fact.message, sites(told)) == ("", ["a.example", "b.example"])
        os.close(file)
        assert current(place) == {"a.example": 1, "b.example": 1}  # what is in force is the old one
        successor.order(wire.Serve())
        dynasty.told_to_yield()
        channel.close(successor.wait(wire.Take)[1])
        successor.order(wire.AskList(1))
        rows = successor.wait(wire.Servers)[0].servers
        assert {row["site"]: row["current"] for row in rows} == {"a.example": 0, "b.example": 1}
        assert sites(place.look()) == ["a.example", "b.example"]  # whoever has yielded may look
    finally:
        dynasty.close()


@pytest.mark.root
def test_a_socket_that_a_file_says_is_kept_for_successors(as_user, folder):
    """Not another one: whoever serves is trusted no more."""
    place = Place(as_user, folder)
    dynasty = Dynasty(as_user, folder)
    changes = place.told()
    dynasty.launch(**changes)
    said, gone, unsaid = "tcp:8001", "unix:/run/b.sock", "tcp:8002"
    place.write("a.example", WAIT + f'listen = ["{said}", "{gone}"]\n')
    with socket.create_server(("127.0.0.1", 0)) as sock:
        for when in ("before", "after"):
            as_user.order(wire.Keep(wire.own_name("a.example", said)), sock.fileno())
            if when == "before":
                assert f"no site file says '{said}'" in as_user.wait(wire.Refused).message
                assert place.look()["broken"] == []
        for name in ("tcp:8001", wire.own_name("a.example", unsaid), wire.own_name("a\0b", "\0")):
            as_user.order(wire.Keep(name), sock.fileno())
            assert "no site file says" in as_user.wait(wire.Refused).message
        as_user.order(wire.Keep(wire.own_name("a.example", gone)), sock.fileno())
        as_user.order(wire.Keep(wire.own_name("a.example", said)))
        assert "one socket at a time" in as_user.wait(wire.Refused).message
        for name in (wire.own_name("a.example", gone), "tcp:8001", wire.own_name("b", said)):
            as_user.order(wire.Drop(name))
        successor = dynasty.next()
        try:
            kept = handshake.ask_listeners(successor.sock)
            assert list(kept) == [wire.own_name("a.example", said)]
            (copy,) = kept.values()
            assert os.fstat(copy).st_ino == os.fstat(sock.fileno()).st_ino
            channel.close([copy])
            successor.order(wire.Drop(wire.own_name("a.example", said)))  # not yet
            assert "first order" in successor.wait(wire.Refused)[0].message
        finally:
            dynasty.close()


@pytest.mark.parametrize("ending", ["made way", "crashed"])
def test_the_last_good_version_outlives_the_settings(as_root, folder, ending):
    """The operator's: what a tenant was granted may have been taken back."""
    place = Place(as_root, folder)
    dynasty = Dynasty(as_root, folder)
    changes = place.told(TENANTS)
    dynasty.launch(**changes)
    try:
        games = user("games")
        place.write("a.example", 'command = ["echo", "good"]\n')
        place.write("b.games.example", 'command = ["echo", "good"]\n', games)
        assert place.look()["broken"] == []
        place.write("a.example", "command = 1\n")
        place.told()  # the grant is gone
        if ending == "crashed":
            as_root.sock.shutdown(socket.SHUT_RDWR)
        successor = dynasty.next(asked="HUP" if ending == "made way" else "")
        successor.configure(env={}, network_gid=0, **changes)
        successor.order(wire.AskSites(1))
        fact, (file,) = successor.wait(wire.Sites)
        told = json.loads(os.pread(file, os.fstat(file).st_size, 0))
        os.close(file)
        assert (fact.message, sites(told)) == ("", ["a.example"])
        assert broken(told).keys() == {"a.example.toml", "b.games.example.toml"}
        successor.order(wire.Serve())
        if ending == "made way":
            dynasty.told_to_yield()
        channel.close(successor.wait(wire.Take)[1])
        successor.order(wire.Start(5, "b.games.example", None), as_root.listener.fileno())
        assert "has no file" in successor.wait(wire.Failed)[0].message
        successor.order(wire.Start(6, "a.example", None), as_root.listener.fileno())
        _, (output, notify) = successor.wait(wire.Started)
        assert read_all(output) == "good\n"
        channel.close([output, notify])
    finally:
        dynasty.close()


# -- tenants


TENANTS = 'TENANTS = {"games": {"hosts": ["*.games.example"], "idle_timeout": 600}}'


@pytest.fixture
def tenant(roots):
    return roots.launch(TENANTS)


def test_a_tenant_runs_as_itself(tenant):
    games = user("games")
    home = tenant.make("home", games)
    tenant.write("a.games.example", SHOW + f'folder = "{home}"\n', games)
    assert sites(tenant.look()) == ["a.games.example"]
    assert tenant.output(1, "a.games.example")[:2] == ["games", home]
    running = tenant.network.wait(wire.Running)
    assert (running.uid, running.gid) == (games.pw_uid, games.pw_gid)


@pytest.mark.parametrize(
    "text",
    [
        'user = "root"',
        'user = "daemon"',
        "user = 1",
        'user = "owner"',
        'group = "root"',
        'group = "daemon"',
        "default = true",
        'aliases = ["b.example"]',
        'redirects = ["b.example"]',
        'hosts = ["*.example"]',
        "idle_timeout = 601",
        'idle_timeout = "none"',
        'extends = "roots"',
    ],
)
def test_what_a_tenant_may_not_say(tenant, text):
    base = tenant.write("roots.base", f'env = {{ TOKEN = "{SECRET}" }}\n')
    os.chmod(base, 0o600)
    tenant.write("a.games.example", SHOW + text + "\n", user("games"))
    told = tenant.look()
    assert broken(told).keys() == {"a.games.example.toml"}
    assert told["sites"] == []
    assert SECRET not in json.dumps(told)
    assert "has no file" in tenant.failed(1, "a.games.example")


@pytest.mark.parametrize("kind", ["symlink", "hard link", "stranger", "writable", "pipe"])
def test_files_that_are_no_tenants_own(tenant, kind):
    games = user("games")
    path = tenant.write("a.games.example", WAIT, games)
    if kind == "stranger":
        os.chown(path, user("backup").pw_uid, -1)
    elif kind == "writable":
        os.chmod(path, 0o666)
    elif kind == "hard link":
        os.link(path, f"{tenant.folder}/other")
    else:
        os.rename(path, f"{tenant.folder}/other")
        if kind == "symlink":
            os.symlink(f"{tenant.folder}/other", path)
        else:
            os.mkfifo(path)
    told = tenant.look()
    assert broken(told).keys() == {"a.games.example.toml"}
    assert told["sites"] == []


def test_a_tenant_whose_file_becomes_roots_is_no_tenant(tenant):
    """And the other way round: the last good version is that of its owner."""
    path = tenant.write("a.games.example", SHOW + 'user = "backup"\n')
    tenant.look()
    assert tenant.output(1, "a.games.example")[0] == "backup"
    os.chown(path, user("games").pw_uid, -1)
    assert broken(tenant.look()).keys() == {"a.games.example.toml"}
    assert tenant.output(2, "a.games.example")[0] == "backup"


def test_a_tenants_folder_is_opened_by_the_tenant(tenant):
    """What root may pass through, to a folder that is open by itself, is closed to the tenant."""
    games = user("games")
    os.mkdir(tenant.make("closed", mode=0o700) + "/open", 0o755)
    tenant.write("a.games.example", WAIT + f'folder = "{tenant.folder}/closed/open"\n', games)
    tenant.look()
    message = tenant.failed(1, "a.games.example")
    assert "Permission denied" in message
    tenant.network.order(wire.AskFolder(1, "a.games.example"))
    assert tenant.network.wait(wire.Folder).exists is False


@pytest.mark.parametrize("owner", ["games", "backup"])
def test_symlinks_in_a_tenants_folder(tenant, owner):
    """Its own go where it may go; those of others are not followed."""
    games = user("games")
    tenant.make("real", games)
    os.symlink("real", f"{tenant.folder}/link")
    os.lchown(f"{tenant.folder}/link", user(owner).pw_uid, -1)
    tenant.write("a.games.example", SHOW + f'folder = "{tenant.folder}/link"\n', games)
    tenant.look()
    if owner == "games":
        assert tenant.output(1, "a.games.example")[:2] == ["games", f"{tenant.folder}/real"]
    else:
        assert "symbolic link" in tenant.failed(1, "a.games.example")


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_a_tenants_variables_are_read_by_the_tenant(tenant, kind):
    games = user("games")
    home = tenant.make("home", games)
    secret = tenant.put(f"{tenant.folder}/secret", f"TOKEN={SECRET}\n", mode=0o600)
    os.symlink(secret, f"{home}/.env")
    named = secret if kind == "file" else ".env"
    tenant.write("a.games.example", SHOW + f'folder = "{home}"\nenv_file = "{named}"\n', games)
    tenant.look()
    message = tenant.failed(1, "a.games.example")
    assert ("Permission denied" if kind == "file" else "is a symbolic link") in message
    assert SECRET not in message


def test_a_tenant_is_none_where_root_is_meant_by_the_settings(roots):
    """RUN_AS = "root" is for what the operator has written."""
    games = user("games")
    roots.launch(f'{TENANTS}\nRUN_AS = "root"', run_as="root")
    roots.write("a.games.example", SHOW, games)
    roots.write("b.example", SHOW)
    roots.look()
    assert roots.output(1, "a.games.example")[0] == "games"
    assert roots.output(2, "b.example")[0] == "root"


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ('user = "backup"\n', "backup backup"),
        ('user = "backup"\ngroup = "games"\n', "backup games"),
        ('user = "root"\n', "root root"),
    ],
)
def test_roots_files_may_say_who_runs(roots, text, who):
    roots.launch()
    roots.write("a.example", 'command = ["sh", "-c", "echo $(id -un) $(id -gn)"]\n' + text)
    roots.look()
    assert roots.output(1, "a.example") == [who]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('user = "backup"\ngroup = "root"\n', "do not run with root's"),
        ('user = "backup"\ngroup = "nogroupatall"\n', "is not there"),
        ('user = "nobodyatall"\n', "is not in passwd"),
    ],
)
def test_who_cannot_run(roots, text, message):
    roots.launch()
    roots.write("a.example", WAIT + text)
    roots.look()
    assert message in roots.failed(1, "a.example")


def test_only_root_can_change_users(one):
    one.launch()
    one.write("a.example", WAIT + 'user = "backup"\n')
    one.write("b.example", WAIT + 'group = "backup"\n')
    one.look()
    assert "only root can change users" in one.failed(1, "a.example")
    assert "only root can change groups" in one.failed(2, "b.example")


def test_the_loader_leaves_nothing_to_a_network_process_but_what_is_told(one):
    """Nobody but its readers has the records: they lie in no place that has a name."""
    one.launch()
    one.write("a.example", WAIT + f'env = {{ TOKEN = "{SECRET}" }}\n')
    one.look()
    assert SECRET not in json.dumps(one.network.silent())
    mine = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{name}")]  # fmt: skip
    assert not any("luisito-runs" in name for name in mine)
    assert stat.S_ISSOCK(os.fstat(one.network.sock.fileno()).st_mode)
    with pytest.raises(BlockingIOError):
        channel.receive(one.network.sock)
    assert tree.living([one.network.spawner])


@pytest.mark.kernel
def test_a_site_has_limits_of_its_own(roots):
    """In its cgroup before it runs; the others keep those of the settings."""
    roots.launch("MEMORY_MAX = 2**28\nPIDS_MAX = 40", memory_max=2**28, pids_max=40)
    roots.write("a.example", WAIT + "memory_max = 67108864\npids_max = 50\ncpu_max = 0.5\n")
    roots.write("b.example", WAIT + 'memory_max = "none"\n')
    roots.write("c.example", WAIT)
    assert roots.look()["broken"] == []
    folder = cgroups.ours(cgroups.where(), roots.network.hello.runtime_dir)
    kept = []
    for server, site in enumerate(["a.example", "b.example", "c.example"], 1):
        roots.network.run(server, site)
        roots.network.wait(wire.Running)
        of = f"{folder}/servers/{server}"
        assert len(cgroups.pids(of)) == 1
        kept.append([cgroups.read(of, f"{name}.max") for name in ("memory", "pids", "cpu")])
    assert kept == [
        ["67108864", "50", "50000 100000"],
        ["max", "40", "max 100000"],
        ["268435456", "40", "max 100000"],
    ]


def test_a_limit_that_cannot_be_kept(one):
    """Not with cgroups, or not with that controller."""
    one.launch()
    one.write("a.example", WAIT + "memory_max = 67108864\n")
    one.write("b.example", WAIT)
    one.look()
    one.network.start(1, "a.example")
    fact = one.network.fact()[0]
    if isinstance(fact, wire.Started):
        pytest.skip("this machine can keep it")
    path = f"{one.path}/a.example.toml"
    assert fact.message.startswith(f"memory_max = 67108864 in {path}: ")
    one.network.run(2, "b.example")
    assert one.network.wait(wire.Running).server == 2
