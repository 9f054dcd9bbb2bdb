"""What was done in the last hour or day, from the rows of each minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, reduce
from typing import Any

from django.db import connections

from embeddings import conf, histogram, sql


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of durations, in seconds; at most twice and at least half the true ones (`embeddings.histogram`)."""

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
    """Tasks (of all targets, or of one), or requests to one provider, over some time, mostly up to now."""

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


def task_traffic(*, hours: float = 1.0, points: int = 60, target: str = "", until: datetime | None = None) -> Traffic:
    """The tasks of all targets, or of one ("content.article.embedding"), that came to an end.

    `until` is in the last minute of it, here and below; None for now.
    """
    condition = "target = %(name)s" if target else "true"
    return _traffic("embeddings_targetminute", _TASKS, "waiting", condition, target, hours, points, until)


def provider_traffic(alias: str, *, hours: float = 1.0, points: int = 60, until: datetime | None = None) -> Traffic:
    """The requests to one provider, of workers, searches and all others. `completed` and `failed` count requests."""
    condition = "provider = %(name)s"
    return _traffic("embeddings_providerminute", _REQUESTS, "latency", condition, alias, hours, points, until)


def recent_speed() -> float:
    """Tasks that came to an end a second, over the last minute."""
    ((speed,),) = _rows(sql.load("recent_speed"), {})
    return float(speed)


# What is added up as completed, failed, rate_limited, inputs, tokens and cost.
_NAMES = ("completed", "failed", "rate_limited", "inputs", "tokens", "cost")
_TASKS = ("completed", "failed", "0", "0", "0", "0")
_REQUESTS = ("requests - failed", "failed", "rate_limited", "inputs", "tokens", "cost")
_SHARES = (0.5, 0.95, 0.99)


def _traffic(
    table: str,
    columns: Sequence[str],
    durations: str,
    condition: str,
    name: str,
    hours: float,
    points: int,
    until: datetime | None,
) -> Traffic:
    minutes = max(round(hours * 60), 1)
    points = max(min(points, minutes), 1)
    statement = _statement(table, tuple(columns), durations, condition)
    step = minutes * 60 / points
    rows = _rows(statement, {"points": points, "step": step, "name": name, "until": until})
    made = [
        Point(start, int(completed or 0), int(failed or 0), _percentiles(counts))
        for start, completed, failed, *_, counts in rows
    ]
    sums = [sum(column or 0 for column in columns) for columns in zip(*(row[1:-1] for row in rows), strict=True)]
    completed, failed, rate_limited, inputs, tokens = map(int, sums[:-1])
    together = _percentiles(reduce(histogram.merge, (counts or [] for *_, counts in rows)))
    return Traffic(made, step, completed, failed, rate_limited, inputs, tokens, float(sums[-1]), together)


@cache
def _statement(table: str, columns: tuple[str, ...], durations: str, condition: str) -> str:
    sums = [f"sum({column}) AS {name}" for column, name in zip(columns, _NAMES, strict=True)]
    # As floats, which are exact up to 2**53: the sum of a bigint is a numeric, and slow.
    places = ", ".join(
        f"coalesce(sum({durations}[{place}]::float8), 0)::bigint" for place in range(1, histogram.SIZE + 1)
    )
    return sql.load("traffic").format(
        table=table, condition=condition, sums=", ".join([*sums, f"ARRAY[{places}] AS durations"])
    )


def _rows(statement: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections[conf.current().databases[0]].cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def _percentiles(counts: Sequence[int] | None) -> Percentiles | None:
    found = histogram.percentiles(counts or (), *_SHARES)
    return Percentiles(*found) if found else None
