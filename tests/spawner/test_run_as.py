"""RUN_AS as a function, as the spawner sees it: each child asks before it becomes a server."""

import os

from luisito.core import wire

from .conftest import wait_until

SETTINGS = """\
import os, time
CMD_TPL = "sleep 1000"
def RUN_AS(site):
    return None if site == "a.example" else time.sleep(60)
"""


def test_no_child_is_settled_before_its_site_is_known(network, folder):
    """A spare for one site is never another's."""
    with open(f"{folder}/settings.py", "w") as file:
        file.write(SETTINGS)
    network.launch(run_as_file=f"{folder}/settings.py")
    network.start(1)
    assert isinstance(network.fact()[0], wire.Started)
    running = network.wait(wire.Running)
    assert running.uid == (network.uid or 65534)
    assert wait_until(lambda: os.listdir(network.hello.runtime_dir) == ["1"])
    assert network.spare is None


def test_one_that_asks_may_be_killed(network, folder):
    """As at START_TIMEOUT."""
    with open(f"{folder}/settings.py", "w") as file:
        file.write(SETTINGS)
    network.launch(run_as_file=f"{folder}/settings.py")
    network.start(1, "b.example")
    assert isinstance(network.fact()[0], wire.Started)
    network.order(wire.Signal(1, "KILL"))
    network.wait(wire.Exited)
    network.start(2, "a.example")
    assert network.wait(wire.Running).server == 2


def test_a_file_that_is_none(network, folder):
    network.launch(run_as_file=f"{folder}/none.py")
    network.start(1)
    assert "RUN_AS cannot be asked: " in network.wait(wire.Failed).message


def test_our_own_log_is_opened_again(network, folder):
    os.chmod(folder, 0o777)
    network.launch(log=f"{folder}/luisito.log")
    network.order(wire.AskOwnLog(1))
    fact, (log,) = network.fact()
    assert fact == wire.Log(1, "")
    os.write(log, b"line\n")
    with open(f"{folder}/luisito.log") as file:
        assert file.read() == "line\n"


def test_no_log_is_opened_where_there_is_none(network):
    network.launch()
    network.order(wire.AskOwnLog(1))
    assert network.fact() == (wire.Log(1, "no such log is configured"), [])
