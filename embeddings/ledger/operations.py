"""What operators do with tasks."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now

from embeddings.ledger import telling
from embeddings.ledger.statements import delete, move, tasks_of
from embeddings.models import CANCELLABLE, CLEARABLE, OPEN, RETRYABLE, EmbeddingTask, Status


def retry(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make ended or waiting tasks claimable now, with all attempts ahead of them. Completed ones are left alone."""
    stopped = tasks.filter(status__in=RETRYABLE)
    return move(
        stopped,
        using,
        status=Status.PENDING,
        available_at=None,
        attempts=0,
        crashes=0,
        version=F("version") + 1,
        requested_at=Case(When(status__in=OPEN, then=F("requested_at")), default=Now()),
        error_kind="",
        error_class="",
        error_message="",
        error_signature="",
        error_status=None,
    )


def cancel(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Stop tasks that are not done; what a worker has in hand of them it will not write."""
    unfinished = tasks.filter(status__in=CANCELLABLE)
    with telling.ending(unfinished, using):
        return move(unfinished, using, status=Status.CANCELLED, available_at=None, lease_token=None, lease_until=None)


def give_up(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Cancel failed tasks: nobody means to try them again. What went wrong stays with them."""
    return move(tasks.filter(status=Status.FAILED), using, status=Status.CANCELLED)


def clear(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete failed and cancelled tasks that nobody else holds just now; returns how many.

    Their objects stay as they are, and a requeue finds those again that lack a vector. A box stays: it is all that
    there is of its object.
    """
    ended = tasks.filter(status__in=CLEARABLE, payload__isnull=True)
    with transaction.atomic(using=using):
        free = list(ended.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True))
        return delete(tasks_of(using).filter(pk__in=free))
