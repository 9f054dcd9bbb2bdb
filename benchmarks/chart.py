"""The table as a picture: a bar a row, from 1 to the ratio, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.row import Row, shown

WIDTH = 1100
LABELS = 620
# Of a label.
CHARACTERS = 92
LINE = 22
MARGIN = 24
# A ratio of 0 has no place on the scale.
LEAST = 0.001
STYLE = """
.paper { fill: #fff; }
text { font: 12px system-ui, sans-serif; fill: #1f2933; }
.topic { font-weight: 600; }
.bar { fill: #417690; } .missed { fill: #ba2121; }
.spread, .goal, .one { stroke: #1f2933; } .goal { stroke-width: 2; stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #121212; } text { fill: #eee; }
  .bar { fill: #79aec8; } .missed { fill: #e35f5f; } .spread, .goal, .one { stroke: #eee; }
}"""


def draw(rows: Sequence[Row]) -> str:
    """An SVG of the rows, by topic. A dashed line is the ratio that is the row's goal, a thin one the spread."""
    lines = _lines(rows)
    height = 2 * MARGIN + LINE * len(lines)
    ends = [max(value, LEAST) for row in rows for value in (*row.spread, 1.0)]
    low, high = (math.log10(value) for value in (min(ends), max(ends)))

    def x(ratio: float) -> float:
        return LABELS + (math.log10(max(ratio, LEAST)) - low) / (high - low or 1) * (WIDTH - LABELS - 110)

    drawn = [part for number, line in enumerate(lines) for part in _draw(line, MARGIN + LINE * number, x)]
    paper = '<rect class="paper" width="100%" height="100%"/>'
    one = f'<line class="one" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{MARGIN}" y2="{height - MARGIN}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
    style = f"<style>{STYLE}</style>"
    return "\n".join([f'{head} aria-label="Ratios of the benchmarks">', style, paper, one, *drawn, "</svg>\n"])


def _lines(rows: Sequence[Row]) -> list[str | Row]:
    """The rows, each topic's name before its first."""
    lines: list[str | Row] = []
    for number, row in enumerate(rows):
        if number == 0 or rows[number - 1].topic != row.topic:
            lines.append(row.topic)
        lines.append(row)
    return lines


def _draw(line: str | Row, top: int, x) -> Iterator[str]:  # type: ignore[no-untyped-def]
    if isinstance(line, str):
        yield f'<text class="topic" x="{MARGIN}" y="{top + 15}">{escape(line)}</text>'
        return
    left, right = sorted((x(1.0), x(line.ratio)))
    middle = top + LINE / 2
    name = "bar" if line.is_met else "bar missed"
    label = _label(line)
    short = label if len(label) <= CHARACTERS else f"{label[: CHARACTERS - 1]}…"
    yield f'<text x="{MARGIN + 12}" y="{top + 15}"><title>{escape(label)}</title>{escape(short)}</text>'
    yield f'<rect class="{name}" x="{left:.1f}" y="{top + 4}" width="{max(right - left, 1):.1f}" height="{LINE - 8}"/>'
    low, high = line.spread
    yield f'<line class="spread" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{middle}" y2="{middle}"/>'
    for limit in (line.ratio_at_least, line.ratio_at_most):
        if limit is not None:
            yield f'<line class="goal" x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="{top + 2}" y2="{top + LINE - 2}"/>'
    end = max(x(high), right)
    yield f'<text x="{end + 6:.1f}" y="{top + 15}">{escape(shown(line.ratio))} times</text>'


def _label(row: Row) -> str:
    """What was measured, of what beside what."""
    return row.what if " : " in row.what else f"{row.what} ({row.ours.label} : {row.theirs.label})"
