"""What operators do to many tasks at once: here and now, or in the background."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, IntegrityError, models, router, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from embeddings import audit, conf, events, jobs, ledger, limiter, previews, registry, task_filter
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingBatch, EmbeddingOperation, EmbeddingTask, Priority, Status
from embeddings.registry import Derived, Splitting
from embeddings.stats.census import Preview
from embeddings.task_filter import TaskFilter

Kind = EmbeddingOperation.Kind

# What requeue() looks for; `embeddings.requeue.Condition` explains them.
CONDITIONS = ("missing", "stale", "failed")


@dataclass(frozen=True, slots=True)
class Changed:
    """How many of the tasks that were meant were changed, and how many were not in a state to be."""

    changed: int
    skipped: int


def retry(tasks: QuerySet[EmbeddingTask], *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> Changed:
    """Make failed, cancelled and waiting tasks due now, with all attempts ahead of them, and call a worker.

    `by` names who asks for it, here and below, for the audit log.
    """
    total, about = tasks.count(), _only_one(tasks)
    # Without a queue the tasks are embedded here; which they were is lost once their status has moved.
    ids = [] if conf.current().queue_enabled else list(tasks.values_list("pk", flat=True))
    with transaction.atomic(using=using):
        changed = ledger.retry(tasks, using=using)
        if ids:
            jobs.schedule(ids, using=using)
        elif changed:
            jobs.poke_on_commit(using=using)
        _tell(audit.Kind.RETRIED, changed, "retried", about, by)
    return Changed(changed, total - changed)


def cancel(tasks: QuerySet[EmbeddingTask], *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> Changed:
    """Stop tasks that are not done; a later save opens them again."""
    total, about = tasks.count(), _only_one(tasks)
    with transaction.atomic(using=using):
        changed = ledger.cancel(tasks, using=using)
        _tell(audit.Kind.CANCELLED, changed, "cancelled", about, by)
    return Changed(changed, total - changed)


def clear(tasks: QuerySet[EmbeddingTask], *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> Changed:
    """Delete failed and cancelled tasks from the ledger, but no boxes; objects and vectors stay."""
    total, about = tasks.count(), _only_one(tasks)
    with transaction.atomic(using=using):
        changed = ledger.clear(tasks, using=using)
        _tell(audit.Kind.CLEARED, changed, "deleted from the ledger", about, by)
    return Changed(changed, total - changed)


def resume_provider(alias: str, *, by: str = "") -> bool:
    """Let a provider be called at once, whatever blocks it (but a pause); returns whether anything did."""
    is_resumed = limiter.resume(alias, by=by)
    if is_resumed:
        for using in conf.current().databases:
            ledger.hasten(alias, using=using)
        jobs.poke(is_coalesced=False)
    return is_resumed


def retry_failed(batch: EmbeddingBatch, *, by: str = "") -> Changed:
    """Try the failed tasks of a batch again."""
    using = batch._state.db or DEFAULT_DB_ALIAS
    return retry(_tasks_of(batch).filter(status=Status.FAILED), by=by, using=using)


def roll_back(batch: EmbeddingBatch, *, by: str = "") -> Changed:
    """Cancel what waits for a batch alone; what is done stays done, what is in hand is finished.

    What somebody else has requested too, a user with an edit for example, is left: he still waits for it.
    """
    using = batch._state.db or DEFAULT_DB_ALIAS
    tasks = _tasks_of(batch)
    total = tasks.count()
    changed = ledger.cancel(tasks.filter(is_shared=False).exclude(status=Status.PROCESSING), using=using)
    EmbeddingBatch.objects.using(using).filter(pk=batch.pk).update(rolled_back_at=Now())
    _tell(audit.Kind.CANCELLED, changed, f"cancelled: batch {batch} was rolled back", f"batch {batch.pk}", by)
    return Changed(changed, total - changed)


def _only_one(tasks: QuerySet[EmbeddingTask]) -> str:
    """ "task 12" if it is a single one, else ""."""
    ids = list(tasks.values_list("pk", flat=True)[:2])
    return f"task {ids[0]}" if len(ids) == 1 else ""


def _tell(kind: audit.Kind, changed: int, done: str, about: str, by: str) -> None:
    """Write to the audit log that tasks were changed, if any were."""
    if changed:
        message = f"{changed:,} task{'s' if changed != 1 else ''} {done}."
        audit.record(kind, message, subject=about, by=by, changed=changed)


def _tasks_of(batch: EmbeddingBatch) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(batch._state.db or DEFAULT_DB_ALIAS).filter(batch=batch)


def regenerate(
    target: type[models.Model] | Derived | str,
    *,
    by: str = "",
    priority: str = Priority.LOW,
    using: str | None = None,
    token: uuid.UUID | None = None,
) -> EmbeddingOperation:
    """Make every vector of a model (or "app.model", or one field) anew in the background; returns at once.

    The old vectors stay until the new ones come; a model that is split has those of its chunks. If a regenerate of
    this target runs already, that one is returned. `by` names who asks for it, `using` the database (default: where
    the model is written), `token` the form: what was begun with it is not begun again. Raises ConfigurationError if
    nothing is embedded under `target`, or no worker would do it.
    """
    label, model = _named(_embedded(target))
    parameters = {"priority": Priority(priority).value}
    return _begin_on_rows(Kind.REGENERATE, label, model, parameters, by, using, token)


def requeue(
    target: type[models.Model] | Derived | str,
    *,
    conditions: Collection[str] = CONDITIONS,
    by: str = "",
    priority: str = Priority.LOW,
    using: str | None = None,
    token: uuid.UUID | None = None,
) -> EmbeddingOperation:
    """Queue the rows whose vectors are missing, stale or failed, in the background; otherwise as regenerate()."""
    if not conditions or not set(conditions) <= set(CONDITIONS):
        raise ValueError(f"The conditions are some of {', '.join(CONDITIONS)}, not {', '.join(conditions) or 'none'}.")
    parameters = {"priority": Priority(priority).value, "conditions": sorted(conditions)}
    return _begin_on_rows(Kind.REQUEUE, *_named(target), parameters, by, using, token)


def retry_matching(wanted: TaskFilter, *, by: str = "", token: uuid.UUID | None = None) -> EmbeddingOperation:
    """Retry all tasks that match a filter now, in the background; raises and `token` as in regenerate()."""
    return _begin_on_tasks(Kind.RETRY, wanted, by, token)


def cancel_matching(wanted: TaskFilter, *, by: str = "", token: uuid.UUID | None = None) -> EmbeddingOperation:
    """Cancel all tasks that match a filter now, in the background."""
    return _begin_on_tasks(Kind.CANCEL, wanted, by, token)


def clear_matching(wanted: TaskFilter, *, by: str = "", token: uuid.UUID | None = None) -> EmbeddingOperation:
    """Delete all failed and cancelled tasks that match a filter now from the ledger, in the background."""
    return _begin_on_tasks(Kind.CLEAR, wanted, by, token)


def preview(kind: str, of: TaskFilter | type[models.Model] | Derived | str, *, using: str | None = None) -> Preview:
    """What an operation of this kind would come to: counts of tasks up to a limit, or of rows by the last census."""
    if isinstance(of, TaskFilter):
        return previews.of_tasks(kind, of)
    label, model = _named(_embedded(of) if kind == Kind.REGENERATE else of)
    return previews.of_rows(kind, registry.get(label), using or router.db_for_write(model))


def stop(operation: EmbeddingOperation, *, cancel: bool = False, by: str = "") -> Changed:
    """Let an operation read no further; `cancel` also rolls its batch back. Returns the tasks that were cancelled."""
    using = operation._state.db or DEFAULT_DB_ALIAS
    unfinished = EmbeddingOperation.objects.using(using).filter(pk=operation.pk, finished_at=None)
    with transaction.atomic(using=using):
        if unfinished.update(state=EmbeddingOperation.State.STOPPED, finished_at=Now(), lease_until=None):
            events.touch_batches([operation.batch_id] if operation.batch_id else [], using=using)
            _tell_of(operation, "stopped", by)
    operation.refresh_from_db(using=using)
    return roll_back(operation.batch, by=by) if cancel and operation.batch else Changed(0, 0)


def _begin_on_tasks(kind: Kind, wanted: TaskFilter, by: str, token: uuid.UUID | None) -> EmbeddingOperation:
    _check_workers()
    last = EmbeddingTask.objects.using(wanted.using).order_by("-pk").values_list("pk", flat=True).first()
    parameters = {"filter": wanted.as_json(), "max_id": last or 0}
    operations = EmbeddingOperation.objects.using(wanted.using)
    same = operations.filter(token=token) if token else operations.none()
    begun = EmbeddingOperation(kind=kind, parameters=parameters, by=by[:255], token=token)
    return _begun(begun, same, wanted.using)


def _begin_on_rows(
    kind: Kind,
    label: str,
    model: type[models.Model],
    parameters: dict[str, Any],
    by: str,
    using: str | None,
    token: uuid.UUID | None,
) -> EmbeddingOperation:
    _check_workers()
    using = using or router.db_for_write(model)
    if using not in (databases := conf.current().databases):
        raise ConfigurationError(f"EMBEDDINGS['DATABASES'] has no {using!r}; it has {', '.join(databases)}.")
    running = Q(kind=kind, target=label, finished_at=None)
    same = EmbeddingOperation.objects.using(using).filter(running | Q(token=token) if token else running)
    batch = EmbeddingBatch(name=f"{kind.label} {label}"[:200], parameters={"target": label, **parameters})
    begun = EmbeddingOperation(kind=kind, target=label, parameters=parameters, by=by[:255], token=token)
    return _begun(begun, same, using, batch)


def _begun(
    begun: EmbeddingOperation, same: QuerySet[EmbeddingOperation], using: str, batch: EmbeddingBatch | None = None
) -> EmbeddingOperation:
    """Store an operation that is to begin, with its batch, and call a worker; or return the one that is the same."""
    if found := same.first():
        return found
    try:
        with transaction.atomic(using=using):
            if batch is not None:
                batch.save(using=using)
                begun.batch_id = batch.pk
            begun.save(using=using)
            _tell_of(begun, "begun", begun.by)
            transaction.on_commit(jobs.poke_operator, using=using, robust=True)
    except IntegrityError:  # somebody else began it at the same moment
        if found := same.first():
            return found
        raise
    return begun


def _tell_of(operation: EmbeddingOperation, what: str, by: str) -> None:
    about = task_filter.subject(operation)
    message = f"Operation #{operation.pk} was {what}: {operation.get_kind_display()} {about}."
    audit.record(audit.Kind.OPERATION, message, subject=operation.target, by=by, operation=operation.pk)


def _check_workers() -> None:
    if not conf.current().enabled:
        raise ConfigurationError("Embedding is switched off by EMBEDDINGS['ENABLED']; switch it on first.")
    if not conf.current().queue_enabled:
        raise ConfigurationError(
            "EMBEDDINGS['QUEUE_ENABLED'] is False, so no worker would do it: switch it on and run one "
            "(manage.py rqworker embeddings), or queue what is missing, stale or failed with manage.py requeue_missing."
        )


def _embedded(target: type[models.Model] | Derived | str) -> type[models.Model] | Derived | str:
    """What has vectors: of a text that is split, its chunks."""
    match registry.get(_named(target)[0]):
        case [Splitting() as only]:
            return only.chunk_model
    return target


def _named(target: type[models.Model] | Derived | str) -> tuple[str, type[models.Model]]:
    """The label of what is embedded under a name, and its model."""
    if isinstance(target, Derived):
        return target.label, target.model
    wanted = target if isinstance(target, str) else (target._meta.concrete_model or target)._meta.label_lower
    first, *_ = registry.get(wanted)
    is_field = wanted.lower() == first.label.lower()
    return first.label if is_field else first.model._meta.label_lower, first.model
