"""Wait until workers have done what is queued of some targets."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import connections
from django.db.models import Q, QuerySet

from embeddings import conf, stats
from embeddings.cli.telling import Teller
from embeddings.durations import duration
from embeddings.models import OPEN, EmbeddingTask
from embeddings.registry import Derived, Splitting

POLL_SECONDS = 0.2
# A count of many tasks takes its time: at most this part of the wait.
COUNTING_SHARE = 0.1
# If nothing has come to its end for so long, it is asked why; and after so long it is waited for no more.
LOOK_SECONDS = 5.0
STALL_SECONDS = 300.0


def wait(targets: Sequence[Derived], using: str, teller: Teller) -> bool:
    """Whether all is done that was asked for by now. False if nothing moves any more: it is said why.

    Chunks are asked for when their texts are split, so the texts come first.
    """
    if not conf.current().queue_enabled:
        return True  # Whoever queued has embedded.
    splittings = [target for target in targets if isinstance(target, Splitting)]
    vectors = [target for target in targets if not isinstance(target, Splitting)]
    return all(_Wait(part, using, teller).is_done() for part in (splittings, vectors) if part)


class _Wait:
    """For the tasks that are open now, whatever is saved meanwhile."""

    def __init__(self, targets: Sequence[Derived], using: str, teller: Teller) -> None:
        self._targets, self._using, self._teller = targets, using, teller
        self._tasks = self._asked_for()
        self._started = self._moved = time.monotonic()
        self._total = self._least = self._tasks.count()

    def is_done(self) -> bool:
        while left := self._count():
            still = time.monotonic() - self._moved
            if still >= STALL_SECONDS:
                self._teller.say(f"{left:,} tasks are left, and nothing has moved for {duration(still)}. {_why()}")
                return False
            self._teller.show(self._progress(left) if still < LOOK_SECONDS else f"{left:,} tasks are left. {_why()}")
        return True

    def _asked_for(self) -> QuerySet[EmbeddingTask]:
        with connections[self._using].cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            [now] = cursor.fetchone()
        which = Q()
        for target in self._targets:
            which |= Q(content_type_id=target.content_type_id(self._using), field=target.field)
        return EmbeddingTask.objects.using(self._using).filter(which, status__in=OPEN, requested_at__lte=now)

    def _count(self) -> int:
        """How many are open, after a pause if any is."""
        started = time.monotonic()
        left = self._tasks.count()
        ended = time.monotonic()
        if left < self._least:
            self._least, self._moved = left, ended
        if left:
            time.sleep(max(POLL_SECONDS, (ended - started) / COUNTING_SHARE))
        return left

    def _progress(self, left: int) -> str:
        done = self._total - left
        speed = done / (time.monotonic() - self._started)
        rest = f", about {duration(left / speed)} left" if speed else ""
        return f"{done:,} of {self._total:,}, {stats.per_second(speed)}{rest}."


def _why() -> str:
    """Who or what it waits for."""
    if not stats.workforce().alive:
        return f"No worker is alive. Start one: manage.py rqworker {conf.current().queue}"
    found = stats.condition()
    return f"{found.sentence} {found.advice}".strip()
