"""One job's share of an operation, a transaction a page: whoever is killed anywhere has done a page or has not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, ProgrammingError, transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from embeddings import alerts, audit, conf, events, jobs, logs, pauses, task_filter, timeouts
from embeddings.exceptions import ConfigurationError
from embeddings.failure import Failure
from embeddings.models import EmbeddingOperation
from embeddings.operating.kinds import KINDS, Step

logger = logging.getLogger(__name__)

State = EmbeddingOperation.State

# A job hands on after this, so that on a single worker drains take turns with it.
SECONDS = 1.0
# How soon rows that somebody else had locked are tried again.
BLOCKED_SECONDS = 1.0
# As long as a new version of the code is rolled out, an old worker may not know the model.
ROLLOUT = timedelta(minutes=15)
ROLLOUT_SECONDS = 30.0


def operate() -> None:
    """The job of an operator's poke."""
    worker, stop = jobs.begin(jobs.OPERATE)
    if not conf.current().enabled:
        return
    Operator(worker, seconds=SECONDS, stop=stop).run()
    if any(pauses.open_operations(using).exists() for using in conf.current().databases):
        jobs.poke_operator(is_coalesced=False)
    alerts.finish()


class Operator:
    """Goes on with one operation after the other, until its time is over: the oldest that nobody works on first.

    Those on tasks come before those on rows, which take long: whoever cancels what one has queued does not wait for it.
    """

    def __init__(
        self,
        worker: str,
        *,
        seconds: float = float("inf"),
        page_size: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.worker = worker
        self._page_size = page_size or conf.current().operation_page_size
        self._deadline = time.monotonic() + seconds
        self._stop = stop

    def run(self) -> None:
        with timeouts.bounded(conf.current().databases):
            for using in conf.current().databases:
                while not self._is_over() and (operation := self._take(using)):
                    self._work(operation, using)

    def _is_over(self) -> bool:
        return self._stop() or time.monotonic() >= self._deadline

    def _take(self, using: str) -> EmbeddingOperation | None:
        """The next operation, under a lease."""
        with transaction.atomic(using=using):
            free = pauses.open_operations(using).order_by(_ON_TASKS_FIRST, "pk")
            operation = free.select_for_update(skip_locked=True).first()
            if operation is not None:
                _only(operation, using).update(
                    state=State.RUNNING,
                    worker=self.worker,
                    lease_until=_lease(),
                    started_at=Coalesce(F("started_at"), Now()),
                )
        return operation

    def _work(self, operation: EmbeddingOperation, using: str) -> None:
        about = {"worker": self.worker, "operation": operation.pk, "batch": operation.batch_id, "database": using}
        with logs.bound(**about):
            self._work_bound(operation, using)

    def _work_bound(self, operation: EmbeddingOperation, using: str) -> None:
        try:
            self._pages(operation, using)
        except (OperationalError, InterfaceError) as exc:
            if not timeouts.is_timeout(exc):
                raise  # The database is away. The lease runs out, and the next worker goes on.
            logger.warning("%s: a page took too long, the next is smaller: %s", operation, Failure.of(exc).message)
            self._page_size = max(1, self._page_size // 4)
            # What could not be counted is not counted again.
            self._put_off(operation, 0, using, rows_total=Coalesce(F("rows_total"), 0))
        except (ConfigurationError, ProgrammingError) as exc:
            if timezone.now() - operation.created_at < ROLLOUT:
                message = Failure.of(exc).message
                self._put_off(operation, ROLLOUT_SECONDS, using, error_message=message)
            else:
                self._fail(operation, exc, using)
        except Exception as exc:
            logger.exception("%s cannot go on.", operation)
            self._fail(operation, exc, using)

    def _pages(self, operation: EmbeddingOperation, using: str) -> None:
        """Page after page, as long as there is time."""
        if operation.rows_total is None:
            _only(operation, using).update(rows_total=KINDS[operation.kind].total(operation, using))
        while not (self._is_over() or pauses.is_held(operation)):
            step = self._page(operation, using)
            if step is None or step.is_last or step.is_blocked:
                return
        self._put_off(operation, 0, using)

    def _page(self, operation: EmbeddingOperation, using: str) -> Step | None:
        """Work one page. Its operation's row is locked meanwhile: whoever has lost the lease, or was stopped, finds it
        changed and gets None."""
        with transaction.atomic(using=using):
            present = self._mine(operation, using).select_for_update().first()
            if present is None:
                return None
            step = KINDS[present.kind].step(present, self._page_size, using)
            self._mine(operation, using).update(**_progress(step))
            if step.is_last:
                events.touch_batches(_batches(present), using=using)
                _tell_end(present, present.rows_read + step.rows, present.changed + step.changed)
        return step

    def _mine(self, operation: EmbeddingOperation, using: str) -> QuerySet[EmbeddingOperation]:
        return _only(operation, using).filter(worker=self.worker, finished_at=None)

    def _put_off(self, operation: EmbeddingOperation, seconds: float, using: str, **values: Any) -> None:
        """Give the lease back, or keep others away for so long."""
        until = Now() + timedelta(seconds=seconds) if seconds else None
        self._mine(operation, using).update(lease_until=until, **values)

    def _fail(self, operation: EmbeddingOperation, exc: Exception, using: str) -> None:
        why = Failure.of(exc).message
        ended = {"state": State.FAILED, "finished_at": Now(), "lease_until": None, "error_message": why}
        if self._mine(operation, using).update(**ended):
            events.touch_batches(_batches(operation), using=using)
            message = f"Operation #{operation.pk} cannot go on: {why}"
            audit.record(audit.Kind.OPERATION, message, subject=operation.target, operation=operation.pk)


# Those on tasks have no target.
_ON_TASKS_FIRST = Case(When(target="", then=0), default=1)


def _batches(operation: EmbeddingOperation) -> list[int]:
    """That of its tasks, if they have one."""
    return [] if operation.batch_id is None else [operation.batch_id]


def _only(operation: EmbeddingOperation, using: str) -> QuerySet[EmbeddingOperation]:
    return EmbeddingOperation.objects.using(using).filter(pk=operation.pk)


# What an operation on tasks did to them, for the audit log.
_DONE = {
    EmbeddingOperation.Kind.RETRY: (audit.Kind.RETRIED, "retried"),
    EmbeddingOperation.Kind.CANCEL: (audit.Kind.CANCELLED, "cancelled"),
    EmbeddingOperation.Kind.CLEAR: (audit.Kind.CLEARED, "deleted from the ledger"),
}


def _tell_end(operation: EmbeddingOperation, read: int, changed: int) -> None:
    """Write to the audit log what an operation has done, in the name of who began it."""
    default = (audit.Kind.OPERATION, "queued")
    kind, done = _DONE.get(EmbeddingOperation.Kind(operation.kind), default)
    message = f"Operation #{operation.pk} is done: {changed:,} of {read:,} {done} ({task_filter.subject(operation)})."
    audit.record(kind, message, subject=operation.target, by=operation.by, operation=operation.pk, changed=changed)


def _lease() -> Any:
    return Now() + timedelta(seconds=conf.current().lease_seconds)


def _progress(step: Step) -> dict[str, Any]:
    """What a page changes of its operation's row."""
    values: dict[str, Any] = {
        "cursor": step.cursor,
        "rows_read": F("rows_read") + step.rows,
        "changed": F("changed") + step.changed,
        "lease_until": _lease(),
        "error_message": "",
    }
    if step.is_blocked:
        values["lease_until"] = Now() + timedelta(seconds=BLOCKED_SECONDS)
    if step.is_last:
        values |= {
            "state": State.DONE,
            "finished_at": Now(),
            "lease_until": None,
            "rows_total": F("rows_read") + step.rows,
        }
    return values
