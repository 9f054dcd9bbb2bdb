"""Measure two things in turns, so that what slows the machine down for a while slows both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turns(first: Callable[[], T], second: Callable[[], T], rounds: int) -> tuple[list[T], list[T]]:
    """The figures of `rounds` rounds; each begins with the one that ended the last."""
    firsts: list[T] = []
    seconds: list[T] = []
    for number in range(rounds):
        order = [(first, firsts), (second, seconds)]
        for measure, figures in order if number % 2 == 0 else reversed(order):
            figures.append(measure())
    return firsts, seconds


def seconds_of(function: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: the least of the values that `share` of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
