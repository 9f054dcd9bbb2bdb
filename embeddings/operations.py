"""What operators do to many tasks at once."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import QuerySet

from embeddings import conf, jobs, ledger, limiter
from embeddings.models import EmbeddingTask


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


def resume_provider(alias: str) -> bool:
    """Let a provider be called at once, whatever blocks it; returns whether anything did."""
    is_resumed = limiter.resume(alias)
    if is_resumed:
        for using in conf.current().databases:
            ledger.hasten(alias, using=using)
        jobs.poke(is_coalesced=False)
    return is_resumed
