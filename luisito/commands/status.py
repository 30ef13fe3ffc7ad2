"""`luisito status`: a running Luisito as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luisito.commands.asking import add_command, tell
from luisito.commands.common import add_json
from luisito.commands.text import duration
from luisito.core.text import mebibytes, visible

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(subparsers, "status", "show how a running Luisito fares", run)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    return tell(options, "/status", _text)


def _text(found: dict[str, Any]) -> str:
    counters = found["counters"]
    states = ", ".join(f"{count} {state}" for state, count in found["servers"].items())
    requests = (
        f"{counters['heads']} since the start: {counters['answers']} answered,"
        f" {counters['aborts']} broken off; {counters['cold']} waited for a server to start,"
        f" {counters['retries']} were tried again"
    )
    connections = (
        f"{counters['open']} open, {counters['connections']} since the start;"
        f" {counters['refused']} refused, {counters['closed_for_room']} closed for room"
    )
    lines = (
        ("version", found["version"]),
        ("pid", found["pid"]),
        ("state", found["state"]),
        ("up", duration(found["uptime_seconds"])),
        ("runtime dir", found["runtime_dir"]),
        ("servers", f"{states} (MAX_SERVERS = {found['max_servers']})"),
        *_of_workers(found["workers"]),
        *_of_interpreters(found.get("preload", {})),
        ("memory", _memory(found)),
        ("waiting", f"{found['waiting']} for a server"),
        *_of_rewarming(found.get("rewarming")),
        *_of_hooks(found.get("hooks", {})),
        ("connections", connections),
        ("requests", requests),
        ("stalls", f"{counters['stalls']} since the start"),
    )
    return "\n".join(
        f"{name:11}  {visible(str(value))}" for name, value in (*lines, *_of_files(found))
    )


def _of_workers(workers: dict[str, int]) -> list[tuple[str, str]]:
    """How many workers are in which state, where there are any."""
    counts = ", ".join(f"{count} {state}" for state, count in workers.items())
    return [("workers", counts)] if any(workers.values()) else []


def _of_rewarming(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    """How far that has come, where there is any."""
    return [] if found is None else [("rewarmed", found["words"])]


def _of_hooks(told: dict[str, Any]) -> list[tuple[str, str]]:
    """How hooks fare, where there is anything to say."""
    counts = [told.get(name, 0) for name in ("running", "waiting", "failures", "dropped")]
    if not any(counts):
        return []
    words = (
        f"{counts[0]} running, {counts[1]} waiting; {counts[2]} have failed and {counts[3]} were"
    )
    failed = [("", f"{one['hook']}: {one['error']}") for one in told["failed"]]
    return [("hooks", f"{words} left out since the start"), *failed]


def _of_interpreters(told: dict[str, Any]) -> list[tuple[str, str]]:
    """What preloaded interpreters have done, where there was anything to do."""
    counts = [told.get(name, 0) for name in ("preloaded", "plain", "fallbacks")]
    if not any(counts):
        return []
    hosts = len(told["interpreters"])
    words = f"{hosts} for {sum(told['interpreters'].values())} servers; {counts[0]} were forked,"
    words += f" {counts[1]} came before there was one, {counts[2]} could not be"
    last = told["last_fallback"]
    more = [] if last is None else [("", f"{last['site']} could not be: {last['error']}")]
    return [("preloaded", words), *more]


def _memory(found: dict[str, Any]) -> str:
    limit = found.get("max_memory")
    of = "" if limit is None else f" of {mebibytes(limit)} (MAX_MEMORY = {limit})"
    return f"about {mebibytes(found.get('memory_bytes', 0))}{of}"


def _of_files(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is said of site files, where there may be any."""
    files = found.get("site_files")
    if files is None:
        return []
    broken = files["broken"]
    lines = [("site files", f"{files['sites']} sites; wrong files: {len(broken)}")]
    if files["unreadable"] is not None:
        lines.append(("", files["unreadable"]))
    if files.get("maintenance"):
        lines.append(("", f"down for maintenance: {', '.join(files['maintenance'])}"))
    if files["not_kept"] is not None:
        lines.append(("", files["not_kept"]))
    stays = "a new server did not start, and the old one stays"
    lines += [
        ("", f"{one['site']}: {stays}: {one['error']}") for one in files.get("not_replaced", ())
    ]
    for kind in ("waiting_pages", "stop_commands"):
        lines += [("", f"{one['site']}: {one['error']}") for one in files.get(kind, ())]
    return lines + [("", one["error"]) for one in broken]
