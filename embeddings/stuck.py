"""Tasks in hands that may be dead: what a look finds of them, and their way back.

Any worker's sweep frees those whose lease is over. This is for whoever has no worker, or does not want to wait for the
end of a lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from embeddings import audit, conf, jobs, ledger, metrics
from embeddings.ledger.sweeps import SWEEP_LIMIT
from embeddings.models import ALIVE_SECONDS, EmbeddingTask, Status, WorkerStatus


@dataclass(frozen=True, slots=True)
class Stuck:
    """A task that nobody may be working on any more."""

    task: EmbeddingTask
    using: str
    # Its lease is over: whoever looks next frees it.
    is_expired: bool
    # When its worker was last heard of; None if no such worker is known.
    heard_at: datetime | None


def find(limit: int) -> list[Stuck]:
    """Tasks in hand whose lease ran out, or whose worker is silent or has ended; at most `limit` of each database.

    Only tasks in hand are read, by the index of their leases.
    """
    silent = dict(_silent())
    return [
        Stuck(task, using, task.pk in expired, silent.get(task.worker))
        for using in conf.current().databases
        for expired, tasks in [_of(using, silent, limit)]
        for task in tasks
    ]


def count(using: str) -> int:
    """How many there are in a database."""
    return _in_hand(using).filter(_EXPIRED | Q(worker__in=dict(_silent()))).count()


def free(*, by: str = "") -> int:
    """Let them all be claimed again at once; returns how many. A death counts against what was in hand at it, as ever.

    A worker that lives in spite of its silence loses nothing but its work: without its lease it cannot write.
    """
    freed = sum(_freed(using) for using in conf.current().databases)
    if freed:
        message = f"{freed:,} {'task' if freed == 1 else 'tasks'} freed: lease over, or worker silent."
        audit.record(audit.Kind.RESCUED, message, by=by, freed=freed)
        metrics.hand_over(is_last=True)  # The deaths that were counted; this process may end now.
        jobs.poke(is_coalesced=False)
    return freed


def _freed(using: str) -> int:
    freed = found = ledger.rescue(using=using)
    while found >= SWEEP_LIMIT:
        found = ledger.rescue(using=using)
        freed += found
    for name in set(_in_hand(using).values_list("worker", flat=True)) & set(dict(_silent())):
        # One that ended in order has died of nothing.
        is_crash = not _workers().filter(name=name, state=WorkerStatus.State.STOPPED).exists()
        freed += ledger.rescue(worker=name, is_crash=is_crash, using=using)
    return freed


def _of(using: str, silent: Iterable[str], limit: int) -> tuple[set[int], list[EmbeddingTask]]:
    """(the ids of those whose lease is over, all of them)."""
    tasks = _in_hand(using)
    found = list(tasks.filter(_EXPIRED | Q(worker__in=list(silent))).order_by("lease_until").defer("payload")[:limit])
    expired = tasks.filter(_EXPIRED, pk__in=[task.pk for task in found])
    return set(expired.values_list("pk", flat=True)), found


_EXPIRED = Q(lease_until__lt=Now())


def _in_hand(using: str) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(using).filter(status=Status.PROCESSING)


def _silent() -> Iterable[tuple[str, datetime]]:
    """(name, last sign of life) of the workers that are not alive."""
    gone = Q(heartbeat_at__lte=Now() - timedelta(seconds=ALIVE_SECONDS)) | Q(state=WorkerStatus.State.STOPPED)
    return _workers().filter(gone).values_list("name", "heartbeat_at")


def _workers() -> QuerySet[WorkerStatus]:
    return WorkerStatus.objects.using(conf.current().databases[0])
