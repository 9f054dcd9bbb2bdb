"""Pokes: short messages on the RQ queue that say "there is work", and the job that they start."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.dispatch import receiver
from redis.exceptions import RedisError
from rq import Queue, get_current_job

from embeddings import alerts, broker, conf, events, heartbeats, ledger, live, pauses
from embeddings.failure import Failure
from embeddings.pipeline import Drain

logger = logging.getLogger(__name__)

# A saving process that embeds by itself waits no longer than this for rows that others have locked.
HERE_SECONDS = 5.0
# So many boxes of others' it takes along that were left.
BOXES_HERE = 10
# The job that goes on with operations; its module imports this one.
OPERATE = "embeddings.operating.operate"
# The job that sends webhooks; likewise.
DELIVER = "embeddings.webhooks.deliver"
# Pokes within this time are one, unless a worker has begun to work meanwhile.
COALESCE_SECONDS = 2
# A poke that no worker takes up in this time says nothing that the sweep will not say.
POKE_TTL_SECONDS = 60
# Nor does one behind so many others; without a worker they would pile up for ever.
MAX_WAITING_POKES = 50

# A process that found Redis away does not try again for as long as it would wait for it.
_redis_failed_at = float("-inf")
# Set when the process is asked to stop: drains settle what is in flight and give the rest back.
stop_requested = threading.Event()
# Set when it is asked again: what is in flight is given back too.
hurry_requested = threading.Event()


def schedule(task_ids: list[int], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """After the present transaction commits, call a worker, or embed the tasks here and now: with the queue off, or
    where no worker can be called and the settings say so."""
    settings = conf.current()
    if not task_ids:
        return
    if settings.queue_enabled and not settings.direct_fallback:
        poke_on_commit(using=using)
        return

    def embed() -> None:  # a function: Django names the hook when it logs the error of a robust one
        if not settings.queue_enabled:
            embed_here(task_ids, using)
        elif not poke():
            embed_here(task_ids[: settings.batch_size], using)

    transaction.on_commit(embed, using=using, robust=True)


def poke_on_commit(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Poke once when the present transaction commits; not at all if it rolls back."""
    if not _is_poke_registered(using):
        transaction.on_commit(poke, using=using, robust=True)


def _is_poke_registered(using: str) -> bool:
    """Whether the last hook of this transaction is a poke that this savepoint shares: then one is enough."""
    connection = connections[using]
    if not connection.in_atomic_block or not connection.run_on_commit:
        return False
    savepoint_ids, hook, *_ = cast("tuple[set[str], object]", connection.run_on_commit[-1])
    return hook is poke and savepoint_ids <= set(connection.savepoint_ids)


def poke(*, is_coalesced: bool = True, patience_seconds: float = broker.TIMEOUT_SECONDS) -> bool:
    """Tell a worker that there are tasks; returns whether Redis took it. Never raises: the sweep finds lost work.

    One answer of Redis may take `patience_seconds`. If all together took longer, Redis is left alone for a while.
    """
    is_told = _tell(drain, is_coalesced=is_coalesced, patience_seconds=patience_seconds)
    alerts.look_for_workers()
    return is_told


def poke_operator(*, is_coalesced: bool = True, patience_seconds: float = broker.TIMEOUT_SECONDS) -> bool:
    """Tell a worker that there is an operation to go on with; as `poke` in all else."""
    return _tell(OPERATE, is_coalesced=is_coalesced, patience_seconds=patience_seconds)


def poke_deliverer(*, is_coalesced: bool = True, patience_seconds: float = broker.TIMEOUT_SECONDS) -> bool:
    """Tell a worker that there are webhooks to send; as `poke` in all else."""
    return _tell(DELIVER, is_coalesced=is_coalesced, patience_seconds=patience_seconds)


@receiver(pauses.lifted)
def _poke_what_waited(**kwargs: object) -> None:
    poke(is_coalesced=False)
    poke_operator(is_coalesced=False)


def _tell(job: Callable[[], None] | str, *, is_coalesced: bool, patience_seconds: float) -> bool:
    global _redis_failed_at
    started = time.monotonic()
    if started - _redis_failed_at < broker.TIMEOUT_SECONDS:
        return False
    try:
        queue = broker.queue(patience_seconds, _queue_name(job))
        if _says_something(queue, _coalesce_key(job), is_coalesced=is_coalesced):
            queue.enqueue(  # type: ignore[type-var]
                job,
                description="embeddings: there is work",
                result_ttl=0,
                ttl=POKE_TTL_SECONDS,
                failure_ttl=POKE_TTL_SECONDS,
                job_timeout=_job_timeout(),
            )
    except (RedisError, OSError) as exc:
        _redis_failed_at = time.monotonic()
        logger.warning("Workers could not be poked (%s); their sweep will find the work.", type(exc).__name__)
        return False
    if time.monotonic() - started > patience_seconds:
        _redis_failed_at = time.monotonic()
    return True


