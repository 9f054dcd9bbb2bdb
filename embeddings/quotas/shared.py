"""The quotas on Redis, counted by the `limits` library in sliding windows: two numbers a quota, whatever its size."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from django.core.signals import setting_changed
from django.dispatch import receiver
from limits.storage import RedisStorage
from redis.exceptions import RedisError

from embeddings import broker
from embeddings.quotas import waits
from embeddings.quotas.waits import Use

logger = logging.getLogger(__name__)

T = TypeVar("T")

KEY_PREFIX = "embeddings:quota"
# After Redis has failed it is left alone for so long: one that hangs costs broker.TIMEOUT_SECONDS each time.
RETRY_SECONDS = 2.0
# A limit that no count reaches, for what is used without asking.
WITHOUT_LIMIT = 2**53

_lock = threading.Lock()
_failed_at = float("-inf")
_is_away = False


def attempt(operation: Callable[[], T]) -> T | None:
    """What an operation on Redis returns; None if Redis is away, or was a moment ago. An outage is logged once."""
    if time.monotonic() - _failed_at < RETRY_SECONDS:
        return None
    try:
        result = operation()
    except (RedisError, OSError) as exc:
        _note(is_away=True, reason=type(exc).__name__)
        return None
    if _is_away:
        _note(is_away=False)
    return result


def take(uses: list[Use]) -> float:
    """Use all or nothing; returns 0.0, or the seconds after which to ask again. Raises RedisError or OSError.

    Each step is atomic, all together are not: for the millisecond between them what is given back again counts as used.
    If the window ends just then it is given back to the next, and there may be used once more within that one.
    """
    for position, use in enumerate(uses):
        if not _storage().acquire_sliding_window_entry(use.key, use.limit, waits.WINDOW_SECONDS, use.cost):
            for taken in uses[:position]:
                _add(taken.key, -taken.cost)
            return waits.when_to_ask_again([_seconds_until_free(use) for use in uses])
    return 0.0


def spend(uses: list[Use]) -> None:
    """Use all, free or not. Raises RedisError or OSError."""
    for use in uses:
        _add(use.key, use.cost)


def used(use: Use) -> int:
    """How much of the quota is used just now. Raises RedisError or OSError."""
    return waits.used(_storage().get_sliding_window(use.key, waits.WINDOW_SECONDS))


def _seconds_until_free(use: Use) -> float:
    state = _storage().get_sliding_window(use.key, waits.WINDOW_SECONDS)
    return waits.seconds_until_free(state, use.limit, use.cost)


def _add(key: str, amount: int) -> None:
    _storage().acquire_sliding_window_entry(key, WITHOUT_LIMIT, waits.WINDOW_SECONDS, amount)


@cache
def _storage() -> RedisStorage:
    """On the connections of our own Redis. The address names only the kind of server."""
    return RedisStorage("redis://", connection_pool=broker.redis().connection_pool, key_prefix=KEY_PREFIX)


def _note(*, is_away: bool, reason: str = "") -> None:
    global _failed_at, _is_away
    with _lock:
        is_news, _is_away = is_away != _is_away, is_away
        _failed_at = time.monotonic() if is_away else float("-inf")
    if is_news and is_away:
        logger.warning("Redis is away (%s): each worker keeps to its share of the providers' quotas.", reason)
    elif is_news:
        logger.info("Redis is back: the workers share the providers' quotas again.")


def reset() -> None:
    """Forget that Redis was away, and its connection."""
    global _failed_at, _is_away
    _failed_at, _is_away = float("-inf"), False
    _storage.cache_clear()


def _new_lock() -> None:
    """In a forked child: the thread that may have held its parent's is not there to release it."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "RQ_QUEUES"}:
        reset()
