"""Command templates: words are put in once, and change neither how many arguments there are nor
which program is run.

An input is a command and then values of the words, each on a line of its own.
"""

import shlex

from luisito.core.template import NAMES, Template, way
from luisito.errors import TemplateError

WORDS = (
    b"%HOST|%PORT|%SOCKET|%FD|%UID|%GID|%PATH|%%|%|%%HOST|%HOSTS|%(x)s|gunicorn app:app|'|\"|\\|"
    b" |\n|"
    b"#|$HOME|`id`|;|&&|-|--|/|..|\0|a b|%PO|RT|\xc3\xbc"
).split(b"|")  # fmt: skip


def run(data: bytes) -> None:
    command, *values = data.decode("utf-8", "surrogateescape").split("\n")
    given = dict(zip(NAMES, values, strict=False))
    try:
        template = Template.parse(command)
    except TemplateError:
        _check_refused(command)
        return
    parts = shlex.split(command)
    assert parts
    assert parts[0]
    assert template.words == set().union(*map(_words, parts))
    try:
        rendered = template.render(given)
    except TemplateError:
        unusable = [name for name in template.words if not given.get(name)]
        assert unusable or any(map(_unsafe, given.items())), (command, given)
    else:
        assert rendered == [_put_in(part, given) for part in parts]
        assert not any("\0" in part for part in rendered)
        if "HOST" in template.words:
            assert not _unsafe(("HOST", given["HOST"]))
    ways = template.words & {"PORT", "SOCKET", "FD"}
    try:
        found = way(template.words)
    except TemplateError:
        assert len(ways) > 1
    else:
        assert found == next((name.lower() for name in ways), "fd")


def _check_refused(command: str) -> None:
    try:
        parts = shlex.split(command)
    except ValueError:
        return
    assert not parts or not parts[0] or "\0" in command, command


def _unsafe(item: tuple[str, str]) -> bool:
    name, value = item
    return "\0" in value or (name == "HOST" and ("/" in value or value[:1] in {"-", "."}))


def _taken_apart(part: str) -> list[tuple[str, str]]:
    """What an argument consists of, a character at a time: (word, "") or ("", text)."""
    found: list[tuple[str, str]] = []
    while part:
        name = next((name for name in NAMES if part.startswith("%" + name)), None)
        if part.startswith("%%"):
            found.append(("", "%"))
            part = part[2:]
        elif name is not None:
            found.append((name, ""))
            part = part[len(name) + 1 :]
        else:
            found.append(("", part[0]))
            part = part[1:]
    return found


def _words(part: str) -> set[str]:
    return {word for word, _ in _taken_apart(part) if word}


def _put_in(part: str, values: dict[str, str]) -> str:
    return "".join(values[word] if word else text for word, text in _taken_apart(part))
