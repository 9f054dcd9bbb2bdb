"""How one object stands with each of its vectors, and with its chunks."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS, models

from embeddings import registry
from embeddings.models import EmbeddingTask
from embeddings.registry import Derived, Splitting
from embeddings.stats.chunks import ChunkProgress, chunk_progress


@dataclass(frozen=True, slots=True)
class Standing:
    """One target of an object."""

    target: Derived
    # None: nobody has asked for a vector.
    task: EmbeddingTask | None
    # Whether the column holds a vector; a text that is split has none, but chunks.
    has_vector: bool
    chunks: ChunkProgress | None = None


def standings(instance: models.Model) -> list[Standing]:
    """One of each target and splitting of the object, its parents' too; about two queries each."""
    using = instance._state.db or DEFAULT_DB_ALIAS
    return [_standing(target, instance, using) for target in registry.derived_for(type(instance))]


def _standing(target: Derived, instance: models.Model, using: str) -> Standing:
    key = target.object_id(instance)
    tasks = EmbeddingTask.objects.using(using).defer("payload")  # a box may be large
    task = tasks.filter(content_type_id=target.content_type_id(using), field=target.field, object_id=key).first()
    if isinstance(target, Splitting):
        is_only = len(registry.splittings_for(type(instance))) == 1
        return Standing(target, task, False, chunk_progress([instance])[instance.pk] if is_only else None)
    rows = target.model._base_manager.using(using)
    return Standing(target, task, rows.filter(pk=key, **{f"{target.field}__isnull": False}).exists())
