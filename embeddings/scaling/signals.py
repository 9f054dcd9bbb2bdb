"""Signals as messages: read one after the other by the loop that waits for them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any


class Interrupted(Exception):
    """A signal came during something that must not be waited for."""


class Inbox:
    """The signals that came since the last look. To be made in the main thread; `close` puts all back as it was."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._received: deque[signal.Signals] = deque()
        self._may_interrupt = False
        self._readable, self._writable = os.pipe()
        for end in (self._readable, self._writable):
            os.set_blocking(end, False)
        # A byte for each signal, so that a wait that has just begun ends too.
        self._wakeup_before = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        self._before: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._receive) for number in {*numbers, signal.SIGCHLD}
        }

    def wait(self, seconds: float) -> list[signal.Signals]:
        """The signals that came; waits for one, at most so long. The end of a child ends the wait as well."""
        if not self._received:
            select.select([self._readable], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._readable, 4096)
        received = []
        while self._received:
            received.append(self._received.popleft())
        return received

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal break off what is done in the block, with Interrupted: a server may keep it waiting."""
        try:
            self._may_interrupt = not self._received
            if self._received:
                raise Interrupted
            yield
        finally:
            self._may_interrupt = False

    def close(self) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._readable)
        os.close(self._writable)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGCHLD:
            return
        self._received.append(signal.Signals(number))
        if self._may_interrupt:
            self._may_interrupt = False
            raise Interrupted
