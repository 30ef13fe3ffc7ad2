"""Draws a soak: requests a second, memory and descriptors over the time, as one SVG."""

from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _GAP, _LEFT = 760, 110, 46, 60
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.ground { fill: #ffffff; stroke: #d1d9e0; }
.line { fill: none; stroke-width: 1.5; }
.l0 { stroke: #0969da; } .l1 { stroke: #bf8700; }
.t0 { fill: #0969da; } .t1 { fill: #bf8700; }
.axis { stroke: #d1d9e0; }
.mark { stroke: #cf222e; stroke-width: 0.7; }
"""
_PANELS = (
    ("requests a second", (("rate", "answers"),)),
    ("servers", (("servers", "awake or starting"),)),
    ("memory, MiB", (("network_rss", "network process"), ("spawner_rss", "spawner"))),
    ("descriptors", (("network_fds", "network process"), ("spawner_fds", "spawner"))),
)


def draw(rows, marks):
    """An SVG that stands by itself.

    Args:
        rows: of Watch.
        marks: (seconds, words) of faults; each is a thin red line.
    """
    end = rows[-1]["seconds"]
    for before, row in zip([rows[0], *rows], rows, strict=False):
        passed = row["seconds"] - before["seconds"]
        row["rate"] = (row["requests"] - before["requests"]) / passed if passed else 0.0
    parts = []
    top = 30
    for title, lines in _PANELS:
        highest = max(max(row[name] for row in rows) for name, _ in lines) or 1
        parts.append(f'<text x="{_LEFT}" y="{top - 8}">{escape(title)}</text>')
        parts.append(_axis(top, highest))
        parts += [_mark(top, at / end) for at, _ in marks]
        for index, (name, words) in enumerate(lines):
            points = [(row["seconds"] / end, row[name] / highest) for row in rows]
            parts.append(_line(top, points, index))
            x = _LEFT + 150 + 170 * index
            parts.append(f'<text class="t{index}" x="{x}" y="{top - 8}">{escape(words)}</text>')
        top += _HEIGHT + _GAP
    kinds = ", ".join(sorted({words for _, words in marks}))
    notes = f"{end / 60:.0f} minutes; red lines: {kinds or 'nothing'}"
    parts.append(f'<text x="{_LEFT}" y="{top - 14}">{escape(notes)}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + _LEFT + 20} {top}">',
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" width="{_WIDTH + _LEFT + 20}" height="{top}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _axis(top, highest):
    bottom = top + _HEIGHT
    return (
        f'<path class="axis" d="M{_LEFT},{top} V{bottom} H{_LEFT + _WIDTH}" fill="none"/>'
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:.0f}</text>'
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'
    )


def _mark(top, at):
    x = _LEFT + at * _WIDTH
    return f'<path class="mark" d="M{x:.1f},{top + _HEIGHT - 8} v8"/>'


def _line(top, points, index):
    places = (f"{_LEFT + x * _WIDTH:.1f},{top + _HEIGHT * (1 - y):.1f}" for x, y in points)
    return f'<polyline class="line l{index}" points="{" ".join(places)}"/>'
