"""Measure two things in turns, so that what slows the machine down for a while slows both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turns(first: Callable[[], T], second: Callable[[], T], rounds: int) -> tuple[list[T], list[T]]:
    """The figures of `rounds` rounds; each begins with the one that ended the last."""
    firsts, seconds = all_in_turns([first, second], rounds)
    return firsts, seconds


def all_in_turns(measures: Sequence[Callable[[], T]], rounds: int) -> list[list[T]]:
    """The same for more than two: a list of figures for each."""
    figures: list[list[T]] = [[] for _ in measures]
    for number in range(rounds):
        order = list(zip(measures, figures, strict=True))
        for measure, values in order if number % 2 == 0 else reversed(order):
            values.append(measure())
    return figures


def seconds_of(function: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: the least of the values that `share` of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
