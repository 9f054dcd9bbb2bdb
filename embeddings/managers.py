"""The manager of embedded models: searches, and bulk writes that queue what they change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models, transaction

from embeddings import bulk, creation, registry, search
from embeddings.creation import Boxed
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

    def __or__(self, other: Any) -> Any:
        return super().__or__(_combinable(self, other))

    def __xor__(self, other: Any) -> Any:
        return super().__xor__(_combinable(self, other))

    def search(
        self, query: str, *, mode: SearchMode = "hybrid", field: str | None = None, candidates: int = search.CANDIDATES
    ) -> EmbeddingQuerySet[M]:
        """The objects of this queryset that match `query`, best first, each with `score` and `found_by`.

        `field` names the embedded field where the model has several. At most `candidates` are found by meaning, and as
        many by words.
        """
        return search.search(self, query, mode=mode, field=field, candidates=candidates)

    def create_boxed(self, *, field: str | None = None, **values: Any) -> Boxed:
        """Create an object that appears together with its vector, in the background; returns at once, with its key.

        What is wrong with the values is said here (ValidationError). `field` names the vector that the object waits
        for, where the model has several; the others follow as after any save.
        """
        return creation.create_boxed(self.model, values, field=field, using=self._db_for_write())

    def create_now(self, *, field: str | None = None, **values: Any) -> M:
        """Create an object together with its vector, here and now; raises the provider's error if there is none."""
        return creation.create_now(self.model, values, field=field, using=self._db_for_write())

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        with transaction.atomic(using=self._db_for_write()):
            created = super().bulk_create(objs, *args, **kwargs)
            # ignore_conflicts leaves objects without a key; `requeue_missing` finds those.
            written = [obj for obj in created if obj.pk is not None]
            is_insert = not (kwargs.get("update_conflicts") or kwargs.get("ignore_conflicts"))
            bulk.request_objects(self.model, written, is_overwritten=is_insert, using=self.db)
            if kwargs.get("update_conflicts"):
                bulk.request_dependents(self.model, [obj.pk for obj in written], using=self.db)
        return created

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        objs, fields = list(objs), list(fields)
        with transaction.atomic(using=self._db_for_write()):
            updated = super().bulk_update(objs, fields, *args, **kwargs)
            bulk.request_objects(self.model, objs, saved=fields, using=self.db)
            bulk.request_dependents(self.model, [obj.pk for obj in objs], saved=fields, using=self.db)
        return updated

    def update(self, **values: Any) -> int:
        if not self._is_touched_by(values) or self.query.is_sliced or self.query.combinator:
            return super().update(**values)  # Django refuses the latter two.
        with transaction.atomic(using=self._db_for_write()):
            keys = self._locked_keys()
            updated = 0
            for start in range(0, len(keys) or 1, UPDATE_CHUNK):
                chunk = keys[start : start + UPDATE_CHUNK]
                updated += super(EmbeddingQuerySet, self.filter(pk__in=chunk)).update(**values)
            bulk.request_keys(self.model, keys, saved=values, using=self.db)
            bulk.request_dependents(self.model, keys, saved=values, using=self.db)
        return updated

    # Templates do not call them.
    create_boxed.alters_data = True  # type: ignore[attr-defined]
    create_now.alters_data = True  # type: ignore[attr-defined]
    bulk_create.alters_data = True  # type: ignore[attr-defined]
    bulk_update.alters_data = True  # type: ignore[attr-defined]
    update.alters_data = True  # type: ignore[attr-defined]

    def _db_for_write(self) -> str:
        """Where writes go: from here on `self.db` is that, also if a router sends reads elsewhere."""
        self._for_write = True
        return self.db

    def _is_touched_by(self, names: Iterable[str]) -> bool:
        targets, dependents = registry.derived_for(self.model), registry.dependents_of(self.model)
        return any(t.is_touched_by(names) for t in targets) or any(d.is_touched_by(names) for d in dependents)

    def _locked_keys(self) -> list[Any]:
        """The keys of the queryset's rows; after an update its filter may not match them.

        Rows are locked before their tasks, as in a save. The queryset is a subquery because PostgreSQL does not lock
        distinct, grouped or outer-joined rows.
        """
        rows = self.model._base_manager.using(self.db).filter(pk__in=self.order_by().values("pk"))
        return list(rows.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))


def _combinable(one: models.QuerySet[Any], other: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """`other`; raises TypeError for what a search has found, to which `|` would add no rows: it is joined to hits."""
    if search.is_found(one) or search.is_found(other):
        raise TypeError("Combine querysets first, then search; or combine what was found with union().")
    return other


EmbeddingManager = models.Manager.from_queryset(EmbeddingQuerySet)
