"""What was measured beside what was promised, as a markdown table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Those with a column of their own.
PROXIES = ("Luisito", "nginx", "haproxy", "ReverseProxyResource")


@dataclass(frozen=True)
class Verdict:
    """One figure beside its goal; `unit` follows the figure (" of nginx", " ms")."""

    figure: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the figure keeps to its goal."""
        return self.figure <= self.limit


@dataclass(frozen=True)
class Row:
    """A work: what each proxy took (as printed), the verdicts, and the samples behind them.

    `costs` has what each took as a number, in the unit that its cell names, where they compare.
    """

    work: str
    cells: dict[str, str]
    verdicts: list[Verdict]
    samples: dict[str, object] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The row for --json."""
        goals = [
            {"figure": v.figure, "limit": v.limit, "unit": v.unit.strip(), "met": v.met}
            for v in self.verdicts
        ]
        return {"work": self.work, "cells": self.cells, "goals": goals, "samples": self.samples}


def table(rows: list[Row], columns: Sequence[str] = PROXIES) -> str:
    """The rows as a markdown table, with columns for these names."""
    head = ["work", *columns, "others" if columns else "each", "measured", "goal", "met"]
    lines = [head, ["---"] * len(head), *(_line(row, columns) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _line(row: Row, columns: Sequence[str]) -> list[str]:
    return [
        row.work,
        *(row.cells.get(name, "") for name in columns),
        "; ".join(f"{name} {cell}" for name, cell in row.cells.items() if name not in columns),
        "; ".join(f"{v.figure:.3g}{v.unit}" for v in row.verdicts),
        "; ".join(f"≤ {v.limit:.3g}" for v in row.verdicts),
        "; ".join("yes" if v.met else "**no**" for v in row.verdicts),
    ]
