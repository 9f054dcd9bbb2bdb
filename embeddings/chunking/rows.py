"""Reads and writes of the chunk models' own tables, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, models
from django.db.models import Count, Max, Min
from psycopg import sql as composer

from embeddings import sql
from embeddings.chunking.matching import Changes, Stored
from embeddings.chunking.pieces import Piece
from embeddings.registry import Splitting

# Rows that one INSERT makes.
BATCH = 500
# Where a chunk is in its text; and all that is written of it.
PLACE = ("index", "start", "end")
COLUMNS = (*PLACE, "context", "text")


def lock(splitting: Splitting, parent: models.Model, using: str) -> list[Stored] | None:
    """Lock a parent's chunks, to change and delete them; None if somebody else has locked any: nothing is waited for.

    Lock the parent first, so that no other worker adds any.
    """
    chunks = splitting.chunks_of([parent], using)
    count = chunks.count()
    free = chunks.order_by("pk").select_for_update(skip_locked=True, of=("self",))
    locked = [Stored(*values) for values in free.values_list("pk", *COLUMNS)]
    return locked if len(locked) == count else None


@dataclass(frozen=True, slots=True)
class Outline:
    """What the chunks of one text are together."""

    count: int
    last_index: int
    start: int
    end: int

    def is_whole(self, text: str) -> bool:
        """Whether none is missing of those that a text was split into."""
        is_all = not text[: self.start].strip() and not text[self.end :].strip()
        return is_all and self.last_index == self.count - 1


def outlines(splitting: Splitting, parents: Iterable[str], using: str) -> dict[str, Outline]:
    """{parent's key: outline} of the parents that have chunks."""
    key = f"{splitting.parent_field.name}__pk"
    grouped = splitting.chunks_of(parents, using).order_by().values_list(key)
    found = grouped.annotate(a=Count("*"), b=Max("index"), c=Min("start"), d=Max("end"))
    return {str(parent): Outline(*numbers) for parent, *numbers in found}


def write(splitting: Splitting, parent: models.Model, changes: Changes, context: str, using: str) -> list[str]:
    """Carry out changes of locked chunks; returns the keys of those with a new text."""
    if changes.deleted:
        splitting.chunk_model._base_manager.using(using).filter(pk__in=changes.deleted).delete()
    _update(splitting.chunk_model, [*changes.moved, *changes.rewritten], context, using)
    created = _create(splitting, parent, changes.created, context, using)
    return [str(pk) for pk, _, _ in changes.rewritten] + [str(chunk.pk) for chunk in created]


def _update(model: type[models.Model], rows: Sequence[tuple[Any, int, Piece]], context: str, using: str) -> None:
    if not rows:
        return
    fields: dict[str, Any] = {name: model._meta.get_field(name) for name in COLUMNS}
    key: Any = model._meta.pk
    connection = connections[using]
    statement = composer.SQL(sql.load("write_chunks")).format(
        table=composer.Identifier(model._meta.db_table),
        pk=composer.Identifier(key.column),
        pk_type=composer.SQL(key.rel_db_type(connection)),
        **{name: composer.Identifier(field.column) for name, field in fields.items()},
    )
    columns = zip(*((pk, index, p.start, p.end, context, p.text) for pk, index, p in rows), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(column) for column in columns])


def _create(
    splitting: Splitting, parent: models.Model, pieces: Iterable[tuple[int, Piece]], context: str, using: str
) -> list[models.Model]:
    chunks = [
        splitting.chunk_model(
            index=index,
            start=piece.start,
            end=piece.end,
            context=context,
            text=piece.text,
            **{splitting.parent_field.name: parent},
        )
        for index, piece in pieces
    ]
    return splitting.chunk_model._base_manager.using(using).bulk_create(chunks, batch_size=BATCH)
