"""Drop approximate indexes before a backfill, and build them after it: whole again, or on record until they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType

import psycopg
from django.db import connections, transaction
from psycopg import sql
from psycopg.errors import DiskFull, LockNotAvailable, OutOfMemory, UndefinedColumn, UndefinedTable

from embeddings.exceptions import ConfigurationError, EmbeddingsError
from embeddings.indexes import catalogue
from embeddings.indexes.catalogue import Index
from embeddings.indexes.session import Session
from embeddings.models import IndexRebuild
from embeddings.registry import Derived

# So long the dropping of an index waits for transactions that may use it.
DROP_SECONDS = 60


class Rebuild:
    """What one process does to the indexes of one database; raises RebuildRunning if another does so now.

    `say` is given what has happened, `show` how far it is; `memory` is for maintenance_work_mem, such as "2GB".
    """

    def __init__(
        self, using: str, *, say: Callable[[str], None], show: Callable[[str], None], memory: str | None = None
    ) -> None:
        self._using, self._say, self._show, self._memory = using, say, show, memory
        self._stack = ExitStack()

    def __enter__(self) -> Rebuild:
        self._session = self._stack.enter_context(Session(self._using))
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def unfinished(self) -> list[IndexRebuild]:
        """What was begun, by this run or an earlier one, and is not whole again."""
        return unfinished(self._using)

    def drop(self, targets: Iterable[Derived]) -> None:
        """Write down the indexes of these targets, and drop them."""
        found = {(index.schema, index.name): (index, target) for target in targets for index in self._indexes(target)}
        for index, target in found.values():
            if index.is_leftover:
                self._drop(index.schema, index.name)
                continue
            record = self._write_down(index, target)
            try:
                self._drop(index.schema, index.name)
            except (psycopg.Error, EmbeddingsError):
                self._forget_if_whole(record)
                raise
            self._say(f"Dropped the index {index.name}. Searches compare every row until it is there again.")

    def build(self) -> None:
        """Build all that is on record, and strike it off once it is valid."""
        for record in self.unfinished():
            try:
                self._build(record)
            except (UndefinedTable, UndefinedColumn):
                self._say(f"The index {record} is not built again: its table or its column is gone.")
            record.delete()

    def _indexes(self, target: Derived) -> list[Index]:
        found = catalogue.of_target(target, self._using)
        for index in found:
            if index.is_partitioned:
                raise ConfigurationError(
                    f"The index {index.name} is of a partitioned table, and cannot be dropped or built while others "
                    "write: drop it by hand, run this without --rebuild-index, and create it again."
                )
        return found

    def _write_down(self, index: Index, target: Derived) -> IndexRebuild:
        values = {
            "target": target.label,
            "table": index.table,
            "definition": index.definition,
            "tablespace": index.tablespace,
            "comment": index.comment,
        }
        records = IndexRebuild.objects.using(self._using)
        # Of one that an earlier run has not built to the end, that run knew more.
        write = records.update_or_create if index.is_valid else records.get_or_create
        # It must be there whatever happens next, so in no transaction of a caller's.
        with transaction.atomic(using=self._using, durable=True):
            record, _ = write(schema=index.schema, name=index.name, defaults=values)
        return record

    def _drop(self, schema: str, name: str) -> None:
        self._session.set("lock_timeout", f"{DROP_SECONDS}s")
        try:
            self._session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(schema, name)}")
        except LockNotAvailable as exc:
            raise EmbeddingsError(
                f"A transaction that stays open keeps the index {name} from being dropped: wait for its end, or end "
                "it, and run the same command again."
            ) from exc
        self._session.set("lock_timeout", "0")

    def _forget_if_whole(self, record: IndexRebuild) -> None:
        """It was not even begun: the index is not ours to drop, for example."""
        if self._is_whole(record):
            record.delete()

    def _is_whole(self, record: IndexRebuild) -> bool:
        index = catalogue.find(record.schema, record.name, self._using)
        return index is not None and index.is_valid

    def _build(self, record: IndexRebuild) -> None:
        if not self._is_whole(record):
            self._say(f"Building the index {record}.")
            self._session.set("default_tablespace", record.tablespace)
            try:
                self._create(record)
            except (DiskFull, OutOfMemory):
                # Several processes build in shared memory, of which a container may have little; one needs none.
                self._session.set("max_parallel_maintenance_workers", "0")
                self._create(record)
            if not self._is_whole(record):
                raise EmbeddingsError(f"The index {record} was built, and is not valid: run the same command again.")
        if record.comment:
            text = sql.Literal(record.comment).as_string()
            self._session.run(f"COMMENT ON INDEX {_quoted(record.schema, record.name)} IS {text}")
        self._say(f"The index {record} is there.")

    def _create(self, record: IndexRebuild) -> None:
        """Whatever an earlier try has left under its name goes first."""
        self._drop(record.schema, record.name)
        self._session.set("maintenance_work_mem", self._memory or self._fitting_memory(record))
        statement = record.definition.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1)
        self._session.notices.clear()
        self._session.run(statement, lambda: self._show_progress(record))
        for notice in self._session.notices:
            self._say(f"PostgreSQL says: {notice}.")

    def _fitting_memory(self, record: IndexRebuild) -> str:
        """Twice the table, in which a graph that is built fits; at most a quarter of what the server has for caches."""
        with connections[self._using].cursor() as cursor:
            cursor.execute(
                "SELECT greatest(pg_size_bytes(current_setting('maintenance_work_mem')),"
                " least(2 * pg_table_size(to_regclass(%s)),"
                " pg_size_bytes(current_setting('effective_cache_size')) / 4))",
                [record.table],
            )
            [size] = cursor.fetchone()
        return f"{min(size // 1024, 2**31 - 1)}kB"

    def _show_progress(self, record: IndexRebuild) -> None:
        with connections[self._using].cursor() as cursor:
            cursor.execute(
                "SELECT phase, coalesce(100 * blocks_done / nullif(blocks_total, 0),"
                " 100 * tuples_done / nullif(tuples_total, 0))"
                " FROM pg_stat_progress_create_index WHERE pid = %s",
                [self._session.pid],
            )
            row = cursor.fetchone()
        if row is not None:
            percent = "" if row[1] is None else f", {row[1]} %"
            self._show(f"Index {record}: {row[0]}{percent}.")


def unfinished(using: str) -> list[IndexRebuild]:
    """The indexes that were dropped, or were about to be, and may not be there."""
    return list(IndexRebuild.objects.using(using).order_by("pk"))


def _quoted(*names: str) -> str:
    return sql.Identifier(*names).as_string()
