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
from collections.abc import Callable
from functools import wraps
from typing import Any

import redis.exceptions
from django.db import Error as AnyDatabaseError
from django.db import connections
from rq import Worker
from rq.serializers import JSONSerializer, resolve_serializer

from embeddings import cleanup, conf, heartbeats, jobs, ledger, limiter
from embeddings.providers import get_provider

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
_REDIS_IS_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


def _outliving_redis(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of RQ's work loop that is passed over while Redis is away.

    RQ waits for Redis only where it waits for the next job; an error anywhere else ends its worker.
    """

    @wraps(step)
    def patient_step(self: EmbeddingWorker, *args: Any, **kwargs: Any) -> Any:
        try:
            return step(self, *args, **kwargs)
        except _REDIS_IS_AWAY as exc:
            logger.warning("Worker %s: Redis is away in %s (%s).", self.name, step.__name__, exc)

    return patient_step


class EmbeddingWorker(Worker):
    """RQ's forking worker with a sweep between its jobs, which outlives Redis. Other queues it works as RQ does."""

    # After Redis has been away the worker is back within seconds, not RQ's minute.
    max_connection_wait_time = 2.0

    check_for_suspension = _outliving_redis(Worker.check_for_suspension)
    run_maintenance_tasks = _outliving_redis(Worker.run_maintenance_tasks)
    set_state = _outliving_redis(Worker.set_state)
    maintain_heartbeats = _outliving_redis(Worker.maintain_heartbeats)
    set_shutdown_requested_date = _outliving_redis(Worker.set_shutdown_requested_date)
    register_death = _outliving_redis(Worker.register_death)
    unsubscribe = _outliving_redis(Worker.unsubscribe)

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        given = queues if isinstance(queues, list | tuple) else [queues]
        # Before RQ's own __init__, which sets the socket timeout by `dequeue_timeout`.
        self._sweeps = conf.current().queue in {getattr(queue, "name", queue) for queue in given}
        self._swept_at = self._beaten_at = self._cleaned_at = float("-inf")
        self._is_draining = self._was_child_killed = False
        self._others_serializer = resolve_serializer(kwargs.get("serializer"))
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
        if self._sweeps and not self.is_horse:
            connections.close_all()  # The request to stop may have come in the middle of a query.
            with _database_errors_logged():
                heartbeats.stopped(self.name)
        super().teardown()  # type: ignore[no-untyped-call]

    # The sweep.

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """In burst mode an empty queue ends the worker: only let it when the ledger has nothing due either."""
        if self._sweeps and timeout is None:
            self._sweep(is_coalesced=False)
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls this before each block on Redis; while a job runs, the job itself is the sign of life."""
        if self._sweeps and not self.horse_pid and time.monotonic() - self._swept_at >= conf.current().sweep_seconds:
            self._sweep()
        with contextlib.suppress(*_REDIS_IS_AWAY):
            super().heartbeat(timeout, pipeline)

    def _sweep(self, *, is_coalesced: bool = True) -> None:
        """Make due tasks claimable, free those of dead workers, and poke if anything can be claimed."""
        self._swept_at = time.monotonic()
        with _database_errors_logged():
            self._beat()
            aliases = conf.provider_aliases() if conf.current().enabled else []
            lanes = [*limiter.open_lanes(aliases), *limiter.due_probes(aliases)]
            for using in conf.current().databases:
                ledger.promote_due(using=using)
                ledger.rescue(using=using)
                if lanes and ledger.has_claimable(lanes, using=using):
                    jobs.poke(is_coalesced=is_coalesced)
            self._clean_up()

    def _beat(self) -> None:
        if time.monotonic() - self._beaten_at >= HEARTBEAT_SECONDS:
            self._beaten_at = time.monotonic()
            heartbeats.idle(self.name)

    def _clean_up(self) -> None:
        if time.monotonic() - self._cleaned_at >= conf.current().cleanup_interval_hours * 3600:
            self._cleaned_at = time.monotonic()
            cleanup.clean_up()

    # The child that runs a job.

    def execute_job(self, job: Any, queue: Any) -> None:
        """RQ's, except that the tasks of a child that died are free at once instead of when their leases end."""
        self._is_draining = queue.name == conf.current().queue
        self._was_child_killed = False
        connections.close_all()  # A forked child must not share the parent's.
        try:
            super().execute_job(job if self._is_draining else self._reread(job), queue)
        except _REDIS_IS_AWAY as exc:
            logger.warning("Worker %s: Redis is away; what became of a job is not recorded (%s).", self.name, exc)
            if self.horse_pid:  # RQ broke off before it had noted the child's end, or even while it ran.
                self.wait_for_horse()
                self._horse_pid = 0
            self.execution = None
        finally:
            if self._is_draining and self._was_child_killed:
                self._free_tasks()

    def _reread(self, job: Any) -> Any:
        """A job of another queue, with the serializer that this worker was given for those."""
        return self.job_class.fetch(job.id, connection=self.connection, serializer=self._others_serializer)

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        super().fork_work_horse(job, queue)
        if self._stop_requested:  # since RQ looked
            self._pass_on_stop()

    def setup_work_horse_signals(self) -> None:
        """The child settles what is in flight and ends when its parent passes on a request to stop."""
        if not self._is_draining:
            super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda signum, frame: jobs.stop_requested.set())
        if self._stop_requested:  # before this child had its own handlers
            jobs.stop_requested.set()

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        self._pass_on_stop()

    def _pass_on_stop(self) -> None:
        if self._is_draining and self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def wait_for_horse(self) -> Any:
        pid, status, usage = super().wait_for_horse()
        self._was_child_killed |= status is not None and os.WIFSIGNALED(status)
        return pid, status, usage

    def _free_tasks(self) -> None:
        with _database_errors_logged():
            heartbeats.erred(self.name, "A job of this worker was killed.")
            for using in conf.current().databases:
                ledger.rescue(worker=self.name, using=using)


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
    except AnyDatabaseError as exc:
        logger.error("The database could not be reached: %s", exc)
        connections.close_all()
