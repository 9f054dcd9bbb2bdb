"""The RQ worker: `manage.py rqworker embeddings` with RQ = {"WORKER_CLASS": "embeddings.worker.EmbeddingWorker"}.

Besides taking jobs it sweeps: it finds due tasks, expired leases and lost pokes in the ledger, so that nothing else,
no scheduler and no cron, has to run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from typing import Any

from django.db import DatabaseError, connections
from rq import Worker
from rq.serializers import JSONSerializer

from embeddings import cleanup, conf, heartbeats, jobs, ledger, limiter
from embeddings.providers import get_provider

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0


class EmbeddingWorker(Worker):
    """RQ's forking worker with a sweep between its jobs. On other queues it is RQ's worker unchanged."""

    # After Redis has been away the worker is back within seconds, not RQ's minute.
    max_connection_wait_time = 2.0

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        given = queues if isinstance(queues, list | tuple) else [queues]
        # Before RQ's own __init__, which sets the socket timeout by `dequeue_timeout`.
        self._sweeps = conf.current().queue in {getattr(queue, "name", queue) for queue in given}
        self._swept_at = self._beaten_at = self._cleaned_at = float("-inf")
        if self._sweeps:
            # django-rq's command passes pickle whatever the queue says; our pokes are JSON, safe from whoever can
            # write to Redis.
            kwargs["serializer"] = JSONSerializer
        super().__init__(queues, *args, **kwargs)

    # RQ blocks on Redis for this long; between two blocks the worker sweeps.
    @property
    def dequeue_timeout(self) -> int:
        return max(1, round(conf.current().sweep_seconds)) if self._sweeps else super().dequeue_timeout

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        super().bootstrap(*args, **kwargs)
        if self._sweeps:
            _prepare_providers()
            with _database_errors_logged():
                heartbeats.born(self.name)

    def teardown(self) -> None:
        if self._sweeps:
            with _database_errors_logged():
                heartbeats.stopped(self.name)
        super().teardown()  # type: ignore[no-untyped-call]

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """In burst mode an empty queue ends the worker: only let it when the ledger has nothing due either."""
        if self._sweeps and timeout is None:
            self._sweep(is_coalesced=False)
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls this before each block on Redis; while a job runs, the job itself is the sign of life."""
        if self._sweeps and not self.horse_pid and time.monotonic() - self._swept_at >= conf.current().sweep_seconds:
            self._sweep()
        super().heartbeat(timeout, pipeline)

    def _sweep(self, *, is_coalesced: bool = True) -> None:
        """Make due tasks claimable, free those of dead workers, and poke if anything can be claimed."""
        self._swept_at = time.monotonic()
        with _database_errors_logged():
            self._beat()
            lanes = [lane.alias for lane in limiter.open_lanes(conf.provider_aliases())]
            for using in conf.current().databases:
                ledger.promote_due(using=using)
                ledger.rescue(using=using)
                if lanes and ledger.has_claimable(lanes, using=using):
                    jobs.poke(is_coalesced=is_coalesced)
            if time.monotonic() - self._cleaned_at >= conf.current().cleanup_interval_hours * 3600:
                self._cleaned_at = time.monotonic()
                cleanup.clean_up()

    def _beat(self) -> None:
        if time.monotonic() - self._beaten_at >= HEARTBEAT_SECONDS:
            self._beaten_at = time.monotonic()
            heartbeats.beat(self.name)

    def execute_job(self, job: Any, queue: Any) -> None:
        """A forked child must not share the parent's database connections."""
        connections.close_all()
        super().execute_job(job, queue)

    def setup_work_horse_signals(self) -> None:
        """The child settles what is in flight and ends when its parent passes on a request to stop."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda signum, frame: jobs.stop_requested.set())

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def handle_work_horse_killed(self, job: Any, retpid: Any, ret_val: Any, rusage: Any) -> None:
        """The child died: free its tasks now instead of when their leases end."""
        with _database_errors_logged():
            heartbeats.erred(self.name, "A job of this worker was killed.")
            for using in conf.current().databases:
                ledger.rescue(worker=self.name, using=using)
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call]


def _prepare_providers() -> None:
    """Load models before the first fork, so that every job shares them."""
    for alias in conf.provider_aliases():
        try:
            get_provider(alias).prepare()
        except Exception as exc:
            logger.error("Provider %r is not ready: %s", alias, exc)


@contextlib.contextmanager
def _database_errors_logged() -> Any:
    """A worker outlives its database: the next sweep tries again on a new connection."""
    try:
        yield
    except DatabaseError as exc:
        logger.error("The database could not be reached: %s", exc)
        connections.close_all()
