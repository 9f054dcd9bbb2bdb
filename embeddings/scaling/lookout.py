"""What a supervisor sees of the work and the workers; what it cannot see, it says once."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.models.functions import Now

from embeddings import conf, live
from embeddings.failure import Failure
from embeddings.models import ALIVE_SECONDS, WorkerStatus
from embeddings.scaling import backlog
from embeddings.scaling.backlog import Backlog, RedisAway
from embeddings.scaling.crew import Crew, Place
from embeddings.scaling.policy import Load
from embeddings.scaling.speed import Speedometer

logger = logging.getLogger(__name__)

# A worker that has not begun to work after so long is not waited for any more.
START_SECONDS = 60.0


class Lookout:
    """Asks the database and Redis, and keeps what it was told last."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._speedometer = Speedometer()
        self._trouble = ""
        # {name: row} of the living workers of all machines.
        self.workers: dict[str, WorkerStatus] = {}

    def look(self) -> Load | None:
        """What there is to do, and who is there; None while it cannot be seen."""
        try:
            live.refresh()
            self.workers = _alive()
            found = backlog.read(is_anybody_there=bool(self.workers))
            usual = self._speed(found) or backlog.usual_speed(found.provider)
        except AnyDatabaseError as exc:
            connections.close_all()
            self._note(f"The database cannot be asked ({Failure.of(exc).message})")
            return None
        except RedisAway as exc:
            self._note(str(exc))
            return None
        self._note("")
        return self._load(found, usual)

    def youngest_idle(self) -> Place | None:
        """The place to give up first: one whose worker is dead, else of those without tasks the last that was born."""
        dead = [place for place in self._crew.places if place.process is None]
        rows = {place: self._row(place) for place in self._crew.places}
        idle = {place: row for place, row in rows.items() if row and not row.claimed and row.state != _ACTIVE}
        return dead[-1] if dead else max(idle, key=lambda place: idle[place].started_at, default=None)

    def has_starting(self) -> bool:
        """Whether a worker of ours has not begun to work yet."""
        return any(self._is_starting(place) for place in self._crew.places)

    def describe(self, place: Place) -> str:
        """ "worker 2 (process 123) active with 512 tasks"."""
        if place.process is None:
            return f"worker {place.number} waits to be started again after {place.restarts.deaths} deaths"
        row = self._row(place)
        state = f"{row.state} with {row.claimed:,} tasks" if row else "starting"
        return f"worker {place.number} (process {place.process.pid}) {state}"

    def _speed(self, found: Backlog) -> float | None:
        """Measured while nothing but the workers limits it."""
        done = {name: row.completed + row.failed for name, row in self.workers.items()}
        self._speedometer.observe(time.monotonic(), done, is_busy=bool(found.waiting) and not found.held)
        return self._speedometer.per_worker

    def _load(self, found: Backlog, per_worker: float) -> Load:
        mine = {place.process.name for place in self._crew.places if place.process}
        mine |= {process.name for process in self._crew.leaving}
        return Load(
            waiting=found.waiting,
            held=found.held,
            limit=found.limit,
            is_at_least=found.is_at_least,
            has_errand=found.has_errand,
            per_worker=per_worker,
            own=len(self._crew.places),
            starting=sum(self._is_starting(place) for place in self._crew.places),
            others=len(self.workers.keys() - mine),
        )

    def _is_starting(self, place: Place) -> bool:
        if place.process is None:
            return True
        return self._row(place) is None and place.process.age_seconds < START_SECONDS

    def _row(self, place: Place) -> WorkerStatus | None:
        return self.workers.get(place.process.name) if place.process else None

    def _note(self, trouble: str) -> None:
        """Say once what is wrong, and once that it is over."""
        if trouble and not self._trouble:
            logger.warning("%s. Workers stay as they are, and it is tried again every second.", trouble)
        elif self._trouble and not trouble:
            logger.info("What there is to do can be seen again.")
        self._trouble = trouble


_ACTIVE = WorkerStatus.State.ACTIVE


def _alive() -> dict[str, WorkerStatus]:
    workers = WorkerStatus.objects.using(conf.current().databases[0]).exclude(state=WorkerStatus.State.STOPPED)
    alive = workers.filter(heartbeat_at__gt=Now() - timedelta(seconds=ALIVE_SECONDS))
    return {worker.name: worker for worker in alive}
