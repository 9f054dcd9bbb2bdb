"""Which models' vectors a target's column may hold, so that a search need not ask the ledger about each row.

A model is recorded before it writes its first vector, in a statement of its own: a search never meets a vector of
which nobody knows.
"""

from __future__ import annotations

import time
from datetime import timedelta

from django.core.signals import setting_changed
from django.db import connections
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.dispatch import receiver

from embeddings.models import EmbeddingTask, TargetModelId
from embeddings.providers import Provider
from embeddings.registry import Target

# A process records a model again after this; clean-up leaves alone what was seen within a multiple of it.
FRESH_SECONDS = 3600.0
KEPT_SECONDS = 24 * FRESH_SECONDS

_recorded: dict[tuple[str, str, str, int], float] = {}


def record(target: Target, provider: Provider, *, using: str) -> None:
    """Note that the provider's model is about to write vectors of `target`; no statement if that is known."""
    entry = (using, target.label, provider.model_id, provider.dimensions)
    if time.monotonic() - _recorded.get(entry, float("-inf")) < FRESH_SECONDS:
        return
    fresh = Now() - timedelta(seconds=FRESH_SECONDS)
    row = TargetModelId(
        content_type_id=target.content_type_id(using),
        field=target.field,
        model_id=provider.model_id,
        dimensions=provider.dimensions,
        seen_at=Now(),
    )
    unique = ["content_type_id", "field", "model_id", "dimensions"]
    known = TargetModelId.objects.using(using).filter(**{name: getattr(row, name) for name in unique})
    if not known.filter(seen_at__gte=fresh).exists():
        TargetModelId.objects.using(using).bulk_create(
            [row], update_conflicts=True, unique_fields=["content_type", *unique[1:]], update_fields=["seen_at"]
        )
    # What a transaction may still roll back is recorded again.
    if not connections[using].in_atomic_block:
        _recorded[entry] = time.monotonic()


def is_mixed(target: Target, model_id: str, dimensions: int, *, using: str) -> bool:
    """Whether the column may hold vectors of another model than this one."""
    known = TargetModelId.objects.using(using).filter(content_type_id=target.content_type_id(using), field=target.field)
    return known.exclude(model_id=model_id, dimensions=dimensions).exists()


def forget_unused(*, using: str) -> int:
    """Delete the models of which no vector is left; returns how many. Reads the ledger once for each that is not."""
    tasks = EmbeddingTask.objects.filter(
        content_type_id=OuterRef("content_type_id"),
        field=OuterRef("field"),
        model_id=OuterRef("model_id"),
        dimensions=OuterRef("dimensions"),
    )
    old = TargetModelId.objects.using(using).filter(seen_at__lt=Now() - timedelta(seconds=KEPT_SECONDS))
    deleted, _ = old.filter(~Exists(tasks)).delete()
    return deleted


def forget() -> None:
    """Look again what is recorded."""
    _recorded.clear()


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS"}:
        forget()
