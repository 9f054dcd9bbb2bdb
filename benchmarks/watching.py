"""What is looked at again and again beside a benchmark, in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
from django.db import connection

# Connections of others to this database: how many do something or have a transaction open, and all.
_CONNECTIONS = """
    SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
MEGABYTE = 1_000_000


@dataclass(slots=True)
class Seen:
    """(moment of the monotonic clock, figures) of each look."""

    looks: list[tuple[float, tuple[float, ...]]] = field(default_factory=list)

    def peaks(self, since: float = float("-inf"), until: float = float("inf")) -> tuple[float, ...]:
        """The highest of each figure within that time, what was seen last before it included."""
        before = [figures for moment, figures in self.looks if moment < since][-1:]
        within = [figures for moment, figures in self.looks if since <= moment <= until]
        return tuple(max(each) for each in zip(*before, *within, strict=True))


@contextlib.contextmanager
def watched(look: Callable[[], tuple[float, ...]], seconds: float) -> Iterator[Seen]:
    """Look every so many seconds while the block runs, on a database connection of its own if `look` takes one."""
    seen, over = Seen(), threading.Event()

    def go_on() -> None:
        is_last = False
        while not is_last:
            is_last = over.wait(seconds)
            seen.looks.append((time.monotonic(), look()))
        connection.close()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def memory(*pids: int) -> tuple[float, ...]:
    """Megabytes that each process has resident with all that come of it; what they share counts for each of them."""
    return tuple(sum(_resident(each) for each in _family(pid)) / MEGABYTE for pid in pids)


def _family(pid: int) -> list[psutil.Process]:
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):  # it ended since
        return process.memory_info().rss
    return 0


def connections() -> tuple[float, ...]:
    """Connections to the database that are in use, and all, but for the one that asks."""
    with connection.cursor() as cursor:
        cursor.execute(_CONNECTIONS)
        return cursor.fetchone()
