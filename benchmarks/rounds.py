"""Measure two things in turns, so that what slows the machine down for a while slows both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence


def in_turns(first: Callable[[], float], second: Callable[[], float], rounds: int) -> tuple[list[float], list[float]]:
    """The figures of `rounds` rounds; each begins with the one that ended the last."""
    firsts, seconds = all_in_turns([first, second], rounds)
    return firsts, seconds


def all_in_turns(measures: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """The same for more than two: a list of figures for each."""
    figures: list[list[float]] = [[] for _ in measures]
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
