"""Directives of systemd's [Service], and the keys of a site file that say the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from luisito.importing.commands import literal
from luisito.importing.units_of import systemd_bytes, systemd_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[str, str], Mapping[str, Any] | None]

_BYTES_LIMITS: Final = frozenset({"as", "core", "data", "fsize", "memlock", "msgqueue", "stack"})
_COUNT_LIMITS: Final = frozenset({"nofile", "nproc", "sigpending", "rtprio"})
# kill(1) of what was started, which needs no command.
_SENT: Final = re.compile(r"(?:/usr)?(?:/bin/)?kill (?:-s |-)?(?:SIG)?([A-Z0-9]*) *\$\{?MAINPID\}?")
_SIGNALS: Final = frozenset({"TERM", "INT", "QUIT", "HUP", "USR1", "USR2"})


def _same(key: str) -> Reader:
    return lambda _, value: {key: int(value) if value.isdecimal() and key != "folder" else value}


def _folder(_: str, value: str) -> Mapping[str, Any] | None:
    path = value.removeprefix("-")
    return {"folder": path} if path.startswith("/") else None


def _seconds(*keys: str) -> Reader:
    def read(_: str, value: str) -> Mapping[str, Any] | None:
        seconds = systemd_seconds(value)
        if value == "infinity":
            seconds = 86400  # no key of these is without an end
        return dict.fromkeys(keys, seconds) if seconds else None

    return read


def _signal(_: str, value: str) -> Mapping[str, Any] | None:
    name = value.upper().removeprefix("SIG")
    return {"stop_signal": name} if name in _SIGNALS else None


def _stop(_: str, value: str) -> Mapping[str, Any] | None:
    command = value.removeprefix("-")
    if command.startswith(("@", ":", "+", "!")):
        return None  # another name, or more rights than the site's user has
    sent = _SENT.fullmatch(command)
    if sent is not None:
        return _signal("KillSignal", sent[1] or "TERM")
    return {"stop_command": literal(command)}


def _bytes(_: str, value: str) -> Mapping[str, Any] | None:
    if value == "infinity":
        return {"memory_max": "none"}
    size = systemd_bytes(value)
    return None if not size else {"memory_max": size}


def _cores(_: str, value: str) -> Mapping[str, Any] | None:
    number = value.removesuffix("%")
    if not value.endswith("%") or not number.isdecimal() or len(number) > 9:
        return None
    cores = int(number) / 100
    return {"cpu_max": int(cores) if cores.is_integer() else cores}


def _tasks(_: str, value: str) -> Mapping[str, Any] | None:
    if value == "infinity":
        return {"pids_max": "none"}
    return {"pids_max": int(value)} if value.isdecimal() and len(value) < 10 else None


def _rlimit(name: str, value: str) -> Mapping[str, Any] | None:
    kind = name.removeprefix("Limit").lower()
    both = [_limit(kind, one) for one in value.split(":", 1)]
    if None in both:
        return None
    return {"rlimits": {kind: both[0] if len(both) == 1 else both}}


def _limit(kind: str, text: str) -> int | str | None:
    if text == "infinity":
        return "unlimited"
    if kind in _BYTES_LIMITS:
        return systemd_bytes(text)
    if kind == "cpu":
        seconds = systemd_seconds(text)
        return None if seconds is None else int(seconds)
    return int(text) if text.isdecimal() and len(text) < 19 else None


NOTIFY: Final = frozenset({"notify", "notify-reload"})
"""The values of Type= by which a service says itself that it is ready (`ready = "notify"`)."""

KEYS: Final[Mapping[str, Reader]] = {
    "User": _same("user"),
    "Group": _same("group"),
    "WorkingDirectory": _folder,
    "KillSignal": _signal,
    "ExecStop": _stop,
    "TimeoutStopSec": _seconds("stop_timeout"),
    "TimeoutStartSec": _seconds("start_timeout"),
    "TimeoutSec": _seconds("start_timeout", "stop_timeout"),
    "MemoryMax": _bytes,
    "MemoryLimit": _bytes,
    "CPUQuota": _cores,
    "TasksMax": _tasks,
    **{f"Limit{name.upper()}": _rlimit for name in (*_BYTES_LIMITS, *_COUNT_LIMITS, "cpu")},
}

OWN: Final = frozenset(
    {
        "Restart", "RestartSec", "RestartSteps", "RestartMaxDelaySec", "ExecReload",
        "KillMode", "SendSIGKILL", "FinalKillSignal", "PIDFile", "NotifyAccess",
        "StandardOutput", "StandardError", "StandardInput", "SyslogIdentifier", "SyslogFacility",
        "Sockets", "NonBlocking", "GuessMainPID", "RemainAfterExit", "StartLimitInterval",
        "StartLimitIntervalSec", "StartLimitBurst", "SuccessExitStatus", "RestartPreventExitStatus",
        "RestartForceExitStatus", "MemoryAccounting", "CPUAccounting", "TasksAccounting",
        "IOAccounting", "NoNewPrivileges", "RuntimeDirectory", "RuntimeDirectoryMode",
        "RuntimeDirectoryPreserve", "WatchdogSec", "TimeoutAbortSec", "PermissionsStartOnly",
        "OOMPolicy", "Delegate", "Slice", "CapabilityBoundingSet",
    }
)  # fmt: skip
"""What Luisito does in ways of its own, or which a socket in /run needed: nothing to say."""

_FENCES: Final = (
    "Private", "Protect", "ReadOnly", "ReadWrite", "Inaccessible", "Restrict", "SystemCall",
    "MemoryDeny", "LockPersonality", "RemoveIPC", "Ambient", "IPAddress", "BindPaths",
    "BindReadOnly", "TemporaryFileSystem", "RootDirectory", "RootImage", "SupplementaryGroups",
    "Device", "KeyringMode", "ProcSubset", "AppArmor", "SELinux", "DynamicUser",
)  # fmt: skip


def lost_why(name: str) -> tuple[str, str]:
    """Why no key says what a directive does, and what to do."""
    if name.startswith("Exec"):
        what = "Luisito runs the server alone"
        return what, "put it into a script that ends with exec, or a unit of its own"
    if name.startswith(_FENCES):
        return "a site has no fence of its own", "fence luisito.service (docs/security.md)"
    if name in ("StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory"):
        return "Luisito makes no folders", "make it once, by hand"
    return "no key says that", "see docs/sites.md and docs/limits.md for what is nearest"
