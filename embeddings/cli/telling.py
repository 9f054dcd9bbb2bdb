"""What a long command says of itself while it runs."""

from __future__ import annotations

import time
from types import TracebackType

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.status import Status

# Where nobody watches, in a log, the state is a line from time to time.
LINE_SECONDS = 10.0


class Teller:
    """Sentences that stay, and one line about the present state: on a terminal it changes in its place."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._console = Console(stderr=True)
        self._status: Status | None = None
        self._shown = ""
        self._shown_at = time.monotonic()

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._clear()

    def say(self, sentence: str) -> None:
        """Something has happened."""
        self._clear()
        self._out.write(f"{sentence}\n")
        self._out.flush()

    def show(self, state: str) -> None:
        """How far it is."""
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status("")
                self._status.start()
            self._status.update(state)
        elif state != self._shown and time.monotonic() - self._shown_at >= LINE_SECONDS:
            self._shown, self._shown_at = state, time.monotonic()
            self.say(state)

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
