"""How many workers there should be: arithmetic, without a clock, a database or a process."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embeddings.durations import duration

# Fewer workers do if they would end the backlog in this part of the target time: between it and the whole, all stays.
EASY = 0.5
# Up to here times are said in seconds, which can be compared with the target.
COARSE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the operator asks for."""

    fewest: int = 1
    most: int = 8
    # A backlog is to be done in this time.
    target_seconds: float = 60.0
    # More workers than are needed end one by one, each after so long.
    idle_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to do, and who is there to do it."""

    # Tasks that more workers would end sooner, and those that they would not, with the reason ("" for none of these).
    waiting: int = 0
    held: int = 0
    limit: str = ""
    # Whether there are more than were counted.
    is_at_least: bool = False
    # Whether anything else needs a worker: due tasks, an operation, a message.
    has_errand: bool = False
    # Tasks a second that one worker ends.
    per_worker: float = 1.0
    # Workers of this supervisor, those of them that have not begun to work yet, and all other living workers.
    own: int = 0
    starting: int = 0
    others: int = 0
    # For how long there have been more workers than are needed.
    surplus_seconds: float = 0.0

    @property
    def total(self) -> int:
        return self.own + self.others


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers of this supervisor there should be, and why; "" where that is no news."""

    wanted: int
    reason: str = ""
    # Whether there are more than are needed: if it lasts, one ends.
    is_surplus: bool = False


def decide(load: Load, bounds: Bounds) -> Decision:
    """More at once, twice as many at most; fewer one by one, once they have not been needed for long enough."""
    if load.own < bounds.fewest:
        return Decision(bounds.fewest, f"no fewer than {bounds.fewest:,} are to run")
    needed = _needed(load, load.waiting, bounds.target_seconds)
    if needed > load.total:
        return _grow(load, needed, bounds)
    if load.held and _needed(load, load.waiting + load.held, bounds.target_seconds) > load.total:
        return Decision(load.own, f"{_waiting(load.held, load)}, but {load.limit}: more workers would not help")
    if load.own > bounds.fewest and _needed(load, load.waiting, EASY * bounds.target_seconds) < load.total:
        return _shrink(load, bounds)
    return Decision(load.own)


def _needed(load: Load, tasks: int, seconds: float) -> int:
    """How many workers end so many tasks in this time; one for anything at all that a worker may do."""
    least = 1 if tasks or load.has_errand else 0
    return max(least, math.ceil(tasks / (load.per_worker * seconds)))


def _grow(load: Load, needed: int, bounds: Bounds) -> Decision:
    if load.starting:
        return Decision(load.own)  # How much faster it goes with them is not known yet.
    wanted = min(needed - load.others, bounds.most, max(1, 2 * load.own))
    if wanted <= load.own:
        return Decision(load.own, f"{_backlog(load)}, but no more than {bounds.most:,} may run")
    return Decision(wanted, f"{_backlog(load)}, and it is to take {_time(bounds.target_seconds)}")


def _shrink(load: Load, bounds: Bounds) -> Decision:
    if load.surplus_seconds < bounds.idle_seconds:
        return Decision(load.own, is_surplus=True)
    waits = f"only {_waiting(load.waiting, load)}" if load.waiting else "nothing waits"
    reason = f"{waits}, and fewer have been enough for {_time(load.surplus_seconds)}"
    return Decision(load.own - 1, reason, is_surplus=True)


def _backlog(load: Load) -> str:
    """ "12,000 tasks wait, which 2 workers at 95 a second end in 1 min"."""
    if not load.waiting:
        return "there is something to do"
    tasks = _waiting(load.waiting, load)
    if not load.total:
        return f"{tasks}, and no worker is alive"
    speed = f"{load.per_worker:,.0f} a second" if load.per_worker >= 10 else f"{load.per_worker:.1f} a second"
    seconds = load.waiting / (load.per_worker * load.total)
    if load.total == 1:
        return f"{tasks}, which one worker at {speed} ends in about {_time(seconds)}"
    return f"{tasks}, which {load.total:,} workers at {speed} each end in about {_time(seconds)}"


def _waiting(count: int, load: Load) -> str:
    return f"{count:,}{' or more' if load.is_at_least else ''} {'task waits' if count == 1 else 'tasks wait'}"


def _time(seconds: float) -> str:
    """In seconds where minutes would be too coarse to compare."""
    return f"{seconds:,.0f} s" if seconds < COARSE_SECONDS else duration(seconds)
