"""Draws cold starts a day by the number of servers, as an SVG that stands by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from luisito.advice.advice import figure

if TYPE_CHECKING:
    from luisito.advice.advice import Found

# In pixels of a drawing that scales.
_WIDTH: Final = 760
_HEIGHT: Final = 400
_LEFT: Final = 80
_RIGHT: Final = 730
_TOP: Final = 60
_BOTTOM: Final = 340
_POINTS: Final = 600  # of the curve at most
_STEPS: Final = 4

_AXES: Final = "servers (MAX_SERVERS); upwards: cold starts a day"
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.y { text-anchor: end; }
.x { text-anchor: middle; }
.ground { fill: #ffffff; stroke: #d1d9e0; }
.grid { stroke: #d1d9e0; }
.curve { fill: none; stroke: #0969da; stroke-width: 2; }
.now { fill: #59636e; }
.advised { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .ground { fill: #0d1117; stroke: #3d444d; }
  .grid { stroke: #3d444d; }
  .curve { stroke: #4493f8; }
  .now { fill: #9198a1; }
  .advised { fill: #4493f8; }
}
"""


def chart(found: Found) -> str:
    """The curve, with the number of servers that is allowed and the one that is advised.

    Args:
        found: with a curve of at least one point.
    """
    words = escape(found.words())
    to = found.advised()
    last = max(found.most, found.now, to) + 1
    sizes = sorted({1, last, found.now, to, *(1 + last * n // _POINTS for n in range(_POINTS))})
    highest = max(found.a_day(1), 1e-9)

    def across(servers: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * servers / last

    def up(cold: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * cold / highest

    parts = []
    for step in range(_STEPS + 1):
        cold, servers = highest * step / _STEPS, last * step // _STEPS
        y, x = up(cold), across(servers)
        parts += [
            f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}"/>',
            f'<text class="y" x="{_LEFT - 8}" y="{y + 4:.1f}">{figure(cold)}</text>',
            f'<text class="x" x="{x:.1f}" y="{_BOTTOM + 20}">{servers:,}</text>',
        ]
    line = " ".join(f"{across(n):.1f},{up(found.a_day(n)):.1f}" for n in sizes if n <= last)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for kind, n in (("now", found.now), ("advised", to)):
        x, y = across(n), up(found.a_day(n))
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            "<title>Cold starts a day by the number of servers</title>",
            f"<desc>{words}</desc>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}"/>',
            f'<text class="title" x="20" y="30">{words}</text>',
            *parts,
            f'<text class="x" x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 45}">{_AXES}</text>',
            "</svg>\n",
        ]
    )
