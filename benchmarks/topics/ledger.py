"""The ledger's statements at 1,000,000 tasks that wait: beside the same at 10,000, and beside a queue by hand.

Each is called as a worker calls it, on one connection, in batches of 500; what the caller prepares is not timed. No
text is read and no provider asked. Each task is claimed once. Autovacuum works meanwhile, as it does anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from django.db import connections

from benchmarks import copies
from benchmarks.backlog import BATCH, Backlog, vectors
from benchmarks.baselines.queue import RawQueue
from benchmarks.rounds import in_turns, seconds_of
from benchmarks.row import Row, Side
from benchmarks.scale import Scale

DEEP, SHALLOW, HELD = "default", "shallow", "held"


def measure(scale: Scale) -> Iterator[Row]:
    tasks, few = scale.of(1_000_000, 200_000, 9_000), scale.of(10_000, 10_000, 3_000)
    rounds = scale.of(15, 9, 2)
    deep, shallow, held = (Backlog(using) for using in (DEEP, SHALLOW, HELD))
    pages = (rounds + 1) * BATCH
    copies.copy(SHALLOW)
    deep.fill(tasks, pages=pages)
    copies.copy(HELD)
    shallow.fill(few, pages=0)
    raw = RawQueue(os.environ["DATABASE_URL"])
    raw.fill(tasks, pages=pages)
    yield _settling(deep, raw, rounds)
    yield from _growth(deep, shallow, rounds, f"{tasks:,}", f"{few:,}")
    yield _claiming(deep, raw, rounds, f"{tasks:,}")
    yield _turning(deep, raw, rounds, scale.of(20, 10, 1), f"{tasks:,}")
    yield _holding(deep, held, rounds, scale.of(100, 40, 1), f"{tasks:,}")


def _growth(deep: Backlog, shallow: Backlog, rounds: int, many: str, few: str) -> Iterator[Row]:
    steps = {
        f"claim of {BATCH}": (deep.claim_seconds, shallow.claim_seconds, 2.0),
        f"end of {BATCH} without vectors: locks, statuses, attempts": (deep.end_seconds, shallow.end_seconds, None),
        "request: the ledger's statement in a save": (deep.request_seconds, shallow.request_seconds, None),
    }
    for step, (at_many, at_few, limit) in steps.items():
        what = f"{step}, {many} tasks wait : {few}"
        yield _row(what, (many, at_many), (few, at_few), rounds, ratio_at_most=limit)


def _claiming(deep: Backlog, raw: RawQueue, rounds: int, many: str) -> Row:
    def by_hand() -> float:
        claimed: list[tuple[int, int]] = []
        seconds = seconds_of(lambda: claimed.extend(raw.claim(BATCH)))
        raw.end(claimed)
        return seconds

    return _row(f"claim of {BATCH} of {many} : by hand", ("ours", deep.claim_seconds), ("raw SQL", by_hand), rounds)


def _settling(deep: Backlog, raw: RawQueue, rounds: int) -> Row:
    def by_hand() -> float:
        claimed = raw.claim(BATCH)
        return seconds_of(lambda: raw.settle(claimed, vectors(BATCH)))

    what = f"settle of {BATCH} with vectors of 256 dimensions : by hand, which compares nothing and keeps no attempts"
    return _row(what, ("ours", deep.settle_seconds), ("raw SQL", by_hand), rounds)


def _turning(deep: Backlog, raw: RawQueue, rounds: int, batches: int, many: str) -> Row:
    """Tasks a second."""

    def ours() -> float:
        return BATCH * batches / seconds_of(lambda: deep.turn(batches))

    def by_hand() -> float:
        return BATCH * batches / seconds_of(lambda: [raw.end(raw.claim(BATCH)) for _ in range(batches)])

    what = f"the ledger alone: claim and end, without vectors, one client, {many} tasks wait : by hand"
    return _row(what, ("ours", ours), ("raw SQL", by_hand), rounds, unit="tasks/s", ours_at_least=15_000)


def _holding(deep: Backlog, held: Backlog, rounds: int, batches: int, many: str) -> Row:
    """What is ended while a transaction is open that began before stays in the index until that is over."""
    with _old_snapshot(HELD):
        for one in (held, deep):
            one.turn(batches)
        what = (
            f"claim of {BATCH} of {many}, a snapshot open while {BATCH * batches:,} were claimed and ended : none open"
        )
        sides = ("a snapshot is open", held.claim_seconds), ("none", deep.claim_seconds)
        return _row(what, *sides, rounds)


@contextmanager
def _old_snapshot(using: str) -> Iterator[None]:
    parameters = connections[using].get_connection_params()
    names = ("dbname", "host", "port", "user")
    with psycopg.connect(**{name: parameters[name] for name in names if name in parameters}) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT 1 FROM embeddings_embeddingtask LIMIT 1")
        yield


Figure = tuple[str, Callable[[], float]]


def _row(what: str, ours: Figure, theirs: Figure, rounds: int, *, unit: str = "ms", **goals: float | None) -> Row:
    """Both are warmed up. What is timed in seconds is shown in milliseconds."""
    for _, figure in (ours, theirs):
        figure()
    taken = in_turns(ours[1], theirs[1], rounds)
    sides = (Side(label, _shown(values, unit)) for (label, _), values in zip((ours, theirs), taken, strict=True))
    return Row("ledger", what, unit, *sides, **goals)


def _shown(values: Sequence[float], unit: str) -> tuple[float, ...]:
    return tuple(1000 * value if unit == "ms" else value for value in values)
