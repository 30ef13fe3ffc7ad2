"""uWSGI's files: ini, yaml and xml, each as the options that it sets, in order."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.parsers import expat

from luisito.errors import ImportFailed
from luisito.importing.text import lines

if TYPE_CHECKING:
    from luisito.importing.files import Source

_MOST: Final = 10_000  # options, when all is expanded
_LONGEST: Final = 64 * 1024  # characters of a value, likewise
_PLACEHOLDER: Final = re.compile(r"%\(([^()]+)\)|%(.)|\$\(([^()]+)\)")
_DEEPEST: Final = 100  # lists in each other in YAML


class Option(NamedTuple):
    """One option.

    Attributes:
        name: as on the command line, without "--".
        value: of it; "true" where it has none.
        number: of the line.
    """

    name: str
    value: str
    number: int


def options(source: Source) -> list[Option]:
    """Reads the options of a vassal.

    Args:
        source: of the file; its suffix says which kind it is.

    Raises:
        ImportFailed: it is no such file.
    """
    suffix = os.path.splitext(source.path)[1]
    if suffix == ".xml":
        read = _xml(source)
    elif suffix in (".yaml", ".yml"):
        read = _yaml(source)
    else:
        read = [
            Option(line.name, line.value or "true", line.number)
            for line in lines(source.text)
            if line.section == "uwsgi"
        ]
    return _Expanding(source.path).all(read)


def _xml(source: Source) -> list[Option]:
    found: list[Option] = []
    stack: list[tuple[str, int, list[str]]] = []

    def start(name: str, _: object) -> None:
        if len(stack) > _DEEPEST:
            raise ImportFailed(f"{source.path}: is nested too deeply; no vassal needs that")
        stack.append((name, parser.CurrentLineNumber, []))

    def text(data: str) -> None:
        if stack:
            stack[-1][2].append(data)

    def end(_: str) -> None:
        name, number, parts = stack.pop()
        if stack and stack[-1][0] == "uwsgi":
            found.append(Option(name, "".join(parts).strip() or "true", number))

    def doctype(*_: object) -> None:
        at = parser.CurrentLineNumber
        raise ImportFailed(f"{source.path}:{at}: has a DOCTYPE, which no vassal needs; remove it")

    # without a DOCTYPE no entity is declared, nor anything fetched
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.CharacterDataHandler = text
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(source.text.encode(), True)
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise ImportFailed(
            f"{source.path}:{error.lineno}: is no XML: {why}; mend that line"
        ) from None
    return found


def _yaml(source: Source) -> list[Option]:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ImportFailed(
            f"{source.path}: to read YAML takes PyYAML;"
            f" run {sys.executable} -m pip install 'luisito[import]'"
        ) from None
    try:
        # nodes, as they are written: no tag makes anything of them, and a name may come twice
        tree = yaml.compose(source.text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark is not None else ""
        why = getattr(error, "problem", None) or "is not well formed"
        raise ImportFailed(f"{source.path}{at}: is no YAML: {why}; mend that line") from None
    except RecursionError:
        raise ImportFailed(f"{source.path}: is nested too deeply; no vassal needs that") from None
    found: list[Option] = []
    if not isinstance(tree, yaml.MappingNode):
        return found
    for section, of in tree.value:
        if section.value != "uwsgi" or not isinstance(of, yaml.MappingNode):
            continue
        for name, value in of.value:
            values = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for one in values:
                if isinstance(one, yaml.ScalarNode) and isinstance(name, yaml.ScalarNode):
                    number = one.start_mark.line + 1
                    found.append(Option(name.value, one.value or "true", number))
    return found


class _Expanding:
    """Placeholders and `for` loops (uwsgi-docs, "Configuration logic"), as far as a file tells."""

    def __init__(self, path: str) -> None:
        full = os.path.abspath(path)
        folder, name = os.path.split(full)
        stem, _, suffix = name.rpartition(".")
        self._path = path
        self._magic = {
            "%": "%", "p": full, "P": full, "s": name, "S": name, "d": f"{folder}/",
            "D": f"{folder}/", "e": suffix, "E": suffix, "n": stem, "N": stem,
            "c": os.path.basename(folder), "x": "uwsgi", "X": "uwsgi", "o": stem,
        }  # fmt: skip
        self._set: dict[str, str] = {}
        self._done: list[Option] = []

    def all(self, read: list[Option]) -> list[Option]:
        """Expands all of them."""
        at = 0
        while at < len(read):
            option = read[at]
            at += 1
            if option.name != "for":
                self._add(option)
                continue
            body: list[Option] = []
            while at < len(read) and read[at].name not in ("endfor", "end-for"):
                if read[at].name == "for":
                    what = "a loop within a loop; write it out"
                    raise ImportFailed(f"{self._path}:{read[at].number}: {what}")
                body.append(read[at])
                at += 1
            at += 1
            for word in self._put(option, option.value).split():
                self._set["_"] = word
                for one in body:
                    self._add(one)
        return self._done

    def _add(self, option: Option) -> None:
        if len(self._done) >= _MOST:
            what = f"has more than {_MOST} options; leave it out"
            raise ImportFailed(f"{self._path}: {what}")
        name, value = self._put(option, option.name), self._put(option, option.value)
        if name in ("set", "set-placeholder", "set-ph"):
            name, _, value = value.partition("=")
            self._set[name.strip()] = value.strip()
            return
        self._set[name] = value
        self._done.append(Option(name, value, option.number))

    def _put(self, option: Option, text: str) -> str:
        def put(match: re.Match[str]) -> str:
            if match[1] is not None:
                return self._set.get(match[1], match[0])
            if match[2] is not None:
                return self._magic.get(match[2], match[0])
            return match[0]  # of the Emperor's environment

        size, parts, end = 0, [], 0
        for match in _PLACEHOLDER.finditer(text):
            parts += [text[end : match.start()], put(match)]
            end = match.end()
            size += len(parts[-1]) + len(parts[-2])
            if size > _LONGEST:
                break
        value = "".join([*parts, text[end:]])
        if len(value) > _LONGEST:
            raise ImportFailed(f"{self._path}:{option.number}: {option.name} is too long; mend it")
        return value
