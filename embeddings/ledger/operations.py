"""What operators do with tasks."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now

from embeddings.ledger.statements import move
from embeddings.models import CANCELLABLE, OPEN, RETRYABLE, EmbeddingTask, Status


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
    return move(unfinished, using, status=Status.CANCELLED, available_at=None, lease_token=None, lease_until=None)
