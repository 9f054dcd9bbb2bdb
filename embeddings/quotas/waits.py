"""How long until something is free again: arithmetic, without a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embeddings.providers.base import Remaining

# Quotas are counted in windows of this length (whole seconds): the present one, and the one before by the part of it
# that is still within the last minute.
WINDOW_SECONDS = 60
# Nobody is sent away for less.
MIN_WAIT_SECONDS = 0.05
# Redis counts time in milliseconds; who comes a millisecond too early would be sent away again.
_TICK_SECONDS = 0.002

# (count of the previous window, seconds until it counts nothing, count of the present window, seconds until *that*
# counts nothing), as the `limits` library tells them.
State = tuple[int, float, int, float]


@dataclass(frozen=True, slots=True)
class Use:
    """So much of a quota: `cost` of the `limit` that a window has; `cost` is at most `limit`."""

    key: str
    limit: int
    cost: int


def per_window(per_minute: int) -> int:
    """What a window has of a minute's quota; at least 1."""
    return max(1, per_minute * WINDOW_SECONDS // 60)


def used(state: State) -> int:
    """How much counts as used now: the previous window's count fades evenly, rounded down."""
    previous, previous_seconds, present, _ = state
    return math.floor(previous * previous_seconds / WINDOW_SECONDS) + present


def seconds_until_free(state: State, limit: int, cost: int) -> float:
    """Seconds until `cost` is free if nobody else takes it; 0.0 if it is free now.

    The previous window's count fades evenly, rounded down: at the end of the present window nothing is left of it.
    """
    previous, previous_seconds, present, present_seconds = state
    free = limit - cost - present
    if free < 0:  # not before the present window is the previous one, and has faded to what then may be used
        rest = max(0.0, present_seconds - WINDOW_SECONDS)
        return rest + WINDOW_SECONDS * (1 - (limit - cost + 1) / present) + _TICK_SECONDS
    if math.floor(previous * previous_seconds / WINDOW_SECONDS) <= free:
        return 0.0
    return max(0.0, previous_seconds - WINDOW_SECONDS * (free + 1) / previous) + _TICK_SECONDS


def when_to_ask_again(waits: list[float]) -> float:
    """The longest of the waits of one request, at least MIN_WAIT_SECONDS."""
    return max(MIN_WAIT_SECONDS, *waits)


def seconds_to_wait(left: Remaining | None, needed: int) -> float:
    """Seconds until `needed` is left of a quota of which the provider said what is left, if it refills evenly.

    0.0 if enough is left, and where the provider said nothing, or nonsense. More than the whole quota is never left:
    who needs it waits for the whole.
    """
    if left is None or not math.isfinite(left.reset_seconds):
        return 0.0
    missing = min(needed, left.limit) - left.left
    if missing <= 0 or left.limit <= left.left:
        return 0.0
    return max(0.0, left.reset_seconds) * (missing / (left.limit - left.left))
