"""Watches what modules do while they are imported: what must be left to each site by itself."""

from __future__ import annotations

import _thread
import builtins
import locale
import logging
import os
import random
import re
import signal
import socket
import sys
import threading
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from typing import TYPE_CHECKING, Any, ClassVar

from .prefixes import folders, known
from .renewal import RENEWED
from .stale import contents, packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    _Environ = os._Environ[str]  # noqa: SLF001 - it has no other name
else:
    _Environ = type(os.environ)

# sys.addaudithook: https://docs.python.org/3/library/audit_events.html
_BAD_EVENTS = (
    "socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.spawn",
    "os.chdir", "os.fchdir", "os.putenv", "os.unsetenv", "os.kill", "os.remove", "os.rename",
    "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.chflags", "os.lockf", "os.setxattr", "os.utime", "pty.", "shutil.", "tempfile.", "sqlite3.",
    "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "syslog.", "mmap.", "resource.",
    "fcntl.", "signal.", "_thread.", "sys.setprofile", "sys.settrace", "gc.get_objects",
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_")  # of which all that share an interpreter agree
_NAMED = re.compile(r"""['"]([A-Za-z_][A-Za-z0-9_]*)['"]""")
_RANDOM = "takes random bytes"

# What nearly each site has, so that nobody could be forked where a module has read it.
_USUAL = frozenset(
    ("PATH", "USER", "LOGNAME", "SHELL", "PWD", "TZ", "TMPDIR", "TERM", "HOSTNAME", "PORT",
     "VIRTUAL_ENV", "NOTIFY_SOCKET", "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "SECRET_KEY")
)  # fmt: skip


class Environment(_Environ):
    """The environment, which notes who reads what.

    Attributes:
        seen: what variables were, as they were read.
        note: is called with what must not be done with it.
    """

    seen: ClassVar[dict[str, str | None]] = {}
    note: ClassVar[Callable[[str], None]] = lambda _why: None

    def __getitem__(self, key: Any) -> str:  # noqa: ANN401 - text or bytes
        """See os.environ."""
        try:
            value: str | None = super().__getitem__(key)
        except KeyError:
            value = None
        if not isinstance(key, str):  # of os.environb, which is watched in trials alone
            Environment.note("reads the environment as bytes")
        elif not key.startswith(_INTERPRETERS):
            Environment.seen[key] = value
            if key in _USUAL:
                Environment.note(f"reads {key}")
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        """See os.environ."""
        Environment.note("reads the whole environment")
        return super().__iter__()

    def __len__(self) -> int:
        """See os.environ."""
        Environment.note("reads the whole environment")
        return super().__len__()

    def copy(self) -> dict[str, str]:
        """See os.environ."""
        Environment.note("reads the whole environment")
        return super().copy()

    def __setitem__(self, key: str, value: str) -> None:
        """See os.environ."""
        Environment.note("changes the environment")
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        """See os.environ."""
        Environment.note("changes the environment")
        super().__delitem__(key)


def note_environment() -> Callable[[], dict[str, str | None]]:
    """Have all reads noted from now on; return what ends that, and says what was read."""
    environ, usual = os.environ, _Environ
    Environment.seen = {}
    environ.__class__ = Environment

    def end() -> dict[str, str | None]:
        environ.__class__ = usual
        return Environment.seen

    return end


def read_at_start() -> dict[str, str | None]:
    """Give the variables that site(3) may have read for its environment, before there was a watch.

    They are those that are named in lines of .pth files that import, in what these have imported,
    and in sitecustomize.
    """
    lines: list[str] = []
    installed = []
    for folder in packages():
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            installed.append(f"{folder}/")
        lines += [
            line
            for name in contents(folder)
            if name.endswith(".pth")
            for line in _lines(f"{folder}/{name}")
            if line.startswith(("import ", "import\t"))
        ]
    for name, module in list(sys.modules.items()):
        path = known(module).get("__file__")
        if not isinstance(path, str) or name.startswith("luisito_app"):
            continue
        if path.startswith(tuple(installed)) or name in ("sitecustomize", "usercustomize"):
            lines += _lines(path)
    asking = (line for line in lines if "environ" in line or "getenv" in line)
    names = {name for line in asking for name in _NAMED.findall(line)}
    return {name: os.environ.get(name) for name in names if not name.startswith(_INTERPRETERS)}


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).splitlines()
    except OSError:
        return []


class Watch:
    """What modules have done wrong while they were imported; for a process that ends after that.

    Attributes:
        bad: reasons by the names of modules, and of those that have imported them.
    """

    def __init__(self) -> None:
        self.bad: dict[str, str] = {}
        self._stack: list[str] = []
        self._allowed = (
            *folders(),
            *(f"{os.path.dirname(file)}/" for file in (os.__file__, __file__)),
        )
        self._last: list[object] = []

    def begin(self) -> None:
        """Watch all imports from now on."""
        sys.dont_write_bytecode = True
        for loader in (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader):
            self._wrap(loader)
        for name, why in (
            ("urandom", _RANDOM), ("getrandom", _RANDOM), ("getpid", "asks for its pid"),
            ("getppid", "asks for its pid"), ("getcwd", "asks where it works"),
            ("umask", "sets the umask"),
        ):  # fmt: skip
            setattr(os, name, self._noting(getattr(os, name), why))
        # Of which Python 3.9 tells no hook.
        for holder, name in ((_thread, "start_new_thread"), (threading, "_start_new_thread")):
            if hasattr(holder, name):
                setattr(holder, name, self._noting(getattr(holder, name), "starts a thread"))
        setattr(random, "_urandom", self._noting(os.urandom, _RANDOM))  # noqa: B010
        setattr(random.Random, "seed", self._seeding(random.Random.seed))  # noqa: B010
        Environment.note = self._note
        note_environment()
        setattr(os.environb, "__class__", Environment)  # noqa: B010 - as if it were os.environ
        self._last = self._state()
        sys.addaudithook(self._audit)

    def _wrap(self, loader: Any) -> None:  # noqa: ANN401 - a class, of which a method is replaced
        usual = loader.exec_module

        def exec_module(this: object, module: ModuleType) -> object:
            self._look()
            self._stack.append(module.__name__)
            try:
                return usual(this, module)
            except ImportError:
                raise  # as it would anywhere
            except BaseException as error:
                self._note(f"cannot be imported: {type(error).__name__}")
                raise
            finally:
                self._look()
                self._stack.pop()

        loader.exec_module = exec_module

    def _noting(self, call: Callable[..., Any], why: str) -> Callable[..., Any]:
        def noting(*args: object, **named: object) -> Any:  # noqa: ANN401 - whatever that returns
            self._note(why)
            return call(*args, **named)

        return noting

    def _seeding(self, seed: Callable[..., None]) -> Callable[..., None]:
        def seeding(this: random.Random, a: Any = None, *rest: object, **named: object) -> None:  # noqa: ANN401
            if a is None:
                self._note(_RANDOM)
            seed(this, a, *rest, **named)

        return seeding

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._stack:
            return
        if event == "open":
            self._opened(*args)
        elif event in ("os.listdir", "os.scandir"):
            if isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) not in sys.path:
                self._opened(args[0], None, 0)
        elif event.startswith(_BAD_EVENTS):
            self._note(event)

    def _opened(self, path: Any, _mode: object, flags: int | None) -> None:  # noqa: ANN401 - open's
        if isinstance(path, int) or path is None:
            return
        path = os.path.normpath(os.fsdecode(path))
        inside = f"{path}/".startswith(self._allowed)
        if not inside or (flags or 0) & _WRITES:
            self._note(f"opens {path}")

    def _look(self) -> None:
        """What no event tells."""
        stack, self._stack = self._stack, []  # it is us who look
        state = self._state()
        self._stack = stack
        if state != self._last:
            changed = [
                what
                for what, old, new in zip(_STATE, self._last, state)  # noqa: B905 - of Python 3.10
                if (new > old if isinstance(new, int) and isinstance(old, int) else new != old)
            ]
            self._last = state
            if changed:
                self._note(f"leaves {', '.join(changed)} behind")

    def _state(self) -> list[object]:
        return [
            len(os.listdir("/proc/self/fd")),
            os.stat("/proc/self/task").st_nlink,
            list(map(signal.getsignal, range(1, 32))),
            locale.setlocale(locale.LC_ALL),
            [id(one) for one in (sys.stdout, sys.stderr, sys.excepthook, sys.displayhook)],
            [id(one) for one in (socket.socket, threading.Thread, builtins.open, builtins.print,
                                 builtins.__import__)],
            [logging.root.level, logging.root.manager.disable, *map(id, logging.root.handlers)],
            list(sys.path),
            str(socket.getdefaulttimeout()),
        ]  # fmt: skip

    def _note(self, why: str) -> None:
        if not self._stack:
            return
        inner = self._stack[-1]
        if inner in RENEWED:
            return
        self.bad.setdefault(inner, why)
        for name in self._stack[:-1]:
            self.bad.setdefault(name, f"imports {inner}, which {why}")


_STATE = (
    "a descriptor", "a thread", "a handler of signals", "a locale", "a stream or hook",
    "a changed class or function", "another way of logging", "another sys.path",
    "another timeout of sockets",
)  # fmt: skip
