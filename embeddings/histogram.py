"""Durations as counts in buckets: small, added up without loss, and good enough for percentiles.

The buckets double in width: up to 0.01 s, 0.02 s, 0.04 s and so on; the last has no end. What is read from them is in
the same bucket as the true value, so at most twice it and at least half of it, from 0.01 s to 2.9 hours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, zip_longest

SIZE = 22
# The longest duration, in seconds, of each bucket but the last.
BOUNDS = [0.01 * 2**number for number in range(SIZE - 1)]


def empty() -> list[int]:
    """The counts of no durations."""
    return [0] * SIZE


def add(counts: list[int], seconds: float) -> None:
    """Count a duration; a negative one, after a clock was set back, as none at all."""
    counts[bisect_left(BOUNDS, seconds)] += 1


def merge(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """The counts of both. An empty sequence holds no durations."""
    return [one + other for one, other in zip_longest(first, second, fillvalue=0)]


def percentiles(counts: Sequence[int], *shares: float) -> tuple[float, ...] | None:
    """The seconds that these shares (0.95: 95 %) of the durations do not exceed; None where there are none."""
    total = sum(counts)
    return tuple(_percentile(counts, total * share) for share in shares) if total else None


def _percentile(counts: Sequence[int], rank: float) -> float:
    """The duration of a rank, as if those of one bucket lay evenly in it."""
    reached = list(accumulate(counts))
    number = bisect_left(reached, rank)
    while not counts[number]:  # The lowest of them all: the first buckets may be empty.
        number += 1
    before = reached[number] - counts[number]
    low = BOUNDS[number - 1] if number else 0.0
    high = BOUNDS[number] if number < len(BOUNDS) else 2 * low
    return low + (high - low) * (rank - before) / counts[number]
