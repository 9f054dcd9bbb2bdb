"""How boxed objects are: by the task that will store them, or by their future keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, models, router, transaction
from django.db.models import QuerySet

from embeddings import bulk, jobs, ledger, registry, writer
from embeddings.models import IS_BOXED, EmbeddingTask
from embeddings.registry import Derived


class BoxProblem(NamedTuple):
    """What went wrong last: a kind of error ("input", "transient", …), and a sentence without what the box holds."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class BoxState:
    """Where an object is on its way. `entity_id` is its primary key as the key's field has it, `model` "app.model"."""

    task_id: int
    entity_id: Any
    model: str
    status: str
    error: BoxProblem | None
    is_stored: bool


def state(task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> BoxState | None:
    """The object of a task, stored or not; None if there is no such task (any more)."""
    task = _tasks(using).filter(pk=task_id).first()
    return None if task is None else _state(task, using)


def state_of(model: type[models.Model], entity_id: Any, *, using: str | None = None) -> BoxState | None:
    """The object of a key, stored or not; None if nothing is known of one.

    Of a model with several embedded fields the state is that of the one that the object waited for.
    """
    using = using or router.db_for_write(model)
    targets = registry.targets_for(model)
    if not targets or not targets[0].is_key(entity_id):
        return None
    wanted = {target.content_type_id(using) for target in targets}
    key = str(targets[0].key_field.to_python(entity_id))
    tasks = _tasks(using).filter(content_type_id__in=wanted, object_id=key)
    # Other fields' tasks come when the object is stored.
    task = tasks.order_by(IS_BOXED.desc(), "pk").first()
    return None if task is None else _state(task, using)


def discard(task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Throw a box away, for good, with the object that it holds; returns whether there was one.

    An object that has taken the key meanwhile gets a vector of its own then.
    """
    task = EmbeddingTask.objects.using(using).defer("payload").filter(pk=task_id).first()
    if task is None:
        return False
    target = registry.find(task.content_type_id, task.field, using)
    with transaction.atomic(using=using):
        is_discarded = ledger.discard_box(task_id, using=using)
        if is_discarded and target is not None:
            _request_if_taken(target, task.object_id, using)
    return is_discarded


def _request_if_taken(target: Derived, object_id: str, using: str) -> None:
    if target.is_key(object_id) and writer.existing(target, [object_id], using):
        jobs.schedule(ledger.request([bulk.request_of(target, object_id, using)], using=using), using=using)


def _tasks(using: str) -> QuerySet[EmbeddingTask, Any]:
    return EmbeddingTask.objects.using(using).defer("payload").annotate(is_boxed=IS_BOXED)


def _state(task: Any, using: str) -> BoxState:
    target = registry.find(task.content_type_id, task.field, using)
    is_key = target is not None and target.is_key(task.object_id)
    return BoxState(
        task_id=task.pk,
        entity_id=target.key_field.to_python(task.object_id) if target and is_key else task.object_id,
        model=task.target_model_label,
        status=task.status,
        error=BoxProblem(task.error_kind, task.error_message) if task.error_kind else None,
        is_stored=not task.is_boxed,
    )
