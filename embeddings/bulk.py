"""Open the tasks of many objects: from instances that were written, or from keys alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import models

from embeddings import conf, context, jobs, ledger, registry, writer
from embeddings.models import Priority
from embeddings.registry import Derived
from embeddings.text import saved_fingerprint

# Requests that one statement opens.
CHUNK = 2_000


def request_objects(
    model: type[models.Model],
    objects: Iterable[models.Model],
    *,
    saved: Iterable[str] | None = None,
    is_overwritten: bool = False,
    using: str,
) -> None:
    """Open tasks for instances just written, in the caller's transaction; workers are called when it commits.

    `saved` names the only fields that were written, if not all were. `is_overwritten` says that the vectors were
    written too, as the instances had them: by an insert, or by a fixture.
    """
    targets = _touched(model, saved, using)
    fields = None if saved is None else list(saved)
    requests = (
        request_of(
            target,
            target.object_id(instance),
            using,
            fingerprint="" if is_overwritten else saved_fingerprint(instance, target, fields),
        )
        for instance in objects
        for target in targets
        if not (is_overwritten and writer.is_stored_with(instance, target))
    )
    _open(requests, using, is_overwritten=is_overwritten)


def request_keys(
    model: type[models.Model], keys: Iterable[Any], *, saved: Iterable[str] | None = None, using: str
) -> None:
    """Open tasks for rows known only by their primary keys."""
    targets = _touched(model, saved, using)
    _open((request_of(target, str(key), using) for key in keys for target in targets), using)


def request_dependents(
    model: type[models.Model], keys: Iterable[Any], *, saved: Iterable[str] | None = None, using: str
) -> None:
    """Open tasks for the rows whose text is partly made from rows of `model`, given by their primary keys."""
    if not _is_recorded(using):
        return
    names = None if saved is None else list(saved)
    for dependent in registry.dependents_of(model):
        if names is None or dependent.is_touched_by(names):
            _request_dependents(dependent, keys, using)


def _request_dependents(dependent: registry.Dependent, related: Iterable[Any], using: str) -> None:
    target = dependent.target
    rows = target.model._base_manager.using(using)
    found = rows.filter(**{f"{dependent.lookup}__pk__in": related}).values("pk")
    # Rows are locked before their tasks, as in a save of theirs: else the two could deadlock.
    locked = rows.filter(pk__in=found).order_by("pk").select_for_update(no_key=True)
    keys = locked.values_list("pk", flat=True).iterator(chunk_size=CHUNK)
    _open((request_of(target, str(key), using) for key in keys), using)


def forget_chunks(model: type[models.Model], instance: models.Model, *, using: str) -> None:
    """Before an object is deleted, delete the tasks of its chunks, which go with it: all at once, not one by one."""
    if using not in conf.current().databases:
        return
    for splitting in registry.splittings_for(model):
        if splitting.model is model._meta.concrete_model:
            # The text's row is locked before its chunks, and rows before their tasks, as in a save.
            key = splitting.object_id(instance)
            text = splitting.model._base_manager.using(using).filter(pk=key)
            list(text.select_for_update(of=("self",)).values_list("pk"))
            chunks = splitting.chunks_of([key], using).order_by("pk").select_for_update()
            keys = [str(pk) for pk in chunks.values_list("pk", flat=True)]
            for content_type_id in {t.content_type_id(using) for t in registry.targets_for(splitting.chunk_model)}:
                ledger.forget(content_type_id, keys, using=using)


def forget_object(model: type[models.Model], instance: models.Model, *, using: str) -> None:
    """Delete the tasks of an object that is being deleted; a parent's tasks go with the parent's own signal."""
    if using not in conf.current().databases:
        return
    for target in registry.derived_for(model):
        if target.model is model._meta.concrete_model:
            ledger.forget(target.content_type_id(using), [target.object_id(instance)], using=using)
            if isinstance(target, registry.Splitting):
                # Those that a worker has added since the deletion looked for them; now the row is locked, none can.
                target.chunks_of([target.object_id(instance)], using).delete()


def request_of(
    target: Derived, object_id: str, using: str, *, fingerprint: str = "", priority: str | None = None
) -> ledger.Request:
    """The request for one object's field, with the target's own options; a person's goes ahead, unless `priority` says
    otherwise."""
    is_persons = priority is None and context.is_person()
    return ledger.Request(
        content_type_id=target.content_type_id(using),
        object_id=object_id,
        field=target.field,
        provider=target.provider,
        priority=Priority.HIGH if is_persons else priority or target.priority,
        delay_seconds=0.0 if is_persons else target.delay_seconds,
        fingerprint=fingerprint,
    )


def _is_recorded(using: str) -> bool:
    """Whether writes to a database are recorded; one that is not listed need not have this package's tables."""
    settings = conf.current()
    return settings.enabled and using in settings.databases


def _touched(model: type[models.Model], saved: Iterable[str] | None, using: str) -> Sequence[Derived]:
    if not _is_recorded(using):
        return ()
    targets = registry.derived_for(model)
    if saved is None:
        return targets
    names = list(saved)
    return [target for target in targets if target.is_touched_by(names)]


def _open(requests: Iterable[ledger.Request], using: str, *, is_overwritten: bool = False) -> None:
    for chunk in _chunks(requests):
        jobs.schedule(ledger.request(chunk, is_overwritten=is_overwritten, using=using), using=using)


def _chunks(requests: Iterable[ledger.Request]) -> Iterator[list[ledger.Request]]:
    chunk: list[ledger.Request] = []
    for request in requests:
        chunk.append(request)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
