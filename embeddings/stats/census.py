"""What the ledger holds, from its last census: quick at any size, and a little old."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """All tasks of all databases."""

    # {status: tasks}, all states listed.
    by_status: dict[str, int]
    # Since when the task waits that has waited longest; None where none waits.
    waiting_since: datetime | None = None
    # When they were counted (the oldest count, of several databases); None: now, for this question.
    counted_at: datetime | None = None
    # Whether only a part of a table was read.
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of one target is embedded. The parts add up to `rows`, as far as the counts are of one moment."""

    # "content.article.embedding", and what people call its model.
    target: str
    name: str
    using: str
    rows: int
    # Vectors of the present model; of another model or of an older text (these are searched meanwhile, or asked for).
    embedded: int = 0
    stale: int = 0
    # Rows that wait for their first vector; without a task at all; without text; failed; cancelled.
    waiting: int = 0
    missing: int = 0
    empty: int = 0
    failed: int = 0
    cancelled: int = 0
    is_estimate: bool = False
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation would come to: tasks counted up to a limit, or rows estimated from the census."""

    # What it would change, None where nothing is known; `parts` are {status, or condition of a row: how many}.
    rows: int | None
    tokens: int | None = None
    # US dollars; None where the price is not known.
    cost: float | None = None
    parts: dict[str, int] = field(default_factory=dict)
    # Tasks that match, but are in no state for it: about so many, as far as it is known.
    others: int = 0
    is_estimate: bool = True
    # Whether counting stopped at the limit.
    is_at_least: bool = False


def ledger_counts() -> LedgerCounts:
    raise NotImplementedError


def coverage() -> list[Coverage]:
    """Of every target in every database, in the order of the registry."""
    raise NotImplementedError
