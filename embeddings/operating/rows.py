"""Pages of a model's rows by primary key. Rows are locked before their tasks, as in a save, and never waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections

from embeddings import writer
from embeddings.registry import Derived

# A table with more rows is not counted.
EXACT_LIMIT = 100_000

# {target: the object ids whose tasks are to be opened}, of a page's object ids.
Choice = Callable[[Sequence[str]], dict[Derived, list[str]]]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that were read, and those of them to be opened, their rows locked."""

    rows: int
    chosen: dict[Derived, list[str]]
    cursor: dict[str, Any]
    is_last: bool
    # Nothing is left but rows that others have locked.
    is_blocked: bool


def estimate(target: Derived, using: str) -> int:
    """About how many rows a table has, in milliseconds."""
    counted: int = target.model._base_manager.using(using).order_by()[: EXACT_LIMIT + 1].count()
    if counted <= EXACT_LIMIT:
        return counted
    connection = connections[using]
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(target.model._meta.db_table)
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        ((known,),) = cursor.fetchall()
    return max(int(known), counted)


def next_page(target: Derived, cursor: dict[str, Any], choose: Choice, size: int, using: str) -> Page:
    """The rows after `cursor`, in the caller's transaction.

    Chosen rows that somebody else has locked are kept in the cursor and come again after all others.
    """
    left: list[str] = cursor.get("left", [])
    fresh = _keys_after(target, cursor.get("after"), size, using) if len(left) < size else []
    keys = fresh or left
    chosen = choose(keys)
    wanted = list(dict.fromkeys(key for ids in chosen.values() for key in ids))
    locked = writer.lock(target, wanted, using) if wanted else {}
    missing = [key for key in wanted if key not in locked]
    others = writer.existing(target, missing, using) if missing else set()
    still_left = [*(left if fresh else []), *(key for key in missing if key in others)]
    after = fresh[-1] if fresh else cursor.get("after")
    return Page(
        rows=len(fresh),
        chosen={one: [key for key in ids if key in locked] for one, ids in chosen.items()},
        cursor={"after": after, "left": still_left},
        is_last=not fresh and len(left) < size and not still_left,
        is_blocked=not fresh and bool(still_left) and not locked,
    )


def _keys_after(target: Derived, after: str | None, size: int, using: str) -> list[str]:
    rows = target.model._base_manager.using(using).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=target.key_field.to_python(after))
    return [str(key) for key in rows.values_list("pk", flat=True)[:size]]
