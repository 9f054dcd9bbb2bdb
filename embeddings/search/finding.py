"""A search of one queryset, and of what is like an object."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar, get_args

from django.db.models import CharField, Field, FloatField, QuerySet

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingTask
from embeddings.providers import get_provider
from embeddings.registry import Target
from embeddings.search import statement
from embeddings.search.candidates import Asked, lists_of
from embeddings.search.choice import source_of
from embeddings.search.join import narrowed
from embeddings.search.modes import CANDIDATES, SearchMode
from embeddings.search.sources import Source
from embeddings.search.vectors import vector_of
from embeddings.text import clean

Q = TypeVar("Q", bound="QuerySet[Any]")


def search(
    queryset: Q, query: str, *, mode: SearchMode = "hybrid", field: str | None = None, candidates: int = CANDIDATES
) -> Q:
    """`queryset` narrowed to what matches `query`, best first, annotated with `score` and `found_by`.

    At most `candidates` rows are found by meaning, and as many by words. Score is 1 - cosine distance for "semantic",
    the number of words found plus text rank for "keyword", fused rank for "hybrid". When the provider cannot be asked,
    a semantic or hybrid search becomes a keyword search, and the result's `degraded` is True.
    """
    source = source_of(queryset, field)
    query = clean(query)
    found: Q
    if query:
        asked, degraded = asked_of(query, mode, source.target.provider, candidates)
        found = _marked(_found(source, asked), degraded=degraded)
    else:
        found = _marked(queryset.none(), degraded=False)
    return found


def similar(instance: Any, limit: int = 10, *, field: str | None = None) -> QuerySet[Any]:
    """The objects nearest in meaning to `instance`, without it; none while it has no vector.

    Only vectors of the model that made its own are compared with it.
    """
    model, using = type(instance), instance._state.db
    rows: QuerySet[Any] = model._default_manager.using(using)
    source = source_of(rows.exclude(pk=instance.pk), field)
    target = source.target
    if source.passages is not None:
        raise ConfigurationError(
            f"{source.label} has no vector of its own, but its chunks have: ask what is similar to one of them."
        )
    vector = rows.filter(pk=instance.pk).values_list(target.field, flat=True).first()
    if vector is None:
        return rows.none()
    asked = Asked("", "semantic", limit, vector, _made_by(instance, target, using))
    found: QuerySet[Any] = _found(source, asked)
    return found[:limit]


def asked_of(query: str, mode: SearchMode, alias: str, limit: int) -> tuple[Asked, bool]:
    """What to look for, and whether it is less than was wanted: the provider cannot be asked."""
    if mode not in get_args(SearchMode):
        raise ValueError(f"The mode of a search is one of {', '.join(get_args(SearchMode))}, not {mode!r}.")
    if mode == "keyword" or not conf.current().enabled:
        return Asked(query, "keyword", limit), False
    vector = vector_of(query, alias)
    if vector is None:
        return Asked(query, "keyword", limit), True
    provider = get_provider(alias)
    return Asked(query, mode, limit, vector, (provider.model_id, provider.dimensions)), False


def _found(source: Source, asked: Asked) -> Any:
    lists = lists_of(source, asked)
    compile_hits = partial(statement.hits, lists, asked.mode, source.passages)
    columns: dict[str, Field[Any, Any]] = {"score": FloatField(), "found_by": CharField(), **source.passage_fields}
    return narrowed(source.queryset, compile_hits, columns).order_by("-score", "pk")


def _made_by(instance: Any, target: Target, using: str) -> tuple[str, int]:
    """The model of the instance's own vector: what the ledger says, or else that of the provider."""
    tasks = EmbeddingTask.objects.using(using).filter(
        content_type_id=target.content_type_id(using), object_id=target.object_id(instance), field=target.field
    )
    task = tasks.exclude(model_id="").first()
    provider = get_provider(target.provider)
    if task is None:
        return provider.model_id, provider.dimensions
    return task.model_id, task.dimensions or provider.dimensions


def _marked(queryset: Any, *, degraded: bool) -> Any:
    queryset.degraded = degraded
    return queryset
