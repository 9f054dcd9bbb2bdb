"""What operators do to many tasks at once: here and now, or in the background."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, IntegrityError, models, router, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from embeddings import conf, jobs, ledger, limiter, registry
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingBatch, EmbeddingOperation, EmbeddingTask, Priority, Status
from embeddings.registry import Derived, Splitting

# What requeue() looks for; `embeddings.requeue.Condition` explains them.
CONDITIONS = ("missing", "stale", "failed")


@dataclass(frozen=True, slots=True)
class Changed:
    """How many of the tasks that were meant were changed, and how many were not in a state to be."""

    changed: int
    skipped: int


def retry(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> Changed:
    """Make failed, cancelled and waiting tasks due now, with all attempts ahead of them, and call a worker."""
    total = tasks.count()
    # Without a queue the tasks are embedded here; which they were is lost once their status has moved.
    ids = [] if conf.current().queue_enabled else list(tasks.values_list("pk", flat=True))
    with transaction.atomic(using=using):
        changed = ledger.retry(tasks, using=using)
        if ids:
            jobs.schedule(ids, using=using)
        elif changed:
            jobs.poke_on_commit(using=using)
    return Changed(changed, total - changed)


def cancel(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> Changed:
    """Stop tasks that are not done; a later save opens them again."""
    total = tasks.count()
    changed = ledger.cancel(tasks, using=using)
    return Changed(changed, total - changed)


def resume_provider(alias: str, *, by: str = "") -> bool:
    """Let a provider be called at once, whatever blocks it (but a pause); returns whether anything did."""
    is_resumed = limiter.resume(alias, by=by)
    if is_resumed:
        for using in conf.current().databases:
            ledger.hasten(alias, using=using)
        jobs.poke(is_coalesced=False)
    return is_resumed


def retry_failed(batch: EmbeddingBatch) -> Changed:
    """Try the failed tasks of a batch again."""
    using = batch._state.db or DEFAULT_DB_ALIAS
    return retry(_tasks_of(batch).filter(status=Status.FAILED), using=using)


def roll_back(batch: EmbeddingBatch) -> Changed:
    """Cancel what waits for a batch alone; what is done stays done, what is in hand is finished.

    What somebody else has requested too, a user with an edit for example, is left: he still waits for it.
    """
    using = batch._state.db or DEFAULT_DB_ALIAS
    tasks = _tasks_of(batch)
    total = tasks.count()
    changed = ledger.cancel(tasks.filter(is_shared=False).exclude(status=Status.PROCESSING), using=using)
    EmbeddingBatch.objects.using(using).filter(pk=batch.pk).update(rolled_back_at=Now())
    return Changed(changed, total - changed)


def _tasks_of(batch: EmbeddingBatch) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(batch._state.db or DEFAULT_DB_ALIAS).filter(batch=batch)


def regenerate(
    target: type[models.Model] | Derived | str, *, by: str = "", priority: str = Priority.LOW, using: str | None = None
) -> EmbeddingOperation:
    """Make every vector of a model (or "app.model", or one field) anew in the background; returns at once.

    The old vectors stay until the new ones come; a model that is split has those of its chunks. If a regenerate of
    this target runs already, that one is returned. `by` names who asks for it, `using` the database (default: where
    the model is written). Raises ConfigurationError if nothing is embedded under `target`, or no worker would do it.
    """
    label, model = _named(target)
    match registry.get(label):
        case [Splitting() as only]:
            label, model = _named(only.chunk_model)
    parameters = {"priority": Priority(priority).value}
    return _begin(EmbeddingOperation.Kind.REGENERATE, label, model, parameters, by, using)


def requeue(
    target: type[models.Model] | Derived | str,
    *,
    conditions: Collection[str] = CONDITIONS,
    by: str = "",
    priority: str = Priority.LOW,
    using: str | None = None,
) -> EmbeddingOperation:
    """Queue the rows whose vectors are missing, stale or failed, in the background; otherwise as regenerate()."""
    if not conditions or not set(conditions) <= set(CONDITIONS):
        raise ValueError(f"The conditions are some of {', '.join(CONDITIONS)}, not {', '.join(conditions) or 'none'}.")
    parameters = {"priority": Priority(priority).value, "conditions": sorted(conditions)}
    return _begin(EmbeddingOperation.Kind.REQUEUE, *_named(target), parameters, by, using)


def stop(operation: EmbeddingOperation, *, cancel: bool = False) -> Changed:
    """Let an operation read no further; `cancel` also rolls its batch back. Returns the tasks that were cancelled."""
    using = operation._state.db or DEFAULT_DB_ALIAS
    unfinished = EmbeddingOperation.objects.using(using).filter(pk=operation.pk, finished_at=None)
    unfinished.update(state=EmbeddingOperation.State.STOPPED, finished_at=Now(), lease_until=None)
    operation.refresh_from_db(using=using)
    return roll_back(operation.batch) if cancel and operation.batch else Changed(0, 0)


def _begin(
    kind: EmbeddingOperation.Kind,
    label: str,
    model: type[models.Model],
    parameters: dict[str, Any],
    by: str,
    using: str | None,
) -> EmbeddingOperation:
    _check_workers()
    using = using or router.db_for_write(model)
    if using not in (databases := conf.current().databases):
        raise ConfigurationError(f"EMBEDDINGS['DATABASES'] has no {using!r}; it has {', '.join(databases)}.")
    operations = EmbeddingOperation.objects.using(using)
    running = operations.filter(kind=kind, target=label, finished_at=None)
    if found := running.first():
        return found
    try:
        with transaction.atomic(using=using):
            batch = EmbeddingBatch.objects.using(using).create(
                name=f"{kind.label} {label}"[:200], parameters={"target": label, **parameters}
            )
            begun = operations.create(kind=kind, target=label, parameters=parameters, batch=batch, by=by[:255])
            transaction.on_commit(jobs.poke_operator, using=using, robust=True)
    except IntegrityError:  # somebody else began it at the same moment
        if found := running.first():
            return found
        raise
    return begun


def _check_workers() -> None:
    if not conf.current().enabled:
        raise ConfigurationError("Embedding is switched off by EMBEDDINGS['ENABLED']; switch it on first.")
    if not conf.current().queue_enabled:
        raise ConfigurationError(
            "EMBEDDINGS['QUEUE_ENABLED'] is False, so no worker would do it: switch it on and run one "
            "(manage.py rqworker embeddings), or queue what is missing or stale with manage.py requeue_missing."
        )


def _named(target: type[models.Model] | Derived | str) -> tuple[str, type[models.Model]]:
    """The label of what is embedded under a name, and its model."""
    if isinstance(target, Derived):
        return target.label, target.model
    wanted = target if isinstance(target, str) else (target._meta.concrete_model or target)._meta.label_lower
    first, *_ = registry.get(wanted)
    is_field = wanted.lower() == first.label.lower()
    return first.label if is_field else first.model._meta.label_lower, first.model
