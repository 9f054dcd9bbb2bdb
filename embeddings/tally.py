"""What this process has done since it last wrote it down, in memory: counts and durations a target and a provider.

A process that is killed takes with it what it has not handed over (`embeddings.metrics`).
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from embeddings import histogram

# Of a target: its database, its content type's id and its field.
TargetKey = tuple[str, int, str]


@dataclass(slots=True)
class Counts:
    """Numbers by the names of their columns, a cost, and durations in the buckets of `histogram`."""

    numbers: Counter[str] = field(default_factory=Counter)
    dollars: float = 0.0
    durations: list[int] = field(default_factory=histogram.empty)
    # Of all durations.
    seconds: float = 0.0

    def add(self, other: Counts) -> None:
        self.numbers.update(other.numbers)
        self.dollars += other.dollars
        self.durations = histogram.merge(self.durations, other.durations)
        self.seconds += other.seconds

    def add_duration(self, seconds: float) -> None:
        histogram.add(self.durations, seconds)
        self.seconds += max(seconds, 0.0)


@dataclass(slots=True)
class Tally:
    """Counts that are not written down yet, of targets and of providers by alias."""

    targets: defaultdict[TargetKey, Counts] = field(default_factory=lambda: defaultdict(Counts))
    providers: defaultdict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))

    def __bool__(self) -> bool:
        return bool(self.targets or self.providers)


_tally = Tally()
# Web processes have threads.
_lock = threading.Lock()


def completed(using: str, ended: Iterable[tuple[int, str, float]]) -> None:
    """Tasks that are done, as (content type's id, field, seconds since the request)."""
    with _lock:
        for content_type_id, name, seconds in ended:
            counts = _tally.targets[using, content_type_id, name]
            counts.numbers["completed"] += 1
            counts.add_duration(seconds)


def failed(using: str, ended: Iterable[tuple[int, str, bool]]) -> None:
    """Attempts that failed, as (content type's id, field, whether the task failed with it)."""
    with _lock:
        for content_type_id, name, is_final in ended:
            counts = _tally.targets[using, content_type_id, name]
            counts.numbers.update(attempts_failed=1, failed=is_final)


def called(alias: str, *, inputs: int, tokens: int, cost: float, seconds: float, outcome: str) -> None:
    """A request to a provider. `outcome` is "ok" or the kind of error; `cost` is US dollars."""
    is_ok = outcome == "ok"
    with _lock:
        counts = _tally.providers[alias]
        counts.numbers.update(
            requests=1, failed=not is_ok, rate_limited=outcome == "rate_limit", inputs=inputs, tokens=tokens
        )
        counts.dollars += cost
        if is_ok:
            counts.add_duration(seconds)


def take() -> Tally:
    """All that has been counted; counting begins anew."""
    global _tally
    with _lock:
        taken, _tally = _tally, Tally()
    return taken


def put_back(taken: Tally) -> None:
    """Count again what could not be written down."""
    with _lock:
        for target, counts in taken.targets.items():
            _tally.targets[target].add(counts)
        for alias, counts in taken.providers.items():
            _tally.providers[alias].add(counts)


def _forget() -> None:
    """A child would count once more what its parent has counted; the lock may be another thread's."""
    global _tally, _lock
    _tally, _lock = Tally(), threading.Lock()


os.register_at_fork(after_in_child=_forget)