def _says_something(queue: Queue, key: str, *, is_coalesced: bool) -> bool:
    """Whether a poke would tell anything new: none was sent just now, and not too many wait already."""
    with queue.connection.pipeline(transaction=False) as pipeline:
        pipeline.set(key, 1, nx=True, ex=COALESCE_SECONDS)
        pipeline.llen(queue.key)
        is_first, waiting = pipeline.execute()
    return bool(is_first or not is_coalesced) and waiting < MAX_WAITING_POKES


def _coalesce_key(job: Callable[[], None] | str) -> str:
    kind = {OPERATE: ":operator", DELIVER: ":deliverer"}.get(str(job), "")
    return f"embeddings:poked:{conf.current().queue}{kind}"


def _queue_name(job: Callable[[], None] | str) -> str:
    """That of the deliveries may be another; one that RQ_QUEUES does not have is a failed check, and not used."""
    settings = conf.current()
    if job == DELIVER and settings.webhook_queue in conf.rq_queues():
        return settings.webhook_queue
    return settings.queue


def _job_timeout() -> int:
    settings = conf.current()
    # The last request, and the ping after it.
    return int(settings.drain_seconds + 2 * settings.request_timeout_seconds + 30)


def drain() -> None:
    """The job of a poke: work the ledger; what is left when time ends is found by the sweep."""
    worker, stop = begin(drain)
    seconds = conf.current().drain_seconds
    heartbeats.beaten.connect(_keep_watch)  # The worker's own process sweeps only while no job runs.
    try:
        outcome = Drain(worker, seconds=seconds, stop=stop, hurry=hurry_requested.is_set, on_backlog=poke).run()
    except Exception as exc:
        with suppress(DatabaseError):
            heartbeats.erred(worker, f"{type(exc).__name__}: {Failure.of(exc).message}")
        raise
    finally:
        heartbeats.beaten.disconnect(_keep_watch)
        alerts.finish()
    about = {"worker": worker, "completed": outcome.completed, "failed": outcome.failed}
    logger.info("A drain has ended.", extra=about)


def _keep_watch(**kwargs: object) -> None:
    alerts.keep_watch()
    if events.is_anything_wanted() and events.is_anything_due():
        poke_deliverer()


def begin(job: Callable[[], None] | str) -> tuple[str, Callable[[], bool]]:
    """At the start of a job: its worker's name, and the question whether it has been asked to stop."""
    present = get_current_job()
    _forget_poke(job)
    live.refresh(max_age_seconds=0)
    parent = os.getppid()

    def stop() -> bool:  # A child whose parent was killed would go on, unseen, beside the worker that replaces it.
        return stop_requested.is_set() or os.getppid() != parent

    return (present.worker_name if present else None) or "unknown", stop


def _forget_poke(job: Callable[[], None] | str) -> None:
    """What commits from now on needs a poke of its own: this job may already have looked."""
    try:
        broker.redis(name=_queue_name(job)).delete(_coalesce_key(job))
    except (RedisError, OSError):
        logger.warning("Redis could not be reached at the start of a job.")


def embed_here(task_ids: list[int], using: str) -> None:
    """Embed tasks in this process. What cannot be done now is left in the ledger, for the next save or a requeue."""
    live.refresh(max_age_seconds=live.PATIENT_SECONDS)
    ledger.rescue(using=using)  # Without workers nobody else does.
    # Nor does a requeue, which goes by rows, find boxes that were left.
    ids = {*task_ids, *ledger.due_boxes(BOXES_HERE, using=using)}
    Drain("in process", seconds=HERE_SECONDS, has_heartbeat=False).run_tasks(ids, using)


def eviction_policy() -> str | None:
    """Redis's `maxmemory-policy`; None where it cannot be asked."""
    try:
        policy = broker.redis().config_get("maxmemory-policy")
    except (RedisError, OSError, KeyError):
        return None
    return next((str(value) for name, value in policy.items() if name == "maxmemory-policy"), None)
