"""The rows as people read them: a table on the terminal, and the same in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.row import Row, shown

HEADINGS = ("measured", "ours", "beside it", "ratio", "goal")
# Where it is not a terminal.
COLUMNS = 160


def print_rows(rows: Sequence[Row]) -> None:
    """To stdout, by topic."""
    console = Console() if Console().is_terminal else Console(width=COLUMNS)
    table = Table(*HEADINGS)
    for topic in dict.fromkeys(row.topic for row in rows):
        table.add_section()
        table.add_row(f"[bold]{topic}")
        for row in rows:
            if row.topic == topic:
                table.add_row(*_cells(row), style="" if row.is_met else "red")
    console.print(table)


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Its lines."""
    for topic in dict.fromkeys(row.topic for row in rows):
        yield from ("", f"## {topic.capitalize()}", "")
        yield from (_line(HEADINGS), _line("---" for _ in HEADINGS))
        yield from (_line(_cells(row)) for row in rows if row.topic == topic)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.spread
    goal = f"{row.goal}: {'met' if row.is_met else 'missed'}" if row.goal else ""
    sides = (f"{side.label}: {shown(side.median)} {row.unit}" for side in (row.ours, row.theirs))
    return (row.what, *sides, f"{shown(row.ratio)} ({shown(low)} to {shown(high)})", goal)
