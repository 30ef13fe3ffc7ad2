"""Draws what was measured beside others: horizontal bars, as an SVG that stands by itself.

It has a ground of its own, light or dark as the reader's system is, so that it can be read on
pages of both kinds even where they do not follow the system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.report import Row

# In pixels of a drawing that scales.
_WIDTH = 760
_MARGIN = 20
_NAMES = 180  # where bars begin
_FIGURES = 80  # kept free after the longest bar
_BAR = 16
_STEP = 24
_TITLE = 34
_NOTE = 18

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.note { font-size: 11px; fill: #59636e; }
.name { text-anchor: end; }
.ground { fill: #ffffff; stroke: #d1d9e0; }
.bar { fill: #afb8c1; }
.ours { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .note { fill: #9198a1; }
  .ground { fill: #0d1117; stroke: #3d444d; }
  .bar { fill: #59636e; }
  .ours { fill: #4493f8; }
}
"""


def chart(
    rows: Sequence[Row],
    notes: Sequence[str],
    title: str = "CPU time per request, in microseconds",
    unit: str = "µs",
) -> str:
    """One group of bars for each row, the cheapest first, all to one scale.

    Args:
        rows: their `costs` are in one unit; at least one has some.
        notes: lines that stand below.
        title: what is drawn.
        unit: of the costs.
    """
    scale = (_WIDTH - _MARGIN - _NAMES - _FIGURES) / max(
        cost for row in rows for cost in row.costs.values()
    )
    parts: list[str] = []
    top = _MARGIN
    for row in rows:
        parts.append(_text(_MARGIN, top + 13, row.work, "title"))
        top += _TITLE
        for name, cost in sorted(row.costs.items(), key=lambda item: item[1]):
            parts.append(_bar(top, name, _figure(cost, unit), cost * scale))
            top += _STEP
        top += _STEP // 2
    for note in notes:
        parts.append(_text(_MARGIN, top + 10, note, "note"))
        top += _NOTE
    height = top + _MARGIN - (_NOTE - 10)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(_told(rows, unit))}</desc>",
            f"<style>{_STYLE}</style>",
            _box(0.5, 0.5, _WIDTH - 1, height - 1, "ground"),
            *parts,
            "</svg>\n",
        ]
    )


def _bar(top: int, name: str, figure: str, length: float) -> str:
    middle = top + _BAR - 3  # where letters stand, for them to be in the middle of the bar
    return "\n".join(
        [
            _text(_NAMES - 10, middle, name, "name"),
            _box(_NAMES, top, length, _BAR, "bar ours" if name.startswith("Luisito") else "bar"),
            _text(_NAMES + length + 8, middle, figure, "figure"),
        ]
    )


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width:.1f}" height="{height}" rx="3"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(words)}</text>'


def _figure(cost: float, unit: str) -> str:
    return f"{cost:.1f} {unit}"


def _told(rows: Sequence[Row], unit: str) -> str:
    """The same in words, for who cannot see it."""
    groups = []
    for row in rows:
        each = (f"{name} {_figure(cost, unit)}" for name, cost in row.costs.items())
        groups.append(f"{row.work}: {', '.join(each)}.")
    return " ".join(groups)
