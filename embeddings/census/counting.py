"""Count a ledger in bounded time: of a very large one a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from embeddings import sql, timeouts
from embeddings.census.tables import LARGEST_ROWS, Tables, count_tables, size
from embeddings.models import CensusCount, EmbeddingTask

# A ledger with more rows is not read whole.
MOST_ROWS = 2_000_000
# It is counted within this time, or not at all.
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Count:
    """What a ledger held at a time."""

    tasks: list[CensusCount]
    # By the database's clock; and how long ago that was when somebody asked.
    taken_at: datetime
    age_seconds: float = 0.0
    # The part of the ledger that was read.
    share: float = 1.0
    # Whether it was counted for this question, as no census was young enough.
    is_live: bool = False
    tables: Tables = field(default_factory=dict)


def readable_share(using: str, most_rows: int = MOST_ROWS) -> float:
    """The part of a database's ledger that has so many rows; 1 for all of it."""
    return min(1.0, most_rows / max(size(EmbeddingTask, using), 1))


def count(using: str, share: float = 1.0, *, largest_table: int | None = LARGEST_ROWS) -> Count:
    """Read this part of a database's ledger, and the embedded models' tables up to the largest; None for none of them.

    Raises the database's errors.
    """
    taken_at, rows = _read(share, using)
    return Count(
        tasks=[_scaled(row, share) for row in rows],
        taken_at=taken_at,
        share=share,
        is_live=True,
        tables={} if largest_table is None else count_tables(using, largest_table),
    )


def _read(share: float, using: str) -> tuple[datetime, list[tuple[Any, ...]]]:
    sample = "" if share == 1.0 else f"TABLESAMPLE SYSTEM ({100 * share:.6f})"
    with timeouts.reading(SECONDS, using) as cursor:
        cursor.execute("SELECT now()")
        ((taken_at,),) = cursor.fetchall()
        cursor.execute(sql.load("census").format(sample=sample))
        return taken_at, list(cursor.fetchall())


def _scaled(row: tuple[Any, ...], share: float) -> CensusCount:
    content_type_id, target_field, provider, status, has_vector, model_id, dimensions, tasks, tokens, since = row
    return CensusCount(
        content_type_id=content_type_id,
        field=target_field,
        provider=provider,
        status=status,
        has_vector=has_vector,
        model_id=model_id,
        dimensions=dimensions,
        count=round(tasks / share),
        tokens_estimated=round(tokens / share),
        waiting_since=since,
    )
