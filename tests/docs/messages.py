"""The messages that Luisito has for people, found in its code, and the entries of docs/errors.

python -m tests.docs.messages    # those that have no entry, with the place where they are raised

A message is the text of an error that is meant for a person, of a line of the log at "warn" or
above, or of a refusal; what is filled in stands as `…`. What comes from variables, other programs
or the kernel alone is none.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.harness.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = sorted((ROOT / "docs" / "errors").glob("*.md"))

# Errors that a person sees, beside all that derive from them.
BASES = {"LuisitoError", "Wrong", "UnusableError", "CannotDivideError", "RefusedError"}
BASES |= {"ArgumentTypeError", "Problem", "Refused"}
# Between processes of one Luisito; the line that is logged has an entry.
INTERNAL = {"WireError"}
# Functions that make such an error, or tell one.
MAKERS = {"error", "failed", "refuse", "wrong", "cannot", "again"}
# Functions that return one, by their modules.
TELLERS = {
    "luisito/core/hooks.py": {"outcome"},
    "luisito/core/webhook.py": {"refusal"},
    "luisito/core/ending.py": {"killing", "not_stopped", "suspicion"},
    "luisito/process/start.py": {"missing"},
    "luisito/readiness/ways.py": {"describe"},
    "luisito/spawner/whynot.py": {"why_not"},
}
# Classes and tables of which each value is one.
TABLES = {"luisito/core/orders.py": {"Refusal"}, "luisito/core/pages.py": {"_WORDS"}}
# What it says, nobody sees.
LEFT_OUT = {"luisito/app/preload.py"}
# What looks like one: values, and a text of one branch with the end of another's.
NONE = {
    "stop_command in its site file",
    "virtualenv in its site file",
    "hooks.… in its site file",
    '{time} {site} "{method} {target}" {status} {total}',
    "its name is no host: …; rename it to the host of the site, and .toml; rename it to …",
    "its name must be a host in lower case, without a port",
}
LEVELS = {"warn", "error", "critical", "failure"}


def squeezed(text: str) -> str:
    """Two fields in a row are one; so is white space."""
    return re.sub(r"…(\.\.\.)?( ?…)*", "…", re.sub(r"\s+", " ", text)).strip()


def is_message(text: str, words: int = 3) -> bool:
    """A word or a value is none."""
    return len(re.findall(r"[A-Za-z]{2,}", text)) >= words and " " in text


class Texts:
    """What the expressions of a module may come to.

    Args:
        tree: of the module.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._scopes: list[ast.AST] = [tree]

    def enter(self, function: ast.AST) -> None:
        """A function begins."""
        self._scopes.append(function)

    def leave(self) -> None:
        """The function that was entered last ends."""
        self._scopes.pop()

    def of(self, node: ast.AST | None, depth: int = 0) -> list[str]:
        """All texts that an expression may be; what is not known is `…`."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else ["…"]
        if isinstance(node, ast.JoinedStr):
            return self._joined(node, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [a + b for a in self.of(node.left, depth) for b in self.of(node.right, depth)]
        if isinstance(node, ast.IfExp):
            return self.of(node.body, depth) + self.of(node.orelse, depth)
        if isinstance(node, ast.BoolOp):
            return [text for value in node.values for text in self.of(value, depth)]
        if isinstance(node, ast.Name) and depth < 3:
            for scope in reversed(self._scopes):
                if found := _assigned(scope).get(node.id):
                    return [text for value in found for text in self.of(value, depth + 1)]
        return ["…"]

    def _joined(self, node: ast.JoinedStr, depth: int) -> list[str]:
        texts = [""]
        for part in node.values:
            if isinstance(part, ast.Constant):
                texts = [text + str(part.value) for text in texts]
            elif isinstance(part, ast.FormattedValue):
                # one that is chosen among sentences is part of the message, a word is not
                found = self.of(part.value, depth + 1) if depth < 1 else ["…"]
                chosen = found if all(is_message(each) for each in found) else ["…"]
                texts = [text + each for text in texts for each in chosen]
        return texts


@functools.cache
def _assigned(scope: ast.AST) -> dict[str, list[ast.expr]]:
    found = defaultdict(list)
    for node in _own(scope):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id].append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id].append(node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.pop(node.target.id, None)
    return found


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of functions in it."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _own(node)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def errors(trees: dict[str, ast.Module]) -> set[str]:
    """The names of all classes of errors that are meant for a person."""
    known, classes = (
        set(BASES),
        [
            node
            for tree in trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        ],
    )
    while (
        more := {each.name for each in classes if known & {_name(base) for base in each.bases}}
        - known
    ):
        known |= more
    return known - INTERNAL


class _Finder(ast.NodeVisitor):
    """Finds the messages of a module.

    Args:
        texts: of the module.
        raised: the names of errors.
        tellers: the names of functions of it that return messages.
        tables: the names of its classes and tables of messages.
    """

    def __init__(self, texts: Texts, raised: set[str], tellers: set[str], tables: set[str]) -> None:
        self._texts, self._raised, self._tellers, self._tables = texts, raised, tellers, tables
        self._in: list[str] = []
        self.found: dict[str, int] = {}

    def _add(self, texts: list[str], line: int, words: int = 3) -> None:
        for text in map(squeezed, texts):
            if is_message(text, words) and text not in NONE:
                self.found.setdefault(text, line)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """See ast.NodeVisitor."""
        self._texts.enter(node)
        self._in.append(node.name)
        self.generic_visit(node)
        self._in.pop()
        self._texts.leave()

    def visit_Return(self, node: ast.Return) -> None:
        """See ast.NodeVisitor."""
        self.generic_visit(node)
        if self._in and self._in[-1] in self._tellers:
            self._add(self._texts.of(node.value), node.lineno)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """See ast.NodeVisitor."""
        self.generic_visit(node)
        if node.name in self._tables:
            for each in node.body:
                if isinstance(each, ast.Assign):
                    self._add(self._texts.of(each.value), each.lineno)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """See ast.NodeVisitor."""
        self.generic_visit(node)
        if _name(node.target) in self._tables and isinstance(node.value, ast.Dict):
            for each in node.value.values:
                self._add(self._texts.of(each), each.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        """See ast.NodeVisitor."""
        self.generic_visit(node)
        name, words = _name(node.func), 3
        of_log = name in LEVELS and "log" in _name(getattr(node.func, "value", ast.Constant("")))
        if of_log:
            words = 2
            said = [re.sub(r"\{[^{}]*\}", "…", text) for text in self._texts.of(node.args[0])]
        elif any(_name(argument) in LEVELS for argument in node.args):  # LogLevel.warn
            words = 2
            said = [text for argument in node.args for text in self._texts.of(argument)]
        elif name in self._raised or name.strip("_") in MAKERS:
            given = [self._texts.of(argument) for argument in node.args]
            given += [self._texts.of(keyword.value) for keyword in node.keywords]
            # the first one that is a message: behind it stand mends, each a value
            said = next((texts for texts in given if any(map(is_message, texts))), [])
        else:
            return
        self._add(said, node.lineno, words)


def messages() -> dict[str, str]:
    """All messages, each with the place of one that says it."""
    trees = {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "luisito").rglob("*.py"))
    }
    raised, all_found = errors(trees), {}
    for path, tree in trees.items():
        if path in LEFT_OUT:
            continue
        finder = _Finder(Texts(tree), raised, TELLERS.get(path, set()), TABLES.get(path, set()))
        finder.visit(tree)
        for text, line in finder.found.items():
            all_found.setdefault(text, f"{path}:{line}")
    return all_found


# Messages, each on a line, with a "\\" behind all but the last; then what is said of them.
_ENTRY = re.compile(r"^- ((?:`.*\\\n  )*`.*\n)((?:  \S.*\n|\n(?=  ))+)", re.MULTILINE)
_SAID = re.compile(r"^\s*(`+) ?(.+?) ?\1\\?$", re.MULTILINE)


def entries(text: str) -> dict[str, str]:
    """The messages of a page, each with what the page says of it."""
    return {
        squeezed(said): meaning.strip()
        for heads, meaning in _ENTRY.findall(text)
        for _, said in _SAID.findall(heads)
    }


if __name__ == "__main__":
    there = {key for page in PAGES for key in entries(page.read_text(encoding="utf-8"))}
    for message, place in messages().items():
        if message not in there:
            print(f"{place}: {message}")
