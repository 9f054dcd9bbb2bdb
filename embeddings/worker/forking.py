"""The worker process: it sweeps, forks a child for each job, and sees to it that both end in order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from typing import Any

from django.db import connections
from redis.exceptions import RedisError
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer, resolve_serializer
from rq.worker import WorkerStatus as RQState

from embeddings import broker, conf, heartbeats, jobs, ledger
from embeddings.models import EmbeddingOperation
from embeddings.providers import get_provider
from embeddings.webhooks import deliveries
from embeddings.worker import supervised
from embeddings.worker.databases import connect_anew, drop_pools, errors_logged
from embeddings.worker.patience import PatientWorker
from embeddings.worker.sweep import Sweep

logger = logging.getLogger(__name__)

# A terminal and a process manager may send the same request to stop both to a process and to its group.
SAME_SIGNAL_SECONDS = 1.0
# What the parent sends on to its child when it is asked to stop, and when it is asked again.
STOP, HURRY = signal.SIGTERM, signal.SIGUSR1
# How long a child may take to give its tasks back when it has to hurry, before it is killed.
HURRY_SECONDS = 2.5
# How often the parent of a running job looks after it, and tells Redis that it lives.
MONITORING_SECONDS = 5
# A child that its own alarm has not ended so long after its job's time is stuck, and killed.
STUCK_SECONDS = 60


class EmbeddingWorker(PatientWorker):
    """RQ's forking worker with a sweep between its jobs. Other queues it works as RQ does."""

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        given = queues if isinstance(queues, list | tuple) else [queues]
        # Before RQ's own __init__, which sets the socket timeout by `dequeue_timeout`.
        names = {getattr(queue, "name", queue) for queue in given}
        self._sweeps = conf.current().queue in names
        self._is_draining = self._was_child_killed = self._is_kill_wanted = False
        self._asked_at = self._child_ends_by = float("-inf")
        self._others_serializer = resolve_serializer(kwargs.get("serializer"))
        if names & _ours():
            # django-rq's command passes pickle whatever the queue says; our pokes are JSON, safe from whoever can
            # write to Redis.
            kwargs["serializer"] = JSONSerializer
            kwargs.setdefault("job_monitoring_interval", MONITORING_SECONDS)
        super().__init__(queues, *args, **kwargs)
        self._sweep = Sweep(self.name)

    # RQ blocks on Redis for this long; between two blocks the worker sweeps.
    @property
    def dequeue_timeout(self) -> int:
        return max(1, round(conf.current().sweep_seconds)) if self._sweeps else super().dequeue_timeout

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        super().bootstrap(*args, **kwargs)
        if self._sweeps:
            drop_pools()
            _prepare_providers()

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """In burst mode an empty queue ends the worker: only let it when the ledger has nothing due either."""
        if self._sweeps and timeout is None:
            self._sweep.run(is_coalesced=False)
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls this before each block on Redis; while a job runs, the job itself is the sign of life."""
        if self._stop_requested and not self.is_horse and self.get_state() != RQState.BUSY:
            raise StopRequested  # RQ's signal handler raised it where somebody caught it.
        self._end_with_supervisor()
        if self._sweeps and not self.horse_pid and self._sweep.is_due():
            self._sweep.run()
        super().heartbeat(timeout, pipeline)

    def teardown(self) -> None:
        if self._sweeps and not self.is_horse:
            self._asked_at = time.monotonic()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.request_force_stop)
            connect_anew()  # The request to stop may have come in the middle of a transaction.
            with errors_logged():
                heartbeats.stopped(self.name)
            self.connection = broker.redis()  # It waits for Redis no longer than a saving process does.
        super().teardown()  # type: ignore[no-untyped-call]

    # The child that runs a job.

    def execute_job(self, job: Any, queue: Any) -> None:
        """RQ's, except that the tasks and the operation of a child that died are free at once."""
        self._is_draining = queue.name in _ours()
        self._was_child_killed = self._is_kill_wanted = False
        connections.close_all()  # A forked child must not share the parent's.
        try:
            super().execute_job(job if self._is_draining else self._reread(job), queue)
        except RedisError as exc:
            logger.warning("Worker %s: Redis failed; what became of a job is not recorded (%s).", self.name, exc)
            if self.horse_pid:  # RQ broke off before it had noted the child's end, or even while it ran.
                self.wait_for_horse()
                self._horse_pid = 0
            self.execution = None
        finally:
            if self._is_draining and self._was_child_killed:
                self._free_tasks()
            self._sweep.job_ended()

    def _reread(self, job: Any) -> Any:
        """A job of another queue, with the serializer that this worker was given for those."""
        return self.job_class.fetch(job.id, connection=self.connection, serializer=self._others_serializer)

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        super().fork_work_horse(job, queue)
        if self._is_draining:
            # RQ would judge the time of the child by a clock that can jump, so `maintain_heartbeats` does.
            seconds = float("inf") if job.timeout == -1 else job.timeout or self.queue_class.DEFAULT_TIMEOUT
            self._child_ends_by = time.monotonic() + seconds + STUCK_SECONDS
            job.timeout = -1
        if self._stop_requested:  # since RQ looked
            self._signal_child(STOP)

    def maintain_heartbeats(self, *args: Any) -> None:
        if self._is_draining and time.monotonic() > self._child_ends_by:
            logger.error("Worker %s: its job hangs, and is killed.", self.name)
            super().kill_horse()
        self._end_with_supervisor()
        super().maintain_heartbeats(*args)

    def _end_with_supervisor(self) -> None:
        if not self.is_horse and not self._stop_requested and supervised.is_orphaned():
            logger.warning("Worker %s: its supervisor is gone, so it ends too.", self.name)
            os.kill(os.getpid(), STOP)

    def setup_work_horse_signals(self) -> None:
        """The child settles what is in flight and ends when its parent passes on a request to stop."""
        if not self._is_draining:
            super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(STOP, lambda signum, frame: jobs.stop_requested.set())
        signal.signal(HURRY, _hurry)
        if self._stop_requested or os.getppid() != self.pid:  # before this child had its own handlers
            jobs.stop_requested.set()

    def wait_for_horse(self) -> Any:
        pid, status, usage = super().wait_for_horse()
        # By a signal, or by itself: what a library ends has no chance to give its tasks back either.
        self._was_child_killed |= bool(status)
        return pid, status, usage

    def kill_horse(self, *args: Any) -> None:
        """RQ's, for an operator who stops a job or forces the worker to stop: no fault of the tasks in hand."""
        self._is_kill_wanted = True
        super().kill_horse(*args)

    def _signal_child(self, number: signal.Signals) -> None:
        if self._is_draining and self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, number)

    def _free_tasks(self) -> None:
        is_crash = not self._is_kill_wanted
        with errors_logged():
            for using in conf.current().databases:
                ledger.rescue(worker=self.name, is_crash=is_crash, using=using)
                EmbeddingOperation.objects.using(using).let_go(self.name)
            deliveries.rescue(self.name)
            if is_crash:
                heartbeats.erred(self.name, "A job of this worker was killed.")

    # Requests to stop.

    def request_stop(self, signum: Any, frame: Any) -> None:
        self._asked_at = time.monotonic()
        self._stop_requested = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        self._signal_child(STOP)

    def request_force_stop(self, signum: int, frame: Any) -> None:
        """A second request: the child gives back at once, and whatever happens, both end."""
        if time.monotonic() - self._asked_at < SAME_SIGNAL_SECONDS:
            return
        self._asked_at = time.monotonic()
        logger.warning("Worker %s: stopping at once.", self.name)
        if self.horse_pid:
            self._signal_child(HURRY)
            if not (self._is_draining and self._has_child_ended_within(HURRY_SECONDS)):
                self.kill_horse()
                self.wait_for_horse()
            self._was_child_killed = self._is_kill_wanted = True  # Whatever it has kept is to be freed.
        raise SystemExit

    def _has_child_ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        with contextlib.suppress(ChildProcessError):  # RQ has seen it end.
            while os.waitpid(self.horse_pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
        return True


def _ours() -> set[str]:
    """The queues of our own jobs."""
    return {conf.current().queue, conf.current().webhook_queue} - {""}


def _hurry(signum: int, frame: Any) -> None:
    jobs.stop_requested.set()
    jobs.hurry_requested.set()


def _prepare_providers() -> None:
    """Load models before the first fork, so that every job shares them."""
    for alias in conf.provider_aliases():
        try:
            get_provider(alias).prepare()
        except Exception as exc:
            logger.error("Provider %r is not ready: %s", alias, exc)
