"""The Redis of the queue, on a connection of our own: short timeouts, no retries, JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver
from django_rq.queues import get_queue
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from embeddings import conf

# How long a saving process, or a worker that has tasks in hand, waits for an answer of Redis.
TIMEOUT_SECONDS = 0.5


@cache
def queue(timeout_seconds: float = TIMEOUT_SECONDS) -> Queue:
    """The queue of the pokes."""
    connection = redis(timeout_seconds)
    made: Queue = get_queue(conf.current().queue, connection=connection, commit_mode="auto", serializer=JSONSerializer)
    return made


@cache
def redis(timeout_seconds: float = TIMEOUT_SECONDS) -> Redis:
    """The Redis that RQ_QUEUES names for the queue of the pokes; an answer that takes longer is an error."""
    pool = get_queue(conf.current().queue).connection.connection_pool
    options: dict[str, Any] = {
        **pool.connection_kwargs,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
    }
    return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **options))


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "RQ_QUEUES"}:
        queue.cache_clear()
        redis.cache_clear()
