"""Which source a queryset has."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from embeddings import registry
from embeddings.exceptions import ConfigurationError
from embeddings.registry import Derived, Splitting, Target
from embeddings.search.chunked import Chunks
from embeddings.search.sources import Source, is_restricted, plain


def source_of(queryset: QuerySet[Any], field: str | None) -> Source:
    """What a search of `queryset` reads; raises ConfigurationError unless there is just one.

    `field` is the vector's, or the attribute that declares the chunks.
    """
    model: Any = queryset.model
    wanted = _chosen(registry.derived_for(model), queryset, field)
    rows = plain(queryset)
    if not isinstance(wanted, Splitting):
        assert isinstance(wanted, Target)
        return Source(queryset, wanted, rows)
    chunks = wanted.chunk_model._base_manager.using(queryset.db)
    if is_restricted(rows):
        chunks = chunks.filter(**{f"{wanted.parent_field.name}__in": rows.values("pk")})
    target = _chosen(registry.targets_for(wanted.chunk_model), chunks, None)
    assert isinstance(target, Target)
    return Chunks(queryset, target, chunks, wanted)


def _chosen(known: tuple[Derived, ...], queryset: QuerySet[Any], field: str | None) -> Derived:
    found = [each for each in known if field in {None, each.field}]
    if len(found) != 1:
        names = ", ".join(each.field for each in known) or "none"
        raise ConfigurationError(f"Say which embedded field of {queryset.model._meta.label} to search: {names}.")
    return found[0]
