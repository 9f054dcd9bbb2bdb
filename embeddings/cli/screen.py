"""What people see: lines and tables, with colours on a terminal only, and questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

# Where no terminal has a width, no line is broken.
_WIDE = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line, with a style of rich's: "bold red"."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. The name of a column of numbers begins with ">"."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""


Block = str | Line | Table


class Screen:
    """The terminal or the pipe of one run; silent where a program reads one JSON document."""

    def __init__(self, out: TextIO, err: TextIO, *, is_json: bool = False, has_colour: bool = True) -> None:
        self.out, self.err = out, err
        self.is_json = is_json
        self._has_colour = has_colour and not os.environ.get("NO_COLOR")

    @property
    def is_interactive(self) -> bool:
        """Whether somebody can be asked."""
        return not self.is_json and sys.stdin is not None and sys.stdin.isatty()

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches."""
        return not self.is_json and self.out.isatty()

    def show(self, blocks: Sequence[Block]) -> None:
        if blocks and not self.is_json:
            self.out.write("".join(self._rendered(block) for block in blocks))

    def ask(self, question: str) -> bool:
        """Whether the answer is yes."""
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @contextmanager
    def progress(self, verb: str) -> Iterator[Callable[[int, int | None], None]]:
        """A bar on a terminal, to be told (done, total or None); silence elsewhere."""
        columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        is_hidden = self.is_json or not console.is_terminal
        with Progress(*columns, console=console, disable=is_hidden, transient=True) as progress:
            bar = progress.add_task(verb, total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total)

    def _rendered(self, block: Block) -> str:
        is_terminal = self.out.isatty()
        console = Console(
            file=StringIO(),
            force_terminal=is_terminal,
            color_system="standard" if is_terminal and self._has_colour else None,
            width=None if is_terminal else _WIDE,
            highlight=False,
        )
        with console.capture() as captured:
            match block:
                case Table():
                    if block.title:
                        console.print(Text(plain(block.title if block.rows else f"{block.title}: none"), style="bold"))
                    if block.rows:
                        console.print(_made(block))
                case Line():
                    console.print(Text(plain(block.text), style=block.style), soft_wrap=True)
                case _:  # What is broken by the terminal itself can be copied as one line.
                    console.print(Text(plain(block)), soft_wrap=True)
        return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def plain(value: object) -> str:
    """As one line of text, without what could steer a terminal: some of it was said by providers."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def _made(table: Table) -> RichTable:
    """Where the terminal is narrow, the last column is broken first: there are the sentences."""
    is_named = any(column.removeprefix(">") for column in table.columns)
    made = RichTable(show_header=is_named, header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(table.columns, start=1):
        made.add_column(
            Text(column.removeprefix(">")),
            justify="right" if column.startswith(">") else "left",
            no_wrap=number < len(table.columns),
            overflow="fold",
        )
    for row in table.rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made
