"""What nobody holds: due tasks, those of dead workers, and whether there is work."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.functions import Now

from embeddings import audit, conf, events, pauses, tally
from embeddings.ledger import telling
from embeddings.ledger.statements import execute, execute_text, move, tasks_of
from embeddings.models import WAITING, Status, WorkerStatus

logger = logging.getLogger(__name__)

SWEEP_LIMIT = 10_000  # tasks that one statement moves at most


def promote_due(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make tasks claimable whose time has come."""
    due = tasks_of(using).filter(status__in=[Status.SCHEDULED, Status.RATE_LIMITED], available_at__lte=Now())
    return move(due.order_by("available_at")[:SWEEP_LIMIT], using, status=Status.PENDING, available_at=None)


def hasten(provider: str, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Let what waits for a provider's quota wait no longer."""
    return move(tasks_of(using).filter(status=Status.RATE_LIMITED, provider=provider), using, available_at=Now())


def adopt(content_type_id: int, field: str, provider: str, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give a field's waiting tasks to the provider that it has now: in another's lane nobody may ever claim them."""
    strays = tasks_of(using).filter(content_type_id=content_type_id, field=field, status__in=WAITING)
    return move(strays.exclude(provider=provider), using, provider=provider)


def rescue(*, worker: str | None = None, is_crash: bool = True, using: str = DEFAULT_DB_ALIAS) -> int:
    """Free tasks whose lease ran out or, where `worker` is given, those that this worker has in hand no more.

    A death counts against the tasks that were in hand at it, unless `is_crash` says that there was another cause.
    """
    seen: list[tuple[str, datetime, datetime, datetime | None]] = []
    if worker is None:  # whoever held the tasks may live, or have ended in order
        if not tasks_of(using).filter(status=Status.PROCESSING, lease_until__lt=Now()).exists():
            return 0
        workers = WorkerStatus.objects.using(conf.current().databases[0])
        seen = list(workers.values_list("name", "started_at", "heartbeat_at", "stopped_at"))
    params = {
        "worker": worker,
        "is_crash": is_crash,
        "lease_seconds": conf.current().lease_seconds,
        "names": [name for name, _, _, _ in seen],
        "started": [started_at for _, started_at, _, _ in seen],
        "beaten": [heartbeat_at for _, _, heartbeat_at, _ in seen],
        "stopped": [stopped_at for _, _, _, stopped_at in seen],
        "limit": SWEEP_LIMIT,
        "max_crashes": conf.current().max_crashes,
    }
    rows = execute_text(telling.statement("rescue", "freed", events.Kind.TASK_FAILED), params, using)
    if rows:
        logger.info("Freed tasks that no worker holds any more.", extra={"tasks": len(rows), "database": using})
    _tell([(*ended, worker) for *ended, worker, is_crash in rows if is_crash], using)
    return len(rows)


def _tell(crashed: list[tuple[int, str, str, str]], using: str) -> None:
    """Count the attempts that crashes have ended, as (content type's id, field, status, worker), and say so."""
    if not crashed:
        return
    ended = [(content_type_id, field, status == Status.FAILED) for content_type_id, field, status, _ in crashed]
    transaction.on_commit(partial(tally.failed, using, ended), using=using)
    workers = Counter(worker for *_, worker in crashed)
    failed = sum(is_failed for *_, is_failed in ended)
    names = ", ".join(sorted(workers))
    message = f"{names} died with {len(crashed):,} {'task' if len(crashed) == 1 else 'tasks'} in hand"
    message += f": {failed:,} failed for it, the rest wait to be claimed again." if failed else ": they wait again."
    audit.record(audit.Kind.RESCUED, message, subject=names, workers=workers, failed=failed)


def has_suspects(providers: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether tasks of these providers wait that were in hand at a worker's death."""
    targets = pauses.open_targets(providers, using)
    if targets is not None:
        return _has_open(targets, 1, using)
    return tasks_of(using).filter(status=Status.PENDING, provider__in=providers, crashes__gt=0).exists()


def has_claimable(providers: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether a claim for one of these providers would find a task."""
    targets = pauses.open_targets(providers, using)
    if targets is not None:
        return _has_open(targets, 0, using)
    pending = tasks_of(using).filter(status=Status.PENDING, provider__in=providers)
    fit = pending.select_for_update(skip_locked=True)
    with transaction.atomic(using=using):
        return bool(fit.values_list("pk", flat=True)[:1])


def _has_open(targets: Sequence[tuple[int, str, str]], crashes: int, using: str) -> bool:
    """Whether one of these targets has a task that a claim would find, with at least so many crashes."""
    content_types, fields, providers = (list(column) for column in zip(*targets, strict=True)) if targets else ([],) * 3
    params = {"content_types": content_types, "fields": fields, "providers": providers, "crashes": crashes}
    return bool(targets and execute("find_open", params, using))
