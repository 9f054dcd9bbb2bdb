"""Numbers and times as people read them in a terminal."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from embeddings.durations import duration
from embeddings.stats.census import Preview

NONE = "-"
NOT_KNOWN = "not known"


def count(number: int | None, *, is_estimate: bool = False, is_at_least: bool = False) -> str:
    """ "1,200", "about 1,200", "100,000+"."""
    if number is None:
        return NOT_KNOWN
    return f"{'about ' if is_estimate else ''}{number:,}{'+' if is_at_least else ''}"


def tasks(number: int | None, *, is_at_least: bool = False) -> str:
    """ "1 task", "1,200 tasks"."""
    return f"{count(number, is_at_least=is_at_least)} {'task' if number == 1 else 'tasks'}"


def ago(moment: datetime | None) -> str:
    """ "3 min ago"."""
    return NONE if moment is None else f"{duration((timezone.now() - moment).total_seconds())} ago"


def counted(moment: datetime | None) -> str:
    """How old a census is."""
    return "Counted just now." if moment is None else f"Counted {ago(moment)}."


def seconds(value: float | None) -> str:
    """ "12 ms", "1.5 s", "3 min"."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else duration(value)


def price(dollars: float | None) -> str:
    return NOT_KNOWN if dollars is None else f"${dollars:,.4f}"


def cost_of(preview: Preview) -> str:
    """ "It would take about 12,000 tokens, $0.0002."."""
    if preview.tokens is None:
        return "How many tokens it would take is not known."
    more = "+" if preview.is_at_least else ""
    cost = "at a price that is not known" if preview.cost is None else f"{price(preview.cost)}{more}"
    return f"It would take about {preview.tokens:,}{more} tokens, {cost}."


def listed(parts: dict[str, int]) -> str:
    """ "400 failed, 100 cancelled"."""
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in parts.items())


def shortened(text: str, characters: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= characters else f"{line[: characters - 1]}…"
