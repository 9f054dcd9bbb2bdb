"""The manager of embedded models: searches, and bulk writes that queue what they change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models, transaction

from embeddings import bulk, registry, search
from embeddings.search import SearchMode

M = TypeVar("M", bound=models.Model)

# Rows that one statement of `update()` writes.
UPDATE_CHUNK = 5_000


class EmbeddingQuerySet(models.QuerySet[M]):
    """A queryset whose bulk writes open embedding tasks in the same transaction, as single saves do."""

    # Whether a search had to do without its provider, and found by keyword only.
    degraded: bool = False

    def _clone(self) -> EmbeddingQuerySet[M]:
        clone: EmbeddingQuerySet[M] = super()._clone()  # type: ignore[misc]
        clone.degraded = self.degraded
        return clone

    def search(self, query: str, *, mode: SearchMode = "hybrid", field: str | None = None) -> EmbeddingQuerySet[M]:
        """The objects of this queryset that match `query`, best first, each with `score` and `found_by`.

        `field` names the embedded field where the model has several.
        """
        return search.search(self, query, mode=mode, field=field)

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            # ignore_conflicts leaves objects without a key; `requeue_missing` finds those.
            bulk.request_objects(self.model, [obj for obj in created if obj.pk is not None], using=self.db)
        return created

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        objs, fields = list(objs), list(fields)
        with transaction.atomic(using=self.db):
            updated = super().bulk_update(objs, fields, *args, **kwargs)
            bulk.request_objects(self.model, objs, saved=fields, using=self.db)
        return updated

    def update(self, **values: Any) -> int:
        if not any(target.is_touched_by(values) for target in registry.targets_for(self.model)):
            return super().update(**values)
        with transaction.atomic(using=self.db):
            # Rows are locked before their tasks, as in a save; the filter may not match them after the update.
            keys = list(self.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
            updated = 0
            for start in range(0, len(keys), UPDATE_CHUNK):
                chunk = keys[start : start + UPDATE_CHUNK]
                updated += super(EmbeddingQuerySet, self.filter(pk__in=chunk)).update(**values)
            bulk.request_keys(self.model, keys, saved=values, using=self.db)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]


EmbeddingManager = models.Manager.from_queryset(EmbeddingQuerySet)
