"""What nobody holds: due tasks, those of dead workers, and whether there is work."""

from __future__ import annotations

from collections.abc import Collection

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.functions import Now

from embeddings import conf
from embeddings.ledger.statements import execute, move, tasks_of
from embeddings.models import Status

SWEEP_LIMIT = 10_000  # tasks that one statement moves at most


def promote_due(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make tasks claimable whose time has come."""
    due = tasks_of(using).filter(status__in=[Status.SCHEDULED, Status.RATE_LIMITED], available_at__lte=Now())
    return move(due.order_by("available_at")[:SWEEP_LIMIT], using, status=Status.PENDING, available_at=None)


def rescue(*, worker: str | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """Free tasks whose lease ran out and, where `worker` is given, those in hand of that dead worker."""
    params = {"worker": worker, "limit": SWEEP_LIMIT, "max_crashes": conf.current().max_crashes}
    return len(execute("rescue", params, using))


def has_claimable(providers: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether a claim for one of these providers would find a task."""
    pending = tasks_of(using).filter(status=Status.PENDING, crashes__lt=conf.current().max_crashes)
    fit = pending.filter(provider__in=providers).select_for_update(skip_locked=True)
    with transaction.atomic(using=using):
        return bool(fit.values_list("pk", flat=True)[:1])
