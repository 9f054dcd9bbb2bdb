"""The approximate indexes that a database has, as its catalogue knows them: also those that no model declares."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from django.db import connections

from embeddings import conf, registry, sql, timeouts
from embeddings.registry import Derived, Splitting, Target

# What a REINDEX CONCURRENTLY that was cut off leaves beside the index itself.
_LEFTOVER = re.compile(r"_cc(new|old)\d*$")


@dataclass(frozen=True, slots=True)
class Index:
    """An index as it is now; sizes in bytes."""

    schema: str
    name: str
    method: str
    definition: str
    tablespace: str
    comment: str
    # Whether searches use it; not if its building, or its dropping, was cut off.
    is_valid: bool
    is_partitioned: bool
    # As SQL names it, with its schema.
    table: str
    columns: list[str]
    size: int
    table_size: int

    @property
    def is_leftover(self) -> bool:
        """Whether it is a mere trial to replace another, which is there."""
        return not self.is_valid and bool(_LEFTOVER.search(self.name))


def of_target(target: Derived, using: str) -> list[Index]:
    """Those on its column, or on the column of its chunks."""
    return [index for each in _targets(target) for index in _of_column(each, using)]


def find(schema: str, name: str, using: str) -> Index | None:
    """The approximate index of that name; None if there is none."""
    found = (index for index in _all(using) if (index.schema, index.name) == (schema, name))
    return next(found, None)


def _targets(target: Derived) -> tuple[Target, ...]:
    if isinstance(target, Splitting):
        return registry.targets_for(target.chunk_model)
    assert isinstance(target, Target)
    return (target,)


def _of_column(target: Target, using: str) -> list[Index]:
    connection = connections[using]
    with connection.cursor() as cursor:
        # As Django's own statements find it, by the search path.
        cursor.execute(
            "SELECT format('%%I.%%I', nspname, relname) FROM pg_class AS class"
            " JOIN pg_namespace AS namespace ON namespace.oid = relnamespace WHERE class.oid = to_regclass(%s)",
            [connection.ops.quote_name(target.model._meta.db_table)],
        )
        found = cursor.fetchone()
    place = found and (found[0], target.vector_field.column)
    return [index for index in _all(using) if place in [(index.table, column) for column in index.columns]]


def _all(using: str) -> list[Index]:
    with timeouts.reading(conf.current().statement_timeout_seconds, using) as cursor:
        # Then definitions qualify every name, and mean the same under any search path.
        cursor.execute("SELECT set_config('search_path', '', true)")
        cursor.execute(sql.load("approximate_indexes"))
        names = [column.name for column in cursor.description or ()]
        assert names == [field.name for field in fields(Index)]
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [Index(*row) for row in rows]
