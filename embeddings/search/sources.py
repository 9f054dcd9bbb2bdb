"""What a search reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import Field, QuerySet
from django.db.models.sql import Query

from embeddings.registry import Target
from embeddings.search.words import Words


@dataclass(frozen=True, slots=True)
class Passages:
    """The table of chunks, and its columns: key, text and beginning."""

    table: str
    key: str
    text: str
    start: str


@dataclass(frozen=True)
class Source:
    """The rows of a queryset: those that are found are those that have the vectors."""

    queryset: QuerySet[Any]
    target: Target
    rows: QuerySet[Any]

    # What `keys_of` gives.
    columns: ClassVar[str] = "key, far"

    @property
    def using(self) -> str:
        return self.queryset.db

    @property
    def passages(self) -> Passages | None:
        return None

    @property
    def passage_fields(self) -> dict[str, Field[Any, Any]]:
        return {}

    @property
    def label(self) -> str:
        """ "content.article"."""
        label: str = self.queryset.model._meta.label_lower
        return label

    def objects(self, keys: Iterable[str]) -> dict[str, Any]:
        """Those of the queryset that have these keys, which are as PostgreSQL writes them."""
        model = self.queryset.model
        return {
            str(found.pk): found for found in self.queryset.filter(pk__in=[model._meta.pk.to_python(k) for k in keys])
        }

    def texts(self, chunks: Iterable[str]) -> dict[str, str]:
        """By the keys of these chunks."""
        return {}

    def words_of(self, query: str) -> Words:
        return Words.of(query, self.target, self.using)

    def unsplit(self, query: str, limit: int) -> Query | None:
        """Objects that have a long text and no chunks yet, by any of their words."""
        return None

    def keys_of(self, rows: QuerySet[Any], limit: int) -> Query:
        """The first rows as (key, how far)."""
        query: Query = rows.values_list("pk", "_far")[:limit].query
        return query


def plain(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """The rows of `queryset` under its conditions, without its order, and without what would change its rows."""
    query = queryset.query
    if query.is_sliced:
        raise TypeError("Search first, then slice: the search itself finds the best rows.")
    if query.group_by is not None or query.distinct or query.combinator or query.extra_tables:
        rows: QuerySet[Any] = queryset.model._base_manager.using(queryset.db)
        return rows.filter(pk__in=queryset.order_by().values("pk"))
    plain: QuerySet[Any] = queryset.order_by()
    plain.query.select_related = False  # not by the queryset's method, which refuses after values()
    plain.query.select_for_update = False
    return plain


def is_restricted(rows: QuerySet[Any]) -> bool:
    """Whether they may be fewer than those of the table."""
    query = rows.query
    return bool(query.where) or sum(count > 0 for count in query.alias_refcount.values()) > 1
