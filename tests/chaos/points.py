"""The named points in a worker process, and the end that may wait there."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.chaos.permits import PLANTED, Kill, Permit, Permits

# A request is killed so long after it was sent; the stage's provider takes longer to answer.
IN_FLIGHT_SECONDS = (0.005, 0.04)


class Points:
    """What the parent makes before it forks, and its children inherit."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._permits = Permits(folder)
        self._worker = worker
        self._parent = os.getpid()

    def reached(self, point: str) -> None:
        """Die here if there is a permit for it."""
        if permit := self._permits.take(point):
            self._carry_out(permit)

    @contextmanager
    def under_way(self, point: str) -> Iterator[None]:
        """Die some milliseconds into the block if there is a permit; given back when the block is too short."""
        permit = self._permits.take(point)
        if permit is None:
            yield
            return
        timer = threading.Timer(random.uniform(*IN_FLIGHT_SECONDS), self._carry_out, [permit])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if not permit.path.stat().st_size:
                permit.give_back(self._permits.open)

    def die_of_text(self) -> None:
        self._permits.note(Kill(PLANTED, "child", self._worker, time.time()))
        os.kill(os.getpid(), signal.SIGKILL)

    def _carry_out(self, permit: Permit) -> None:
        pids = self._victims(permit.victim)
        permit.use(self._worker, permit.victim if self._parent in pids else "child")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def _victims(self, victim: str) -> list[int]:
        """A parent that is dead already cannot die again: then it is the child's turn."""
        child, is_parent_alive = os.getpid(), self._parent in {os.getpid(), os.getppid()}
        if victim == "child" or not is_parent_alive:
            return [child]
        return [self._parent] if victim == "parent" else [self._parent, child]


def after(module: ModuleType, name: str, then: Callable[[Any], None]) -> None:
    """Let `then` see what a function of the product returns, each time, before its caller does."""
    function = getattr(module, name)

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        then(result)
        return result

    setattr(module, name, watched)
