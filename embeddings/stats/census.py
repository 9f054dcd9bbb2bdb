"""What the ledger holds, from its last census: quick at any size, and a little old."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.text import capfirst

from embeddings import census, conf, registry
from embeddings.exceptions import ConfigurationError
from embeddings.models import CensusCount, Status

# What rows with a task are counted as.
PARTS = ("embedded", "stale", "waiting", "empty", "failed", "cancelled")


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
    """How many tasks are in each state."""
    counts = [census.latest(using) for using in conf.current().databases]
    by_status = dict.fromkeys(Status.values, 0)
    for row in (row for count in counts for row in count.tasks):
        by_status[row.status] += row.count
    return LedgerCounts(
        by_status=by_status,
        waiting_since=min(filter(None, (row.waiting_since for count in counts for row in count.tasks)), default=None),
        counted_at=min((count.taken_at for count in counts if not count.is_live), default=None),
        is_estimate=any(count.share < 1 for count in counts),
    )


def coverage() -> list[Coverage]:
    """Of every target in every database that has its table, in the order of the registry.

    Texts that are split into chunks are left out: their chunks have the vectors.
    """
    counts = {using: census.latest(using, with_tables=True) for using in conf.current().databases}
    return [
        _coverage(target, using, count)
        for target in registry.all_targets()
        for using, count in counts.items()
        if target.model._meta.label_lower in count.tables
    ]


def _coverage(target: registry.Target, using: str, count: census.Count) -> Coverage:
    parts = dict.fromkeys(PARTS, 0)
    content_type_id, present = target.content_type_id(using), _present_model(target)
    for row in count.tasks:
        if (row.content_type_id, row.field) == (content_type_id, target.field):
            parts[_part(row, present)] += row.count
    rows, is_counted = count.tables[target.model._meta.label_lower]
    # What is in boxes will be rows; tasks of rows that were deleted behind our back are not yet forgotten.
    rows = max(rows, sum(parts.values()))
    return Coverage(
        target=target.label,
        name=_name(target),
        using=using,
        rows=rows,
        missing=rows - sum(parts.values()),
        is_estimate=count.share < 1 or not is_counted,
        counted_at=None if count.is_live else count.taken_at,
        **parts,
    )


def _part(row: CensusCount, present: tuple[str, str, int] | None) -> str:
    """What the row's tasks are for their target."""
    if row.status == Status.EMPTY:
        return "empty"
    if not row.has_vector:
        return row.status if row.status in {Status.FAILED, Status.CANCELLED} else "waiting"
    is_current = row.status == Status.COMPLETED and (row.provider, row.model_id, row.dimensions) == present
    return "embedded" if is_current else "stale"


def _present_model(target: registry.Target) -> tuple[str, str, int] | None:
    """(provider, model_id, dimensions) of the vectors that are made now; None if the settings do not say."""
    try:
        settings = conf.provider_settings(target.provider)
    except ConfigurationError:
        return None
    return settings.alias, settings.model_id, settings.dimensions


def _name(target: registry.Target) -> str:
    name = str(capfirst(target.model._meta.verbose_name_plural))
    siblings = [other for other in registry.all_targets() if other.model is target.model]
    return f"{name}: {target.field}" if len(siblings) > 1 else name
