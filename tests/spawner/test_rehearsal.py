"""A start that is rehearsed: it goes all the way, and leaves nothing behind."""

import os
import traceback

import pytest

from luisito.spawner import preloaded, rehearsal
from luisito.spawner.config import Config
from luisito.spawner.runtime import Runtime
from tests.harness.orders import configure


@pytest.fixture
def runtime(tmp_path):
    tmp_path.chmod(0o755)
    return Runtime(str(tmp_path / "run"))


@pytest.fixture
def asked(monkeypatch):
    """Whom the rehearsal has asked for a server: nobody is there."""
    names = []

    def hand_over(path, uid, name, *more, real=preloaded.hand_over):
        names.append(name)
        with pytest.raises(preloaded.NotPreloadedError):
            real(path, uid, name, *more)
        raise preloaded.NotPreloadedError("nobody")

    monkeypatch.setattr(preloaded, "hand_over", hand_over)
    return names


def place():
    """What a process has that a rehearsal must not change."""
    descriptors = sorted(os.listdir("/proc/self/fd"))
    return os.getcwd(), os.getresuid(), os.getresgid(), os.getgroups(), descriptors


def in_child(work):
    """The exit status of a child that does something."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize("sites_dir", [None, "/etc/luisito/sites"], ids=["template", "site files"])
@pytest.mark.parametrize("run_as", [None, "owner"])
def test_a_child_goes_all_the_way(runtime, asked, sites_dir, run_as):
    path = None if run_as is None else "/srv/%HOST"
    order = configure(sites_dir=sites_dir, run_as=run_as, project_path=path)
    config = Config(order, root=os.geteuid() == 0)

    def work():
        before = place()
        rehearsal.by_child(config, runtime, {})
        assert place() == before
        assert len(asked) == (sites_dir is not None)
        assert os.listdir(runtime.path) == []

    assert in_child(work) == 0


def test_so_does_the_spawner():
    before = place()
    rehearsal.by_spawner(Config(configure(command=["sleep", "%FD"]), root=False))
    assert place() == before
