"""One process's own count of what it has used, and its share of the quotas while Redis is away."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

from django.db.models.functions import Now
from limits.storage import MemoryStorage

from embeddings import conf
from embeddings.models import ALIVE_SECONDS, WorkerStatus
from embeddings.quotas import waits
from embeddings.quotas.waits import Use

# The number of workers is asked for this often.
COUNT_SECONDS = 5.0
_WITHOUT_LIMIT = 2**53

_lock = threading.Lock()
_storage: MemoryStorage | None = None
_workers: tuple[float, int] = (float("-inf"), 1)


def take(uses: list[Use]) -> float:
    """Use all of it from this worker's share, or nothing; returns 0.0, or the seconds after which to ask again.

    A request that is larger than the share goes alone: at most one a window, and less than one in the long run.
    """
    return _take(uses, live_workers())


def take_alone(uses: list[Use]) -> float:
    """The same of what no worker shares."""
    return _take(uses, 1)


def _take(uses: list[Use], sharers: int) -> float:
    with _lock:
        needed = [_seconds_until_free(use, max(1, use.limit // sharers)) for use in uses]
        if any(needed):
            return waits.when_to_ask_again(needed)
        _add(uses)
    return 0.0


def spend(uses: list[Use]) -> None:
    """Use all, free or not."""
    with _lock:
        _add(uses)


def live_workers() -> int:
    """How many workers have been heard of lately, by the database's clock; at least 1. Some seconds old."""
    global _workers
    asked_at, count = _workers
    if time.monotonic() - asked_at >= COUNT_SECONDS:
        alive = WorkerStatus.objects.using(conf.current().databases[0]).filter(
            heartbeat_at__gt=Now() - timedelta(seconds=ALIVE_SECONDS)
        )
        count = max(1, alive.exclude(state=WorkerStatus.State.STOPPED).count())
        _workers = (time.monotonic(), count)
    return count


def _seconds_until_free(use: Use, share: int) -> float:
    state = _counts().get_sliding_window(use.key, waits.WINDOW_SECONDS)
    return waits.seconds_until_free(state, share, min(use.cost, share))


def _add(uses: list[Use]) -> None:
    for use in uses:
        _counts().acquire_sliding_window_entry(use.key, _WITHOUT_LIMIT, waits.WINDOW_SECONDS, use.cost)


def _counts() -> MemoryStorage:
    """Made when it is first needed: it starts a thread, and does so again with each use."""
    global _storage
    if _storage is None:
        _storage = MemoryStorage()
    return _storage


def reset() -> None:
    """Forget all counts. A forked child does: it has neither its parent's threads nor who would release the lock."""
    global _lock, _storage, _workers
    _lock, _storage, _workers = threading.Lock(), None, (float("-inf"), 1)


os.register_at_fork(after_in_child=reset)
