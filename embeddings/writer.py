"""Reads and writes of the embedded models' own tables."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
from django.db import DataError, connections, models
from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector
from psycopg import sql as composer

from embeddings import sql
from embeddings.lookups import AnyOf
from embeddings.registry import Derived, Target, targets_for

# Connections on which pgvector's types are known to psycopg.
_registered: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


class Row(NamedTuple):
    """An object as it was read: the instance, the version of its row, and whether it has the target's vector."""

    instance: Any
    xmin: str
    has_vector: bool


def load(target: Derived, object_ids: Iterable[str], using: str) -> dict[str, Row]:
    """The rows of the objects that exist, by object id, without their vectors."""
    rows = _rows(target, object_ids, using)
    vectors = [each.field for each in targets_for(target.model)]
    rows = rows.only("pk", *target.columns) if target.columns else rows.defer(*vectors)
    rows = rows.select_related(*target.relations) if target.relations else rows
    is_filled = Q(**{f"{target.field}__isnull": False}) if isinstance(target, Target) else Value(False)
    has_vector = ExpressionWrapper(is_filled, output_field=BooleanField())
    return {
        str(instance.pk): Row(instance, instance._embeddings_xmin, instance._embeddings_has_vector)
        for instance in rows.annotate(_embeddings_xmin=_xmin(target), _embeddings_has_vector=has_vector)
    }


def lock(target: Derived, object_ids: Iterable[str], using: str) -> dict[str, str]:
    """Lock rows against writes until the transaction ends; returns {object id: xmin}.

    Rows that are gone, and rows that somebody else has locked, are missing: a worker never waits for a user's
    transaction. `xmin` tells versions of one row apart (PostgreSQL documentation, "System Columns").
    """
    rows = _rows(target, object_ids, using).order_by("pk")
    locked = rows.select_for_update(skip_locked=True, no_key=True, of=("self",))
    return {str(pk): xmin for pk, xmin in locked.annotate(_xmin=_xmin(target)).values_list("pk", "_xmin")}


def existing(target: Derived, object_ids: Iterable[str], using: str) -> set[str]:
    """Those of the object ids whose rows exist."""
    return {str(pk) for pk in _rows(target, object_ids, using).values_list("pk", flat=True)}


def write_vectors(target: Target, object_ids: Sequence[str], vectors: Sequence[Any], using: str) -> None:
    """Fill the vector column: n object ids, n vectors (list or float32 array). Runs in the caller's transaction."""
    connection = connections[using]
    connection.ensure_connection()
    raw = connection.connection
    if raw not in _registered:
        register_vector(raw)
        _registered.add(raw)
    pk: Any = target.model._meta.pk
    field = target.vector_field
    column = HalfVector if getattr(field, "half", False) else Vector
    statement = composer.SQL(sql.load("write_vectors")).format(
        table=composer.Identifier(target.model._meta.db_table),
        column=composer.Identifier(field.column),
        pk=composer.Identifier(pk.column),
        pk_type=composer.SQL(pk.rel_db_type(connection)),
        vector_type=composer.SQL("halfvec" if column is HalfVector else "vector"),
    )
    keys = _keys(target, object_ids)
    try:
        values = [column(vector) for vector in vectors]
    except OverflowError as exc:
        raise _too_large(target) from exc
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.execute(statement, [keys, values])


def next_key(model: type[models.Model], using: str) -> Any:
    """The next value of the sequence of an automatic key; None if the key has none."""
    pk: Any = model._meta.pk
    connection = connections[using]
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(pk.model._meta.db_table)
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, %s))", [table, pk.column])
        (key,) = cursor.fetchone()
    return key


def insert(target: Target, instance: models.Model, vector: Any, using: str) -> None:
    """Store a new row together with its vector (None for none), as `create()` would: overrides and signals run.

    Runs in the caller's transaction. Our own receiver leaves the task of this vector alone: the caller settles it.
    """
    setattr(instance, target.field, vector)
    instance._embeddings_stored_with = target  # type: ignore[attr-defined]
    try:
        instance.save(force_insert=True, using=using)
    except OverflowError as exc:
        raise _too_large(target) from exc
    finally:
        del instance._embeddings_stored_with  # type: ignore[attr-defined]


def is_stored_with(instance: models.Model, target: Derived) -> bool:
    """Whether `instance` is just being stored together with this vector."""
    return getattr(instance, "_embeddings_stored_with", None) is target


def clear_vectors(target: Target, object_ids: Iterable[str], using: str) -> int:
    """Null the vector column where it is not null."""
    rows = _rows(target, object_ids, using).filter(**{f"{target.field}__isnull": False})
    return rows.update(**{target.field: None})


def _too_large(target: Target) -> DataError:
    return DataError(f"A number of the vector is too large for {target.label}.")


def _rows(target: Derived, object_ids: Iterable[str], using: str) -> QuerySet[models.Model]:
    """The rows with these keys, which are sent as one parameter: a statement with many is slow to make and to read."""
    pk: Any = target.model._meta.pk
    connection = connections[using]
    # No row has a key that its column cannot hold.
    least, most = connection.ops.integer_field_ranges.get(target.key_field.get_internal_type(), (None, None))
    keys = [key for key in _keys(target, object_ids) if least is None or least <= key <= most]
    array = RawSQL(f"%s::{pk.rel_db_type(connection)}[]", (keys,))
    return target.model._base_manager.using(using).filter(AnyOf(F("pk"), array))


def _keys(target: Derived, object_ids: Iterable[str]) -> list[Any]:
    return [target.key_field.to_python(object_id) for object_id in object_ids]


def _xmin(target: Derived) -> RawSQL:
    table = target.model._meta.db_table.replace('"', '""')
    return RawSQL(f'"{table}".xmin::text', (), output_field=TextField())
