"""What a check has found: facts, and problems each with its mend; as text and as JSON."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Fact = str | Sequence[str] | Mapping[str, str]


class Mend(NamedTuple):
    """How a problem is mended.

    Attributes:
        kind: "run" a command in a shell, "write" a line into settings.py, or "do" what cannot be
            said as either.
        text: the command, the line or the words.
    """

    kind: Literal["run", "write", "do"]
    text: str

    def __str__(self) -> str:
        return self.text if self.kind == "do" else f"{self.kind} {self.text}"


class Problem(NamedTuple):
    """What would not work, or not as it was meant.

    Attributes:
        where: the path or the setting.
        what: is wrong with it.
        mend: of it.
    """

    where: str
    what: str
    mend: Mend

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


class Report:
    """Collects what is found, in the order in which it is to be read.

    Attributes:
        facts: by name; a sequence is a command, a mapping an environment.
        problems: of all kinds.
        summary: the last line; "" for the number of problems.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self.problems: list[Problem] = []
        self.summary = ""

    def add(self, *problems: Problem | None) -> bool:
        """Adds the problems among these, each once; tells whether there was one."""
        found = [problem for problem in problems if problem is not None]
        self.problems = list(dict.fromkeys([*self.problems, *found]))
        return bool(found)

    @property
    def status(self) -> int:
        """For the exit: 1 where there are problems."""
        return 1 if self.problems else 0

    @property
    def last_line(self) -> str:
        """The summary."""
        count = len(self.problems)
        return self.summary or (
            f"{count} problem{'s' if count > 1 else ''}" if count else "no problem found"
        )

    def lines(self) -> list[str]:
        """Short lines for a person; names of files in them may be a tenant's."""
        width = max(map(len, self.facts), default=0) + 2
        lines = []
        for name, fact in self.facts.items():
            label = name.replace("_", " ")
            if isinstance(fact, str):
                lines.append(f"{label:{width}}{fact}")
            elif isinstance(fact, dict):
                lines += [label, *(f"  {key}={value}" for key, value in fact.items())]
            else:
                lines.append(f"{label:{width}}{shlex.join(fact)}")
        return [*lines, *map(str, self.problems), self.last_line]

    def json(self) -> str:
        """The same as one JSON object."""
        problems = [
            {"where": where, "what": what, "mend": {mend.kind: mend.text}}
            for where, what, mend in self.problems
        ]
        found = {**self.facts, "problems": problems, "summary": self.last_line}
        return json.dumps(found, indent=2)
