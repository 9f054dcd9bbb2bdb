"""The workers: which live, by PostgreSQL and by Redis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models.functions import Now

from embeddings import broker, conf
from embeddings.broker import QueueView
from embeddings.models import ALIVE_SECONDS, WorkerStatus

# Workers of each sort that are looked at.
MOST = 500
# A worker that fell silent longer ago is news no more.
SILENT_HOURS = 24


@dataclass(frozen=True, slots=True)
class Workforce:
    """Who works. The two registries differ where a worker cannot reach one of them."""

    # The latest sign of life first. Silent ones were killed, or cannot reach the database: they have not stopped.
    alive: list[WorkerStatus]
    silent: list[WorkerStatus]
    # None where Redis cannot be asked.
    queue: QueueView | None

    @property
    def unknown_to_redis(self) -> list[WorkerStatus]:
        """Those alive that Redis does not know: they cannot reach it, or use another one."""
        return [] if self.queue is None else [one for one in self.alive if one.name not in self.queue.workers]

    @property
    def only_in_redis(self) -> list[str]:
        """Names that only Redis knows: workers that cannot reach the database, or died a short time ago."""
        known = frozenset[str]() if self.queue is None else self.queue.workers
        return sorted(known - {worker.name for worker in self.alive})


def workforce() -> Workforce:
    """Who works now; in two queries and two round trips to Redis."""
    workers = WorkerStatus.objects.using(conf.current().databases[0]).exclude(state=WorkerStatus.State.STOPPED)
    latest = workers.order_by("-heartbeat_at")
    alive_from = Now() - timedelta(seconds=ALIVE_SECONDS)
    silent_from = Now() - timedelta(hours=SILENT_HOURS)
    return Workforce(
        alive=list(latest.filter(heartbeat_at__gt=alive_from)[:MOST]),
        silent=list(latest.filter(heartbeat_at__lte=alive_from, heartbeat_at__gt=silent_from)[:MOST]),
        queue=broker.look(),
    )
