"""How the ledger's table is: its size, what vacuum has left, and who keeps vacuum from its work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connections

from embeddings import conf, sql
from embeddings.durations import duration
from embeddings.models import EmbeddingTask

# So many dead rows, and such a part of the living, are worth a word; autovacuum begins at a fifth.
MANY_DEAD = 100_000
DEAD_SHARE = 0.5
# A transaction that is open for longer keeps vacuum, and long enough also workers, from their work.
LONG_TRANSACTION_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """The ledger of one database. Numbers of rows are PostgreSQL's estimates."""

    using: str
    table_bytes: int
    index_bytes: int
    live_rows: int
    dead_rows: int
    vacuumed_at: datetime | None
    # The oldest open transaction of the database, but this one's; None and "" where there is none.
    oldest_pid: int | None = None
    oldest_application: str = ""
    oldest_seconds: float | None = None

    @property
    def warnings(self) -> list[str]:
        """A sentence for each thing that is off, with what to do."""
        return [*self._open_transaction(), *self._dead_rows()]

    def _open_transaction(self) -> list[str]:
        if self.oldest_seconds is None or self.oldest_seconds < LONG_TRANSACTION_SECONDS:
            return []
        who = f"process {self.oldest_pid}" + (f", {self.oldest_application}" if self.oldest_application else "")
        return [
            f"A transaction has been open for {duration(self.oldest_seconds)} ({who}). Until it ends, dead rows of "
            f"the ledger cannot be removed: wait for it, or end it with SELECT pg_terminate_backend({self.oldest_pid})."
        ]

    def _dead_rows(self) -> list[str]:
        if self.dead_rows < MANY_DEAD or self.dead_rows < DEAD_SHARE * self.live_rows:
            return []
        return [
            f"{self.dead_rows:,} rows of the ledger are dead, so claims get slower. Autovacuum does not keep up: run "
            f"VACUUM {EmbeddingTask._meta.db_table}, and let autovacuum do more for this table."
        ]


def ledger_health() -> list[LedgerHealth]:
    """Of each database; one query of the catalogs each."""
    return [_of(using) for using in conf.current().databases]


def _of(using: str) -> LedgerHealth:
    with connections[using].cursor() as cursor:
        cursor.execute(sql.load("ledger_health"), {"table": EmbeddingTask._meta.db_table})
        table, indexes, live, dead, vacuumed_at, pid, application, seconds = cursor.fetchone()
    return LedgerHealth(using, table, indexes, live, dead, vacuumed_at, pid, application or "", seconds)
