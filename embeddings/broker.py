"""The Redis of the queue, on a connection of our own: short timeouts, no retries, JSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver
from django_rq.queues import get_queue
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker, worker_registration
from rq.serializers import JSONSerializer

from embeddings import conf

# How long a saving process, or a worker that has tasks in hand, waits for an answer of Redis.
TIMEOUT_SECONDS = 0.5


@cache
def queue(timeout_seconds: float = TIMEOUT_SECONDS, name: str = "") -> Queue:
    """The queue of the pokes, or another of RQ_QUEUES."""
    name = name or conf.current().queue
    connection = redis(timeout_seconds, name)
    made: Queue = get_queue(name, connection=connection, commit_mode="auto", serializer=JSONSerializer)
    return made


@cache
def redis(timeout_seconds: float = TIMEOUT_SECONDS, name: str = "") -> Redis:
    """The Redis that RQ_QUEUES names for the queue of the pokes, or for another; a longer answer is an error."""
    pool = get_queue(name or conf.current().queue).connection.connection_pool
    options: dict[str, Any] = {
        **pool.connection_kwargs,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
    }
    return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **options))


@dataclass(frozen=True, slots=True)
class QueueView:
    """What Redis knows of the queue."""

    # Messages that wait: pokes, of which many may be lost or doubled. How much work there is says the ledger.
    depth: int
    # The names of the workers that are registered and not forgotten.
    workers: frozenset[str]


def look() -> QueueView | None:
    """What Redis knows; None if it cannot be asked."""
    try:
        keys = sorted(worker_registration.get_keys(queue()))
        with redis().pipeline(transaction=False) as pipeline:
            pipeline.llen(queue().key)
            for key in keys:
                pipeline.exists(key)
            depth, *known = pipeline.execute()
    except (RedisError, OSError):
        return None
    prefix = Worker.redis_worker_namespace_prefix
    names = (key.removeprefix(prefix) for key, is_known in zip(keys, known, strict=True) if is_known)
    return QueueView(depth, frozenset(names))


def worker_names() -> set[str] | None:
    """The names of the workers that Redis knows; None if it cannot be asked."""
    view = look()
    return None if view is None else set(view.workers)


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "RQ_QUEUES"}:
        queue.cache_clear()
        redis.cache_clear()
