"""Shows how the vectors fill: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

WAITING = ("pending", "scheduled", "rate_limited", "processing")
DONE = ("completed", "empty")
LINE_SECONDS = 2.0


class VectorProgress:
    """Give it the number of tasks by status again and again; it says when the last one is done."""

    def __init__(self, console: Console) -> None:
        self.finished = False
        self._console = console
        self._bar = Progress(
            TextColumn("Vectors"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("vectors", total=None)
        self._next_line_at = 0.0

    def update(self, counts: dict[str, int]) -> None:
        waiting = sum(counts.get(status, 0) for status in WAITING)
        done = sum(counts.get(status, 0) for status in DONE)
        if waiting:
            self._show(done, done + waiting)
        else:
            self.close()
            self.finished = True
            self._console.print(_summary(done, counts.get("failed", 0)), highlight=False)

    def close(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def _show(self, done: int, total: int) -> None:
        if self._console.is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() >= self._next_line_at:
            self._console.print(f"Vectors: {done:,} of {total:,}", highlight=False)
            self._next_line_at = time.monotonic() + LINE_SECONDS


def _summary(done: int, failed: int) -> str:
    sentence = f"All {done:,} vectors are there."
    return f"{sentence} {failed:,} more tasks have failed: the admin says why." if failed else sentence
