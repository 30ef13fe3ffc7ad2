"""A touched restart.txt and changed code, which restart the one site whose they are."""

import os
import pwd
import re
import signal
import time

from luisito.spawner.watcher import MOST, Folder
from tests.harness import processes
from tests.integration.test_kept_sites import up
from tests.integration.test_sites import Sites
from tests.integration.test_workers import ALWAYS, worker


class Folders(Sites):
    """Two sites, whose folders nobody but their users may enter."""

    def __init__(self, serve, text="", **how):
        self.text, self.ordinary = text, how.get("ordinary")
        super().__init__(serve, {}, **how)

    def prepare(self, folder):
        super().prepare(folder)
        for name, user in (("a.example", "games"), ("b.example", "backup")):
            path = folder / name
            path.mkdir(mode=0o750)
            own = self.ordinary or os.geteuid() != 0
            self.users = 1 if own else 2
            owner = self.owner.st_uid if own else pwd.getpwnam(user).pw_uid
            os.chown(path, owner, owner if self.owner.st_uid != owner else self.owner.st_gid)
            self.write(name, f'folder = "{path}"\n{self.text}')
        self.of_a = folder / "a.example"

    def touch(self, name):
        path = self.of_a / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(time.monotonic_ns()))
        path.parent.chmod(0o755)
        path.chmod(0o644)

    def watched(self):
        """Starts both; returns their pids once both folders are looked at."""
        pids = self.server.warm("a.example", "b.example")
        processes.until(lambda: self.asleep() == self.users, 20, "those who look")
        return pids

    def asleep(self):
        """How many have looked once, after which they sleep for the first time."""
        states = [processes.status(pid).get("State", "") for pid in self.watchers()]
        return sum(state.startswith("S") for state in states)

    def watchers(self):
        """The pids of those who look, which have the spawner's own command and a user's rights."""
        return [pid for pid in self.server.spawner() if nice(pid) == 10]

    def replaced(self, pids):
        """Waits until a has another server; that of b stays."""
        warm, before = self.server.warm, pids["a.example"]
        processes.until(lambda: warm("a.example")["a.example"] != before, 20, "another server")
        assert self.server.warm("b.example") == {"b.example": pids["b.example"]}
        return self.watched()


def nice(pid):
    """How nice a process is; None where it has gone."""
    try:
        return os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return None


def test_a_touched_file_restarts_one_site(serve, as_whom):
    served = Folders(serve, ordinary=as_whom)
    pids = served.watched()
    with served.server.client() as busy:
        busy.ask("/sleep/2", "a.example")
        served.touch("restart.txt")
        served.server.wait_for_log(r"a\.example: restart\.txt has changed")
        pids = served.replaced(pids)
        assert busy.response().status == 200
    served.touch("tmp/restart.txt")
    pids = served.replaced(pids)
    served.touch("restart.txt")
    served.replaced(pids)


def test_changed_code_restarts_one_site(serve):
    served = Folders(serve, 'reload_on = ["*.py"]\n')
    for folder in (".git", "node_modules", "__pycache__", "venv", "shop/models"):
        (served.of_a / folder).mkdir(parents=True)
    served.touch("venv/pyvenv.cfg")
    served.touch("shop/models/user.py")
    pids = served.watched()
    for ignored in (".git/x.py", "node_modules/x.py", "__pycache__/x.py", "venv/x.py", "a.txt"):
        served.touch(ignored)
    served.touch("shop/models/user.py")
    served.server.wait_for_log("a.example: shop/models/user.py has changed")
    pids = served.replaced(pids)
    served.touch("new/folder.py")
    pids = served.replaced(pids)
    (served.of_a / "new" / "folder.py").unlink()
    pids = served.replaced(pids)
    assert set(re.findall(r"a\.example: (\S+) has changed", served.server.log())) == {
        "shop/models/user.py", "new/folder.py",
    }  # fmt: skip


def test_code_that_does_not_start_leaves_the_old_server_until_it_is_mended(serve):
    """The one that looks for the old server goes on."""
    served = Folders(serve)
    served.server.expect("a.example: .*")
    pids = served.watched()
    os.rename(served.origin, f"{served.origin}.away")
    served.touch("restart.txt")
    served.server.wait_for_log(r"a\.example: the command exited", 20)
    assert served.server.warm("a.example", "b.example") == pids
    os.rename(f"{served.origin}.away", served.origin)
    served.touch("restart.txt")
    served.replaced(pids)


