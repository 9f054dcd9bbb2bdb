"""Boxes: tasks that carry the object that they are for, until it is stored together with its vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q
from django.db.models.functions import Now

from embeddings.ledger import telling
from embeddings.ledger.records import Claim, Request
from embeddings.ledger.requests import request
from embeddings.ledger.statements import delete, held_tasks, tasks_of
from embeddings.models import WAITING


def box(wish: Request, payload: dict[str, Any], *, using: str) -> int | None:
    """Open the task of an object that is not stored yet, with the object; returns its id.

    None, and nothing is changed, if there is a box with this key already. What is left of an object that had the key
    before is taken over.
    """
    with transaction.atomic(using=using):
        (task_id,) = request([wish], is_overwritten=True, using=using)
        free = tasks_of(using).filter(pk=task_id, payload__isnull=True)
        if free.update(payload=payload, requested_at=Now()):
            return task_id
        transaction.set_rollback(True, using=using)
    return None


def unbox(claims: Iterable[Claim], *, using: str) -> int:
    """Empty the boxes of objects that this transaction has stored; returns how many. Lock the tasks first."""
    return held_tasks(claims, using).update(payload=None)


def due_boxes(limit: int, *, using: str = DEFAULT_DB_ALIAS) -> list[int]:
    """The ids of boxes that wait for somebody to work them, the oldest first. No row tells of them, but these."""
    waiting = tasks_of(using).filter(payload__isnull=False, status__in=WAITING)
    due = waiting.filter(Q(available_at__isnull=True) | Q(available_at__lte=Now()))
    return list(due.order_by("pk").values_list("pk", flat=True)[:limit])


def discard_box(task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Throw a box away, with what it holds and its task; returns whether there was one. A lease on it is lost."""
    box = tasks_of(using).filter(pk=task_id, payload__isnull=False)
    with telling.ending(box, using):
        return bool(delete(box))
