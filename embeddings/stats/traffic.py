"""What was done in the last hour or day, from the rows of each minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of durations, in seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Point:
    """One interval of a chart."""

    start: datetime
    # Tasks that came to an end; requests and tokens of providers.
    completed: int = 0
    failed: int = 0
    # Of the time from request to vector, or of a provider's answers; None where there was nothing.
    percentiles: Percentiles | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Tasks (of all targets, or of one), or requests to one provider, over some time up to now."""

    # Without gaps, the earliest first.
    points: list[Point]
    interval_seconds: float
    completed: int = 0
    failed: int = 0
    rate_limited: int = 0
    inputs: int = 0
    tokens: int = 0
    cost: float = 0.0
    percentiles: Percentiles | None = None


def task_traffic(*, hours: float = 1.0, points: int = 60, target: str = "") -> Traffic:
    raise NotImplementedError


def provider_traffic(alias: str, *, hours: float = 1.0, points: int = 60) -> Traffic:
    """`completed` and `failed` count requests."""
    raise NotImplementedError


def recent_speed() -> float:
    """Tasks that came to an end a second, over the last minute."""
    raise NotImplementedError
