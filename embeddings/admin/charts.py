"""Charts as inline SVG: plots that stretch to the width there is, with labels in HTML that do not.

No styles in attributes and no scripts, for strict content security policies; colours are classes of overview.css.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# The units of a plot's own coordinates; what is drawn is stretched to the place there is.
WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Series:
    """A line, or a layer of bars: one value a time, None where there is none."""

    name: str
    values: Sequence[float | None]
    # The class that colours it.
    tone: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar."""

    name: str
    count: int
    tone: str


def bars(series: Sequence[Series], times: Sequence[datetime], *, title: str, unit: str) -> SafeString:
    """Bars of stacked layers, one a time; `unit` goes with the figures, "" for counts."""
    totals = [sum(one.values[index] or 0.0 for one in series) for index in range(len(times))]
    top = ceiling(max(totals, default=0.0))
    step = WIDTH / max(len(times), 1)
    heights = [0.0] * len(times)
    rectangles = []
    for one in series:
        for index, value in enumerate(one.values):
            if value:
                height = HEIGHT * value / top
                heights[index] += height
                place = (index * step + step * 0.1, HEIGHT - heights[index], step * 0.8, height)
                rectangles.append((*map(_short, place), one.tone))
    rectangle = '<rect x="{}" y="{}" width="{}" height="{}" class="embeddings-fill-{}"></rect>'
    return _framed(format_html_join("", rectangle, rectangles), series, times, top, title=title, unit=unit)


def lines(series: Sequence[Series], times: Sequence[datetime], *, title: str, unit: str) -> SafeString:
    """Lines over time, with gaps where there is no value; a value without neighbours is a short dash."""
    top = ceiling(max((value for one in series for value in one.values if value is not None), default=0.0))
    paths = ((one.tone, _path(one.values, top)) for one in series)
    drawn = format_html_join("", '<path class="embeddings-line-{}" d="{}"></path>', paths)
    return _framed(drawn, series, times, top, title=title, unit=unit)


def parted(parts: Sequence[Part], *, title: str) -> SafeString:
    """One bar of several parts; each part that is there is wide enough to be seen."""
    shown = [part for part in parts if part.count]
    total = sum(part.count for part in shown)
    widths = [max(WIDTH * part.count / total, 4.0) for part in shown]
    scale = WIDTH / sum(widths) if widths else 1.0
    rectangles, x = [], 0.0
    for part, width in zip(shown, widths, strict=True):
        rectangles.append((_short(x), _short(width * scale), part.tone))
        x += width * scale
    drawn = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="10" class="embeddings-fill-{}"></rect>', rectangles
    )
    said = ", ".join(f"{part.count:,} {part.name}" for part in shown) or "nothing"
    return format_html(
        '<svg class="embeddings-parts" viewBox="0 0 {} 10" preserveAspectRatio="none" role="img" aria-label="{}: {}">'
        "{}</svg>",
        WIDTH,
        title,
        said,
        drawn,
    )


def table(series: Sequence[Series], times: Sequence[datetime], *, title: str, unit: str) -> SafeString:
    """The figures of a chart, the latest first."""
    heads = format_html_join("", '<th scope="col">{}</th>', ((one.name,) for one in series))
    rows = [
        (clock(time), format_html_join("", "<td>{}</td>", ((figure(one.values[index], unit),) for one in series)))
        for index, time in enumerate(times)
    ]
    return format_html(
        '<div class="embeddings-wide" tabindex="0" role="region" aria-label="{}"><table><thead><tr>'
        '<th scope="col">time</th>{}</tr></thead><tbody>{}</tbody></table></div>',
        title,
        heads,
        format_html_join("", '<tr><th scope="row">{}</th>{}</tr>', reversed(rows)),
    )


def ceiling(value: float) -> float:
    """The next round number that is not less: 1, 2 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value), 10 * power)


def figure(value: float | None, unit: str) -> str:
    """A value with its unit, as short as can be: "1,200", "0.35 s", "-" for none."""
    if value is None:
        return "-"
    if unit == "s":
        return f"{value:,.0f} s" if value >= 10 else f"{_short(value, 2)} s"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else _short(value, 1)


def _framed(
    drawn: SafeString, series: Sequence[Series], times: Sequence[datetime], top: float, *, title: str, unit: str
) -> SafeString:
    grid = format_html_join(
        "", '<path class="embeddings-grid" d="M0 {}H{}"></path>', ((y, WIDTH) for y in (0, HEIGHT // 2, HEIGHT))
    )
    labels = [figure(value, unit) for value in (top, top / 2, 0.0)]
    return format_html(
        '<div class="embeddings-chart"><div class="embeddings-y" aria-hidden="true">{}</div>'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}. {}">'
        "<title>{}</title><desc>{}</desc>{}{}</svg>"
        '<div class="embeddings-x" aria-hidden="true">{}</div></div>',
        format_html_join("", "<span>{}</span>", ((label,) for label in labels)),
        WIDTH,
        HEIGHT,
        title,
        described(series, unit),
        title,
        described(series, unit),
        grid,
        drawn,
        format_html_join("", "<span>{}</span>", ((label,) for label in _ends(times))),
    )


def described(series: Sequence[Series], unit: str) -> str:
    """What a chart shows, in words: the highest and the latest value of each series."""
    said = []
    for one in series:
        values = [value for value in one.values if value is not None]
        if values:
            said.append(f"{one.name}: at most {figure(max(values), unit)}, last {figure(values[-1], unit)}")
    return f"{'; '.join(said)}." if said else "Nothing in this time."


def _path(values: Sequence[float | None], top: float) -> str:
    step = WIDTH / max(len(values), 1)
    commands, is_drawing = [], False
    for index, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        y = _short(HEIGHT - HEIGHT * value / top)
        if not is_drawing:
            commands.append(f"M{_short(index * step)} {y}")
        commands.append(f"H{_short((index + 1) * step)}" if not is_drawing else f"L{_short((index + 1) * step)} {y}")
        is_drawing = True
    return "".join(commands)


def clock(moment: datetime) -> str:
    """The time of day, as the reader writes it."""
    return date_format(timezone.localtime(moment), "TIME_FORMAT")


def _ends(times: Sequence[datetime]) -> list[str]:
    """The first, the middle and the last time."""
    shown = [times[0], times[len(times) // 2], times[-1]] if len(times) > 2 else times
    return [clock(time) for time in shown]


def _short(value: float, digits: int = 1) -> str:
    """Without zeros at the end."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if value else "0"
