"""What is printed after an import: what was written, what nginx is to be told, what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luisito.importing.found import Note
    from luisito.importing.matching import Site
    from luisito.importing.run import Outcome
    from luisito.settings import Settings

_NGINX: Final = (
    "proxy_http_version 1.1;",
    "proxy_set_header Host $http_host;",
    "proxy_set_header X-Forwarded-For $remote_addr;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_set_header X-Forwarded-Host $http_host;",
    "proxy_set_header X-Forwarded-Port $server_port;",
    'proxy_set_header X-Real-IP "";',
    'proxy_set_header Forwarded "";',
    "proxy_set_header Upgrade $http_upgrade;",
    'proxy_set_header Connection "";  # $connection_upgrade of contrib/nginx for WebSockets',
    "proxy_read_timeout 1h;",
)


def status(outcome: Outcome) -> int:
    """The exit status."""
    return 1 if any(not note.kept for note in outcome.notes) else 0


def text(outcome: Outcome, settings: Settings, *, dry: bool) -> str:
    """The list, and before it the files where they are not written."""
    lines: list[str] = []
    if dry:
        for path, written in outcome.files.items():
            lines += [f"### {visible(path)}", visible(written, "\n")]
    lines += _part("would be written" if dry else "written", map(visible, outcome.files))
    lines += _nginx(outcome.sites, settings)
    kept = [note for note in outcome.notes if note.kept]
    lost = [note for note in outcome.notes if not note.kept]
    lines += _part("stays as it is", _notes(kept))
    lines += _part("not translated", _notes(lost))
    count = len(outcome.files)
    files = f"{count} file{'' if count == 1 else 's'} {'to be written' if dry else 'written'}"
    lines.append(f"{files}, {len(lost)} not translated")
    if dry and count:
        lines[-1] += "; --to DIR writes them"
    return "\n".join(lines)


def _part(title: str, of: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in of]
    return [f"{title}:", *found, ""] if found else []


def _notes(notes: list[Note]) -> list[str]:
    return [visible(str(note)) for note in sorted(notes, key=lambda note: note.place)]


def _nginx(sites: list[Site], settings: Settings) -> list[str]:
    """What nginx's blocks are to say, each in the place of what they say now."""
    passes = dict.fromkeys(
        (front.passed, front.directive)
        for site in sites
        for front in site.fronts
        if front.address is not None
    )
    if not passes:
        return []
    there = listening(settings)
    lines = [f"{place}: {said}" for place, said in sorted(passes)]
    block = [f"proxy_pass http://{there};", *_NGINX]
    note = "proxy_params and uwsgi_params are not included then"
    return [
        *_part("in nginx, instead of these lines", map(visible, lines)),
        *_part(f"write there ({note})", block),
    ]


def listening(settings: Settings) -> str:
    """Where nginx finds Luisito: by the first of LISTEN."""
    for written in settings.listen:
        kind, *rest = str(written).split(":")
        options = dict(one.split("=", 1) for one in rest if "=" in one)
        if kind == "unix" and rest:
            return f"unix:{options.get('address', rest[0])}"
        if kind in ("tcp", "tcp6") and rest:
            host = options.get("interface", "127.0.0.1").replace("\\", "")
            return f"{host}:{options.get('port', rest[0])}"
    return "127.0.0.1:8080"