def test_who_looks_goes_with_the_server(serve):
    served = Folders(serve)
    served.server.expect("was killed by SIGKILL")
    served.watched()
    for pid in served.server.servers():
        os.kill(pid, signal.SIGKILL)
    processes.until(lambda: not served.watchers(), 20, "the end of those who look")
    served.watched()
    served.write("a.example", f'folder = "{served.of_a}"\nidle_timeout = 0.5\n')
    processes.until(lambda: len(served.watchers()) == 1, 20, "the end of one who looks")


def test_workers_are_started_anew(serve):
    """With its server, or without one; those of another site are left alone."""
    served = Folders(serve, worker("mail", **ALWAYS) + worker("celery"))
    mail = up(served, "a.example", "mail")
    other = up(served, "b.example", "mail")
    processes.until(lambda: served.asleep() == served.users, 20, "those who look")
    served.touch("restart.txt")
    mail = up(served, "a.example", "mail", mail)
    pids = served.watched()
    celery = up(served, "a.example", "celery")
    served.touch("restart.txt")
    up(served, "a.example", "mail", mail)
    up(served, "a.example", "celery", celery)
    served.replaced(pids)
    served.server.wait_for_log(r"a\.example \(celery\): stopping pid \d+: restart\.txt has changed")
    assert up(served, "b.example", "mail") == other


def test_one_looks_for_all_sites_of_a_user(serve):
    """And may be killed by that user, who then does without until another one starts."""
    served = Folders(serve)
    for name in ("c.example", "d.example"):
        text = f'folder = "{served.of_a}"\nuser = "games"\n' if os.geteuid() == 0 else ""
        served.write(name, text or f'folder = "{served.of_a}"\n')
    served.until("d.example", "d.example")
    pids = served.watched()
    others = served.server.warm("c.example", "d.example")
    assert len(served.watchers()) == served.users
    served.touch("restart.txt")
    for site in ("a.example", "c.example", "d.example"):
        served.server.wait_for_log(rf"{site}: restart\.txt has changed")
    before = {**pids, **others}
    sites = ["a.example", "c.example", "d.example"]
    processes.until(
        lambda: not set(served.server.warm(*sites).values()) & set(before.values()), 20, "others"
    )
    assert served.server.warm("b.example")["b.example"] == pids["b.example"]
    for pid in served.watchers():
        os.kill(pid, signal.SIGKILL)
    processes.until(lambda: not served.watchers(), 20, "their end")
    served.write("c.example", f'folder = "{served.of_a}"\nidle_timeout = 60\nenv.X = "1"\n')
    processes.until(served.watchers, 20, "another one")
    processes.until(lambda: served.asleep() == 1, 20, "its first look")
    seen = len(re.findall(r"c\.example: restart\.txt has changed", served.server.log()))
    served.touch("restart.txt")
    processes.until(
        lambda: (
            len(re.findall(r"c\.example: restart\.txt has changed", served.server.log())) > seen
        ),
        20,
        "what it sees",
    )


def test_a_hostile_folder_harms_only_itself(tmp_path):
    """Links lead nowhere, pipes are not opened, and of a million files some are looked at."""
    folder = Folder(str(tmp_path), ["*.py"])
    os.mkfifo(tmp_path / "restart.txt")
    os.mkfifo(tmp_path / "pipe.py")
    os.symlink("/", tmp_path / "out")
    os.symlink("/dev/zero", tmp_path / "zero.py")
    os.symlink(".", tmp_path / "again")
    assert folder.look() == "restart.txt"
    assert folder.look() == ""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(MOST + 10):
        (many / f"{number}.py").touch()
    folder.look()
    assert folder.look() == ""
    assert len(folder._code) <= MOST
    (tmp_path / "gone").mkdir()
    gone = Folder(str(tmp_path / "gone"), ["*.py"])
    (tmp_path / "gone").rmdir()
    assert gone.look() == ""


def test_a_virtual_environment_is_ignored_in_whatever_order_its_files_come(tmp_path):
    folder = Folder(str(tmp_path), ["*.py"])
    venv = tmp_path / "venv"
    venv.mkdir()
    names = [f"{number}.py" for number in range(20)]
    for name in [*names[:10], "pyvenv.cfg", *names[10:]]:
        (venv / name).touch()
    assert folder.look() == ""
    assert folder._code == {}
