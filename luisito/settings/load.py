"""Runs a settings.py, or takes its names, and makes checked Settings of them."""

from __future__ import annotations

import ast
import difflib
import errno
import os
import re
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from luisito.core.template import Template, way
from luisito.errors import SettingsError, TemplateError
from luisito.settings import admin, values
from luisito.settings.former import FORMER, both, translate
from luisito.settings.table import SETTINGS, Setting, Settings
from luisito.settings.values import Wrong, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KNOWN: Final[Mapping[str, Setting]] = {**SETTINGS, **FORMER}
_UPPER: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_NOT_SETTINGS: Final = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)


class Source(NamedTuple):
    """A settings.py that was read and not run.

    Attributes:
        text: of it.
        status: of the very file that the text was read from.
    """

    text: bytes
    status: os.stat_result


def read(path: str, *, flags: int = 0) -> Source:
    """Reads a settings.py, for whoever judges it before it is run.

    Args:
        path: of the file.
        flags: more of open(2), as O_NOFOLLOW.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags), "rb") as file:
            return Source(file.read(), os.fstat(file.fileno()))
    except OSError as error:
        raise SettingsError(f"{path}: {_unread(error)}") from error


def load(path: str, text: bytes | None = None) -> Settings:
    """Runs a settings.py and checks what it sets.

    Relative paths in it are taken from its own folder, so that they mean the same in each process
    that reads it, wherever that was started.

    Args:
        path: of the file.
        text: what was read from it, which is run as it is; None to read it.

    Raises:
        SettingsError: it cannot be read or run, or a setting is wrong; the message names file,
            line, setting, value and mend.
    """
    if text is None:
        text = read(path).text
    base = os.path.dirname(os.path.abspath(path))
    if base not in sys.path:
        sys.path.append(base)  # it may import what is beside it; last, so that it hides nothing
    tree, names = _run(path, text)
    lines: dict[str, int] = {}
    own: set[str] = set()  # names that are no settings, misspelt or not
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                own.add(alias.asname or alias.name)
                lines[alias.asname or alias.name] = node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            lines[node.id] = max(node.lineno, lines.get(node.id, 0))
        elif isinstance(node, ast.Name):
            own.add(node.id)  # BASE = ...; PROJECT_PATH = BASE + ...
        elif isinstance(node, ast.FunctionDef):
            lines[node.name] = max(node.lineno, lines.get(node.name, 0))

    def where(name: str) -> str:
        return f"{path}:{lines[name]}: " if name in lines else f"{path}: "

    kept = {name: value for name, value in names.items() if name in _KNOWN or name not in own}
    return _settings(kept, where, base, os.path.abspath(path))


def _unread(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "is not there; name it by --settings FILE or $LUISITO_SETTINGS"
    mend = "name another by --settings FILE or $LUISITO_SETTINGS"
    if error.errno == errno.EACCES:
        mend = "let whoever starts Luisito read it"
    return f"cannot be read: {error.strerror}; {mend}"


def from_mapping(names: Mapping[str, object]) -> Settings:
    """Checks settings that are given by their upper-case names.

    Names that are not upper-case, and functions, classes and modules of any name that is no
    setting's, are ignored. Relative paths are taken from the current folder.

    Raises:
        SettingsError: a name is unknown or a value wrong.
    """
    return _settings(names, lambda _: "", os.getcwd(), None)


def _run(path: str, source: bytes) -> tuple[ast.Module, dict[str, Any]]:
    names: dict[str, Any] = {"__file__": os.path.abspath(path), "__name__": "settings"}
    try:
        tree = ast.parse(source, path)
        exec(compile(tree, path, "exec", dont_inherit=True), names)  # noqa: S102 - settings are Python
    except SyntaxError as error:
        # Its file is another when something that settings.py imports has the error.
        at = f"{error.filename or path}:{error.lineno or 1}"
        line = (error.text or "").strip()
        raise SettingsError(
            f"{at}: is not Python: {error.msg}; mend that line{f': {line}' if line else ''}"
        ) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a settings.py may raise anything
        raise SettingsError(f"{raised(error, path)}; mend that line or what it calls") from None
    return tree, names


def raised(error: BaseException, path: str) -> str:
    """Says in one line what a settings.py, or a function of it, has raised and where."""
    at = path
    for frame, line_number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == path:
            at = f"{path}:{line_number}"
    return f"{at}: {type(error).__name__}: {' '.join(str(error).split())}"


def _settings(
    names: Mapping[str, object], where: Callable[[str], str], base: str, file: str | None
) -> Settings:
    written: dict[str, object] = {}
    for name, value in names.items():
        if name in _KNOWN:
            written[name] = value
        elif _UPPER.fullmatch(name) and not isinstance(value, _NOT_SETTINGS):
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"{where(name)}{name} = {shown(value)}: is no setting; the nearest is {near}; "
                f"write that, or _{name} if it is a name of your own"
            )
    checked = {name: _read(name, value, where, base) for name, value in written.items()}
    for name, (former, value) in translate(checked).items():
        if name in checked:
            raise SettingsError(where(name) + str(both(name, former)))
        checked[name] = _read(name, value, where, base)
    for name, setting in SETTINGS.items():
        if name not in checked:
            if name == "CMD_TPL" and checked.get("SITES_DIR") is not None:
                checked[name] = None  # all that is a site has a file
                continue
            if setting.default is attrs.NOTHING:
                raise SettingsError(
                    f"{where(name)}{name} is not set: it must be a command; write "
                    f'{name} = "python3 -m http.server --bind 127.0.0.1 %PORT"'
                )
            checked[name] = _read(name, setting.default, where, base)
    if callable(run_as := checked["RUN_AS"]):
        if file is None:
            raise SettingsError(
                f"RUN_AS = {shown(run_as)}: a function must stand in a settings.py, which another "
                'process reads to call it; write a user, or RUN_AS = "owner"'
            )
        checked["RUN_AS"] = values.Function(file, run_as)
    # The readers have returned each field's type; mypy cannot see through the table.
    fields: dict[str, Any] = {name.lower(): checked[name] for name in SETTINGS}
    settings = Settings(**fields)
    _check_together(settings, where)
    return settings


def _read(name: str, value: object, where: Callable[[str], str], base: str) -> object:
    setting = _KNOWN[name]
    try:
        checked = setting.read(value)
    except Wrong as wrong:
        item = name + wrong.item
        bad = wrong.value if wrong.item else value
        mend = f"{item} = {shown(wrong.mend)}"
        if wrong.mend is attrs.NOTHING:
            mend = f"{name} = {shown(setting.default)}"
        if isinstance(bad, tuple) and len(bad) == 1 and _would_do(setting, bad[0]):
            mend = f"{name} = {shown(bad[0])}, without the comma behind it"
        raise SettingsError(
            f"{where(name)}{item} = {shown(bad)}: {wrong.must}; write {mend}"
        ) from None
    except SettingsError as error:  # of Routes, whose messages name the setting
        raise SettingsError(f"{where(name)}{error}") from None
    except TemplateError as error:
        raise SettingsError(f"{where(name)}{name}: {error}") from None
    if setting.read is values.path and isinstance(checked, str):
        return os.path.normpath(os.path.join(base, checked))
    if setting.read is values.folder and isinstance(checked, str):
        return os.path.normpath(os.path.join(base.replace("%", "%%"), checked))
    return checked


def _would_do(setting: Setting, value: object) -> bool:
    try:
        setting.read(value)
    except (Wrong, SettingsError, TemplateError):
        return False
    return True


def _check_together(settings: Settings, where: Callable[[str], str]) -> None:
    """Refuses values that are right one by one and cannot hold together."""
    if settings.run_as == "owner" and settings.project_path is None:
        raise SettingsError(
            f'{where("RUN_AS")}RUN_AS = "owner": is the owner of PROJECT_PATH, which is not set; '
            'write PROJECT_PATH = "/srv/%HOST", or another RUN_AS'
        )
    if isinstance(settings.run_as, int) and settings.run_as < settings.min_uid:
        raise SettingsError(
            f"{where('RUN_AS')}RUN_AS = {settings.run_as}: is below MIN_UID = {settings.min_uid}; "
            f"write MIN_UID = {settings.run_as}, or another RUN_AS"
        )
    if settings.rewarm and settings.state_dir is None:
        raise SettingsError(
            f"{where('REWARM')}REWARM = {settings.rewarm}: how often sites are used is kept in "
            'STATE_DIR, which is not set; write STATE_DIR = "/var/lib/luisito", or REWARM = 0'
        )
    admin.check(settings, where)
    if settings.cmd_tpl is None:
        return
    words = Template.parse(settings.cmd_tpl).words.union(
        *(Template.text(value).words for value in settings.env.values())
    )
    try:
        way(words)
    except TemplateError as error:
        raise SettingsError(f"{where('CMD_TPL')}CMD_TPL and ENV: {error}") from None
    first, last = settings.port_range
    needed = settings.max_servers + settings.overlap
    if "PORT" in words and last - first + 1 < needed:
        raise SettingsError(
            f"{where('PORT_RANGE')}PORT_RANGE = {settings.port_range}: has fewer ports than "
            f"MAX_SERVERS + OVERLAP = {needed}; write PORT_RANGE = (20000, 29999)"
        )
