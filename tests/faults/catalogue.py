"""docs/faults.md: the rows of catalogue.toml, each with the tests that name it.

    python -m tests.faults.catalogue    # writes it

A test names rows by the beginning or the end of its name (`test_30b_...`, `test_rows_3_21_...`,
`test_..._68`), or in its docstring by "FAULTS 12, 13", and invariants by `test_invariant_8_...` or
"invariants 2 and 4".
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent
ROWS = Path(__file__).with_suffix(".toml")
PAGE = TESTS.parent / "docs" / "faults.md"

_NUMBER = r"\d+b?"
_IN_WORDS = rf"{_NUMBER}(?:(?:,? and |, | to )(?:row |FAULTS )?{_NUMBER})*"
_AT_THE_BEGINNING = re.compile(rf"test_(?:rows?_)?((?:{_NUMBER}_(?:row_)?)+)")
_AT_THE_END = re.compile(rf"(?<!http)(?<!\d)((?:_{_NUMBER})+)$")
_IN_A_DOCSTRING = re.compile(rf"\bFAULTS ({_IN_WORDS})")
_INVARIANT = re.compile(r"test_invariant_(\d+)_")
_INVARIANTS = re.compile(rf"\b[Ii]nvariants? ({_IN_WORDS})")

HEAD = """\
# What Luisito survives

<!-- Written by `make docs` from tests/faults/catalogue.toml and the tests; not to be edited. -->

Each row is a fault, and the tests that provoke it: with real processes, sockets, signals, users,
mounts and limits. Where only time passes, some tests of the parts have a clock of their own. Those
of `tests/faults` and `tests/integration` drive the whole server, and after each of them it is
looked at whether the [invariants](#invariants) hold. `.ci/run` lets no test be skipped, nor those
that need root.
"""


class Test(NamedTuple):
    """A test that names rows or invariants.

    Attributes:
        file: below tests/.
        skipped: it is never run, wherever.
    """

    file: str
    name: str
    rows: frozenset[str]
    invariants: frozenset[str]
    skipped: bool


def data() -> dict:
    """What catalogue.toml says."""
    return tomllib.loads(ROWS.read_text(encoding="utf-8"))


def numbers(words: str) -> list[str]:
    """The numbers in "15 to 17, 19 and 30b"."""
    found: list[str] = []
    for first, last in re.findall(rf"({_NUMBER})(?: to ({_NUMBER}))?", words):
        found += map(str, range(int(first), int(last) + 1)) if last else [first]
    return found


def named(name: str, docstring: str) -> tuple[set[str], set[str]]:
    """What a test names as rows, be there such or not, and as invariants."""
    said = [_AT_THE_BEGINNING.match(name), _AT_THE_END.search(name)]
    rows = {number for match in said if match for number in re.findall(_NUMBER, match[1])}
    rows.update(*map(numbers, _IN_A_DOCSTRING.findall(docstring)))
    invariants = set(_INVARIANT.findall(name))
    invariants.update(*map(numbers, _INVARIANTS.findall(docstring)))
    return rows, invariants


def skipped(module: ast.Module, function: ast.FunctionDef) -> bool:
    """Whether it or its module is marked as skipped or failing, or it skips itself at once."""
    words = [ast.unparse(mark) for mark in function.decorator_list]
    first = function.body[1:] if ast.get_docstring(function) else function.body
    words += map(ast.unparse, [*first[:1], *(n for n in module.body if isinstance(n, ast.Assign))])
    pattern = r"(pytestmark = \[?)?pytest\.(mark\.)?(skip|xfail)\b"
    return any(re.match(pattern, each) for each in words)


def tests() -> list[Test]:
    """Those that name anything, in the order of files and lines."""
    known = {row["row"] for group in data()["group"] for row in group["rows"]}
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        file = path.relative_to(TESTS).as_posix()
        for node in ast.walk(module):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            rows, invariants = named(node.name, ast.get_docstring(node) or "")
            if rows & known or invariants:
                of = frozenset(rows & known), frozenset(invariants), skipped(module, node)
                found.append(Test(file, node.name, *of))
    return found


def _links(of: list[Test]) -> str:
    """The tests, by file; those of whole servers first."""
    by_file: dict[str, list[str]] = {}
    for test in sorted(of, key=lambda test: not test.file.startswith(("faults/", "integration/"))):
        by_file.setdefault(test.file, []).append(f"`{test.name}`")
    return "<br>".join(
        f"[{file}](../tests/{file}): {', '.join(names)}" for file, names in by_file.items()
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    """The text of docs/faults.md."""
    known, there = data(), tests()
    lines = [HEAD]
    for group in known["group"]:
        lines += [f"## {group['title']}", "", "| | provoked | expected | tests | state |"]
        lines.append("|---|---|---|---|---|")
        for row in group["rows"]:
            of = [test for test in there if row["row"] in test.rows]
            feature = row.get("feature")
            state = f"comes with {feature}" if feature else "tested" if of else "not tested"
            cells = row["row"], _cell(row["provoked"]), _cell(row["expected"]), _links(of), state
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["## Invariants", ""]
    lines += ["| | what holds always | looked at after each test | shown by |", "|---|---|---|---|"]
    for one in known["invariant"]:
        of = [test for test in there if one["number"] in test.invariants]
        checks = ", ".join(one.get("checked", ())) or "no"
        words = f"{one['title']}: {one['words']}"
        lines.append(f"| {one['number']} | {_cell(words)} | {checks} | {_links(of)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
