"""How many rows the tables of embedded models have: counted where that is quick, else estimated."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from django.db import Error as AnyDatabaseError
from django.db import connections, models, router

from embeddings import registry, sql, timeouts

# Tables up to this size are counted in one statement, larger ones each by itself, up to the largest.
SMALL_ROWS = 50_000
LARGEST_ROWS = 2_000_000
# All in this time; what is not counted by then is estimated.
SECONDS = 1.0

# {"content.article": (rows, whether they were counted)}
Tables = dict[str, tuple[int, bool]]


def count_tables(using: str, largest: int = LARGEST_ROWS) -> Tables:
    """The rows of each embedded model's table that this database has."""
    deadline = time.monotonic() + SECONDS
    known = sizes({target.model for target in registry.all_derived()}, using)
    found: Tables = {model._meta.label_lower: (about, False) for model, about in known.items()}
    for group in _groups({model: about for model, about in known.items() if about <= largest}):
        left = deadline - time.monotonic()
        found |= _counted(group, using, left) if left > 0 else {}
    return found


def size(model: type[models.Model], using: str) -> int:
    """About how many rows a table has, in a moment."""
    return sizes([model], using).get(model, 0)


def sizes(of: Collection[type[models.Model]], using: str) -> dict[type[models.Model], int]:
    """About how many rows each of the tables has that this database has, by their lengths; they are not read."""
    tables = {model: _table(model, using) for model in of if router.allow_migrate_model(using, model)}
    with connections[using].cursor() as cursor:
        cursor.execute(sql.load("table_sizes"), {"tables": list(tables.values())})
        known = dict(cursor.fetchall())
    return {model: int(known[table]) for model, table in tables.items() if known.get(table) is not None}


def _groups(known: dict[type[models.Model], int]) -> Iterator[list[type[models.Model]]]:
    small = [model for model, about in known.items() if about <= SMALL_ROWS]
    if small:
        yield small
    yield from ([model] for model in sorted(known.keys() - set(small), key=known.__getitem__))


def _counted(group: list[type[models.Model]], using: str, seconds: float) -> Tables:
    """Nothing if it takes longer."""
    labels = [model._meta.label_lower for model in group]
    text = " UNION ALL ".join(f"SELECT %s, count(*) FROM {_table(model, using)}" for model in group)
    try:
        with timeouts.reading(seconds, using) as cursor:
            cursor.execute(text, labels)
            return {label: (rows, True) for label, rows in cursor.fetchall()}
    except AnyDatabaseError as exc:
        if not timeouts.is_timeout(exc):
            raise
        return {}


def _table(model: type[models.Model], using: str) -> str:
    return connections[using].ops.quote_name(model._meta.db_table)
