"""Markers, and whole servers whose invariants are checked after each test."""

import compileall
import gc
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import cgroups, kernel
from tests.harness.server import ROOT, Server

# How fast examples are made and tried is a matter of the machine, which may be busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

KERNEL = pytest.StashKey[kernel.Kernel]()
NO_SKIPS = os.environ.get("LUISITO_NO_SKIPS") == "1"


def pytest_configure(config):
    """Compiles Luisito once: servers of the tests write no bytecode, and start by the hundred."""
    if not hasattr(config, "workerinput") and not kernel.inside():
        compileall.compile_dir(ROOT / "luisito", quiet=2)


def pytest_collection_finish(session):
    """Has the collector pass over what is there for good, the thousands of tests themselves.

    Many a test collects before and after it, to see what it has left.
    """
    gc.collect()
    gc.freeze()


def _elsewhere(item):
    """Whether a test is to run in a kernel of its own."""
    needed = item.get_closest_marker("kernel") or (
        item.get_closest_marker("cgroups") and not cgroups.writable()
    )
    return bool(needed) and not kernel.inside()


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if shutil.which(name) is None:
                pytest.skip(f"needs {name}")
    if _elsewhere(item):
        if shutil.which(kernel.PROGRAM) is None:
            pytest.skip(f"needs {kernel.PROGRAM}")
        return
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test in a kernel of its own, where it is marked so."""
    if not _elsewhere(pyfuncitem):
        return None
    pyfuncitem.config.stash.setdefault(KERNEL, kernel.Kernel()).run(pyfuncitem.nodeid)
    return True


def pytest_unconfigure(config):
    if KERNEL in config.stash:
        config.stash[KERNEL].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: LUISITO_NO_SKIPS=1 allows no skipped test: {reason}"
    return report


@pytest.fixture
def serve():
    """Starts whole servers (see harness.server.Server); objects at the end to what they broke."""
    servers = []

    def serve(settings=None, *, wait=True, **how):
        server = Server(settings, **how)
        servers.append(server)
        return server.start(wait=wait)

    yield serve
    problems = []
    for server in reversed(servers):
        found = server.finish()
        problems += found
        print(f"--- log of Luisito\n{server.last_log}\n--- objections: {found}")
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(
    params=[
        pytest.param("ordinary"),
        pytest.param("root", marks=pytest.mark.root),
    ]
)
def as_whom(request):
    """For `serve(ordinary=as_whom)`: True as an ordinary user, False as root."""
    return request.param == "ordinary"


@pytest.fixture
def small_disk():
    """A folder on a file system of 64 KiB of its own, which only root can mount."""
    path = tempfile.mkdtemp(prefix="lt-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", path], check=True)
    yield Path(path)
    subprocess.run(["umount", path], check=True)
    shutil.rmtree(path)
