"""What a search reads: the rows of a queryset, or the chunks of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Field, Model, QuerySet

from embeddings import registry
from embeddings.exceptions import ConfigurationError
from embeddings.registry import Target
from embeddings.search.passages import Passages
from embeddings.search.words import Words


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of the model that has the vectors, and how they are related to the objects that are found."""

    queryset: QuerySet[Any]
    target: Target
    rows: QuerySet[Any]

    @property
    def using(self) -> str:
        return self.queryset.db

    @property
    def columns(self) -> str:
        return "key, far"

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

    def keys_of(self, rows: QuerySet[Any], limit: int) -> QuerySet[Any]:
        """The first rows as (key, how far)."""
        return rows.values_list("pk", "_far")[:limit]


def of(queryset: QuerySet[Any], field: str | None) -> Source:
    """The source that a search of `queryset` reads; raises ConfigurationError unless there is just one."""
    target = _target(queryset.model, field)
    return Source(queryset, target, _plain(queryset))


def _target(model: type[Model], field: str | None) -> Target:
    targets = [target for target in registry.targets_for(model) if field in {None, target.field}]
    if len(targets) == 1:
        return targets[0]
    names = ", ".join(target.field for target in registry.targets_for(model)) or "none"
    raise ConfigurationError(f"Say which embedded field of {model._meta.label} to search: {names}.")


def _plain(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """The rows of `queryset` under its conditions, without its order, and without what would change its rows."""
    query = queryset.query
    if query.is_sliced:
        raise TypeError("Search first, then slice: the search itself finds the best rows.")
    if query.group_by is not None or query.distinct or query.combinator or query.extra_tables:
        rows: QuerySet[Any] = queryset.model._base_manager.using(queryset.db)
        return rows.filter(pk__in=queryset.order_by().values("pk"))
    plain: QuerySet[Any] = queryset.order_by().select_related(None)
    plain.query.select_for_update = False
    return plain
