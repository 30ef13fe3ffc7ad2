"""Watches what modules do while they are imported: what must be left to each site by itself."""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from typing import TYPE_CHECKING, Any, ClassVar

from .prefixes import folders
from .renewal import RENEWED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    _Environ = os._Environ[str]  # noqa: SLF001 - it has no other name
else:
    _Environ = type(os.environ)

# sys.addaudithook: https://docs.python.org/3/library/audit_events.html
_BAD_EVENTS = (
    "socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.spawn",
    "os.chdir", "os.fchdir", "os.putenv", "os.unsetenv", "os.kill", "os.remove", "os.rename",
    "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "shutil.", "tempfile.", "sqlite3.connect", "urllib.", "webbrowser.", "syslog.", "mmap.",
    "resource.setrlimit", "fcntl.lockf", "fcntl.flock",
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_")  # of which all that share an interpreter agree


class Environment(_Environ):
    """The environment, which notes who reads what.

    Attributes:
        seen: what variables were, as they were read.
        everything: it was read as a whole, or changed.
    """

    seen: ClassVar[dict[str, str | None]] = {}
    everything: ClassVar[bool] = False

    def __getitem__(self, key: str) -> str:
        """See os.environ."""
        try:
            value: str | None = super().__getitem__(key)
        except KeyError:
            value = None
        if not key.startswith(_INTERPRETERS):
            Environment.seen[key] = value
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        """See os.environ."""
        Environment.everything = True
        return super().__iter__()

    def __setitem__(self, key: str, value: str) -> None:
        """See os.environ."""
        Environment.everything = True
        super().__setitem__(key, value)

    def copy(self) -> dict[str, str]:
        """See os.environ."""
        Environment.everything = True
        return super().copy()


def note_environment() -> Callable[[], dict[str, str | None]]:
    """Have all reads noted from now on; return what ends that, and says what was read."""
    environ, usual = os.environ, type(os.environ)
    Environment.seen, Environment.everything = {}, False
    environ.__class__ = Environment

    def end() -> dict[str, str | None]:
        environ.__class__ = usual
        return Environment.seen

    return end


class Watch:
    """What modules have done wrong while they were imported; for a process that ends after that.

    Attributes:
        bad: reasons by the names of modules, and of those that have imported them.
    """

    def __init__(self) -> None:
        self.bad: dict[str, str] = {}
        self._stack: list[str] = []
        self._allowed = folders()
        self._last: object = None

    def begin(self) -> None:
        """Watch all imports from now on."""
        for loader in (SourceFileLoader, ExtensionFileLoader):
            self._wrap(loader)
        os.urandom = self._noting(os.urandom, "takes random bytes")
        note_environment()
        self._last = self._state()
        sys.addaudithook(self._audit)

    def _wrap(self, loader: Any) -> None:  # noqa: ANN401 - a class, of which a method is replaced
        usual = loader.exec_module

        def exec_module(this: object, module: ModuleType) -> object:
            self._stack.append(module.__name__)
            try:
                return usual(this, module)
            finally:
                self._look()
                self._stack.pop()

        loader.exec_module = exec_module

    def _noting(self, call: Callable[[int], bytes], why: str) -> Callable[[int], bytes]:
        def noting(size: int) -> bytes:
            self._note(why)
            return call(size)

        return noting

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._stack:
            return
        if event == "open":
            self._opened(*args)
        elif event.startswith(_BAD_EVENTS):
            self._note(event)

    def _opened(self, path: Any, _mode: object, flags: int | None) -> None:  # noqa: ANN401 - open's
        if isinstance(path, int) or path is None:
            return
        path = os.path.abspath(os.fsdecode(path))
        harmless = path.startswith(self._allowed) and not (flags or 0) & _WRITES
        if not harmless and "/__pycache__/" not in path:
            self._note(f"opens {path}")

    def _look(self) -> None:
        """What no event tells: descriptors, threads, handlers of signals, the whole environment."""
        if Environment.everything:
            Environment.everything = False
            self._note("reads or changes the whole environment")
        state = self._state()
        if state != self._last:
            self._last = state
            self._note("leaves a descriptor, a thread or a handler of signals behind")

    def _state(self) -> object:
        return (
            len(os.listdir("/proc/self/fd")),
            len(os.listdir("/proc/self/task")),
            os.getcwd(),
            [signal.getsignal(number) for number in (1, 2, 3, 10, 12, 13, 14, 15, 17)],
        )

    def _note(self, why: str) -> None:
        if self._stack and self._stack[-1] not in RENEWED:
            inner = self._stack[-1]
            self.bad.setdefault(inner, why)
            for name in self._stack[:-1]:
                self.bad.setdefault(name, f"imports {inner}, which {why}")


def probe(names: Sequence[str], seconds: float) -> dict[str, str] | None:
    """Import modules in a process of its own, one after another; tell which must not be shared.

    Args:
        names: of the modules.
        seconds: that it may take.

    Returns:
        Reasons by their names; None where it has ended, or taken too long.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            signal.alarm(max(1, int(seconds)))
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            with open(writing, "w", encoding="utf-8") as file:
                json.dump(_import_all(names), file)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as file:
        said = file.read()
    os.waitpid(pid, 0)
    try:
        found: dict[str, str] = json.loads(said)
    except ValueError:
        return None
    return found


def _import_all(names: Sequence[str]) -> dict[str, str]:
    watch = Watch()
    watch.begin()
    for name in names:
        try:
            __import__(name)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is left to the sites
            watch.bad.setdefault(name, f"cannot be imported: {type(error).__name__}")
    return watch.bad
