"""The worker registry in PostgreSQL: which workers live, what they hold, what they have done."""

from __future__ import annotations

import os
import socket
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.dispatch import Signal

from embeddings import conf
from embeddings.models import WorkerStatus

State = WorkerStatus.State

# Sent when a worker has shown that it lives while its job runs.
beaten = Signal()


def born(name: str) -> None:
    """Record a worker that starts."""
    _workers().update_or_create(
        name=name,
        defaults={
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "state": State.IDLE,
            "claimed": 0,
            "started_at": Now(),
            "heartbeat_at": Now(),
            "stopped_at": None,
        },
    )


def beat(name: str, *, claimed: int = 0, completed: int = 0, failed: int = 0, rate_limited: int = 0) -> None:
    """Record that a worker lives, the tasks that it has in hand, and what it has done since the last beat."""
    updated = _update(
        name,
        state=State.ACTIVE if claimed else State.IDLE,
        claimed=claimed,
        completed=F("completed") + completed,
        failed=F("failed") + failed,
        rate_limited=F("rate_limited") + rate_limited,
        heartbeat_at=Now(),
    )
    if not updated:  # somebody deleted the row of a living worker
        born(name)
    beaten.send(sender=WorkerStatus)


def idle(name: str) -> None:
    """Record that a worker lives without a job. What its last job made of its state stays to be seen."""
    if not _update(name, heartbeat_at=Now()):
        born(name)


def erred(name: str, message: str) -> None:
    """Record that a worker's job ended with an exception."""
    _update(name, state=State.ERROR, claimed=0, last_error=message, heartbeat_at=Now())


def stopped(name: str) -> None:
    """Record that a worker ended in order."""
    _update(name, state=State.STOPPED, claimed=0, heartbeat_at=Now(), stopped_at=Now())


def _update(name: str, **values: Any) -> int:
    return _workers().filter(name=name).update(**values)


def _workers() -> QuerySet[WorkerStatus]:
    return WorkerStatus.objects.using(conf.current().databases[0])
