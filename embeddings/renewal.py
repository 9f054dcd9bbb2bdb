"""One object's vector, or its chunks, made anew at the wish of a person who waits for it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DEFAULT_DB_ALIAS, models, transaction

from embeddings import audit, bulk, context, jobs, ledger, registry
from embeddings.registry import Derived, Splitting


def renew(target: Derived, instance: models.Model, *, by: str) -> int:
    """Open the task of an object's one target, ahead of everything else, also where its text is unchanged.

    A text that is split is split again, and all of its chunks are embedded anew. The old vectors stay until the new
    ones come. `by` is who asks for it. Returns how many tasks were opened: 0 if the object is gone.
    """
    using = instance._state.db or DEFAULT_DB_ALIAS
    with transaction.atomic(using=using), context.by_person():
        # Rows are locked before their tasks, as in a save.
        rows = target.model._base_manager.using(using).filter(pk=target.object_id(instance))
        if not rows.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True):
            return 0
        requests = [bulk.request_of(target, target.object_id(instance), using), *_of_chunks(target, instance, using)]
        ids = ledger.request(requests, is_overwritten=True, using=using)
        jobs.schedule(ids, using=using)
    message = f"{target.name_of(target.object_id(instance))} is embedded again."
    audit.record(audit.Kind.REQUESTED, message, subject=target.label, by=by, tasks=len(ids))
    return len(ids)


def _of_chunks(target: Derived, instance: models.Model, using: str) -> Iterator[ledger.Request]:
    """Requests for the chunks that are there, their rows locked."""
    if not isinstance(target, Splitting):
        return
    chunks = target.chunks_of([target.object_id(instance)], using).order_by("pk")
    keys = list(chunks.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
    for each in registry.targets_for(target.chunk_model):
        for key in keys:
            yield bulk.request_of(each, str(key), using)
