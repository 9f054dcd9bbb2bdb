"""RQ's worker, made to outlive Redis: it waits for it everywhere, and registers again what Redis has forgotten."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Worker, worker_registration

logger = logging.getLogger(__name__)

# The longest that an answer of Redis may take; one that comes later is taken for a connection that is no more.
ANSWER_SECONDS = 3


def _passed_over_without_redis(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of RQ's work loop that is passed over while Redis is away, full, loading or a replica.

    RQ waits for Redis only where it waits for the next job; an error anywhere else ends its worker.
    """

    @wraps(step)
    def patient_step(self: PatientWorker, *args: Any, **kwargs: Any) -> Any:
        try:
            return step(self, *args, **kwargs)
        except RedisError as exc:
            logger.warning("Worker %s: Redis failed in %s (%s).", self.name, step.__name__, exc)

    return patient_step


class PatientWorker(Worker):
    """RQ's forking worker, which ends when it is told to and for no error of Redis."""

    # After Redis has been away the worker is back within seconds, not RQ's minute.
    max_connection_wait_time = 2.0

    check_for_suspension = _passed_over_without_redis(Worker.check_for_suspension)
    run_maintenance_tasks = _passed_over_without_redis(Worker.run_maintenance_tasks)
    set_state = _passed_over_without_redis(Worker.set_state)
    maintain_heartbeats = _passed_over_without_redis(Worker.maintain_heartbeats)
    set_shutdown_requested_date = _passed_over_without_redis(Worker.set_shutdown_requested_date)
    register_death = _passed_over_without_redis(Worker.register_death)
    unsubscribe = _passed_over_without_redis(Worker.unsubscribe)

    @property
    def connection_timeout(self) -> int:
        return self.dequeue_timeout + ANSWER_SECONDS

    def _set_connection(self, connection: Redis) -> Redis:
        """Notice a dead connection soon, and try once more on a new one before it is an error."""
        options = connection.connection_pool.connection_kwargs
        options.update(socket_timeout=self.connection_timeout, retry=Retry(NoBackoff(), 1))
        if "path" not in options:  # a socket in the file system
            options["socket_connect_timeout"] = ANSWER_SECONDS
        return connection

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """RQ waits here for a connection that broke, but ends for other errors: no answer (2.12), no memory left."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except RedisError as exc:
                logger.warning("Worker %s: no job could be asked for (%s).", self.name, exc)
                time.sleep(self.max_connection_wait_time)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ's, in one round trip, and all that RQ writes at its start only: Redis may have lost or evicted it."""
        if pipeline is not None:
            self._add_heartbeat(timeout, pipeline)
            return
        with contextlib.suppress(RedisError), self.connection.pipeline() as own:
            self._add_heartbeat(timeout, own)
            own.execute()

    def _add_heartbeat(self, timeout: int | None, pipeline: Any) -> None:
        super().heartbeat(timeout, pipeline)  # First: RQ looks at the result of the first command.
        pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
        worker_registration.register(self, pipeline)

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """RQ's thread for commands to this worker goes on after a lost connection, but ends at other errors."""
        logger.warning("Worker %s: no commands can be taken at present (%s).", self.name, exc)
        time.sleep(self.max_connection_wait_time)
