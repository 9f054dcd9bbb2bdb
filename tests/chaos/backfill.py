"""The run itself: a backfill, and everything that happens to it, until it is done."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, field

from django.db import Error as AnyDatabaseError
from django.db import connections

from embeddings.models import OPEN, EmbeddingTask
from tests.chaos import history, logs, verification
from tests.chaos.crew import Crew
from tests.chaos.editing import Editing
from tests.chaos.history import History
from tests.chaos.killing import Killer
from tests.chaos.mischief import Mischief
from tests.chaos.permits import POINTS, Kill, Permits
from tests.chaos.population import Population
from tests.chaos.stage import Stage
from tests.chaos.timing import LEASE_SECONDS
from tests.chaos.weather import Weather

WORKERS = 3
TICK_SECONDS = 0.1
EDITS_A_TICK = 2
# A worker that was stopped is continued when its lease has run out for certain.
PAUSE_SECONDS = LEASE_SECONDS + 2
# With fewer open tasks than this, rows get new texts, so that kills hit workers at work.
BUSY_TASKS = 400
# No kill for so long is a harness, or a product, that stands still.
STALLED_SECONDS = 90.0
# After the last fault, everything is to be done within this time.
SETTLE_SECONDS = 100.0
STOP_SECONDS = 30.0


@dataclass(slots=True)
class Outcome:
    """What happened, and what is wrong."""

    rows: int
    seconds: float = 0.0
    settle_seconds: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    mischief: dict[str, int] = field(default_factory=dict)
    provider_faults: dict[str, int] = field(default_factory=dict)
    edits: dict[str, int] = field(default_factory=dict)
    refused_edits: int = 0
    longest_edit_seconds: float = 0.0
    failed_starts: int = 0
    started_workers: int = 0
    most_connections: int = 0
    paid_inputs: int = 0
    history: History = field(default_factory=History)
    statuses: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


class Backfill:
    def __init__(
        self, stage: Stage, *, rows: int, kills: int, times: int, pace_seconds: float, chance: random.Random
    ) -> None:
        self._stage = stage
        self._outcome = Outcome(rows)
        self._population = Population(chance)
        self._permits = Permits(stage.folder / "permits")
        self._crew = Crew(WORKERS, stage.workers_folder)
        self._killer = Killer(kills, self._permits, self._crew, pace_seconds=pace_seconds, chance=chance)
        self._mischief = Mischief(
            stage, self._crew, kills=kills, times=times, pause_seconds=PAUSE_SECONDS, chance=chance
        )
        self._weather = Weather(stage.provider.faults, lease_seconds=LEASE_SECONDS, chance=chance)
        self._editing = Editing(self._population, chance)
        self._looked_at = time.monotonic()

    def run(self) -> Outcome:
        """Play it; all workers have ended when it returns."""
        started_at = time.monotonic()
        self._population.backfill(self._outcome.rows)
        with self._crew:
            self._disturb()
            self._calm_down()
            self._settle()
            self._outcome.violations += verification.idle_workers(self._living())
            self._stop()
        self._outcome.seconds = time.monotonic() - started_at
        self._write_down()
        return self._outcome

    def _disturb(self) -> None:
        """Until all kills and all mischief have been done."""
        progressed_at, made = time.monotonic(), 0
        while not (self._killer.is_done() and self._mischief.is_done()):
            self._crew.keep()
            self._weather.tick()
            for _ in range(EDITS_A_TICK):
                self._editing.tick()
            self._killer.tick()
            self._mischief.tick(self._killer.made())
            self._look()
            if self._killer.made() > made:
                progressed_at, made = time.monotonic(), self._killer.made()
                sys.stderr.write(f"{made} of {self._killer.kills} killed\n")
            if time.monotonic() - progressed_at > STALLED_SECONDS:
                self._outcome.violations.append(f"Nothing has moved for {STALLED_SECONDS} s after {made} kills.")
                return
            time.sleep(TICK_SECONDS)

    def _look(self) -> None:
        """Every other second: count connections, and see that there is something to do."""
        if time.monotonic() - self._looked_at < 2:
            return
        self._looked_at = time.monotonic()
        try:
            most = max(verification.connections_by_worker().values(), default=0)
            is_idle = EmbeddingTask.objects.filter(status__in=OPEN).count() < BUSY_TASKS
        except AnyDatabaseError:
            connections.close_all()
            return
        self._outcome.most_connections = max(most, self._outcome.most_connections)
        if is_idle:
            self._editing.touch(BUSY_TASKS)

    def _calm_down(self) -> None:
        self._permits.withdraw()
        self._mischief.end()
        self._weather.clear()
        connections.close_all()

    def _settle(self) -> None:
        """Wait until nothing is open and every orphan has ended."""
        started_at = time.monotonic()
        while time.monotonic() - started_at < SETTLE_SECONDS:
            self._crew.keep()
            is_open = EmbeddingTask.objects.filter(status__in=OPEN).exists()
            if not is_open and not self._crew.orphans() and self._known():
                break
            time.sleep(0.2)
        self._outcome.settle_seconds = time.monotonic() - started_at

    def _known(self) -> bool:
        """Whether all living workers have settled down."""
        return not verification.idle_workers(self._living()) and len(self._living()) == WORKERS

    def _living(self) -> set[str]:
        return {worker.name for worker in self._crew.living()}

    def _stop(self) -> None:
        late = self._crew.stop(STOP_SECONDS)
        self._outcome.violations += [f"{name} did not stop within {STOP_SECONDS} s." for name in late]

    def _write_down(self) -> None:
        outcome, crew = self._outcome, self._crew
        outcome.kills = self._permits.kills()
        outcome.mischief = dict(self._mischief.done)
        outcome.provider_faults = dict(self._stage.provider.faults.hits)
        outcome.edits = dict(self._editing.done)
        outcome.refused_edits = self._editing.refused
        outcome.longest_edit_seconds = self._editing.longest_seconds
        outcome.failed_starts = crew.failed_starts
        outcome.started_workers = len(crew.names)
        outcome.paid_inputs = self._stage.provider.stats.inputs
        outcome.history = history.read(outcome.kills)
        outcome.statuses = verification.stats.counts_by_status()
        outcome.violations += [*crew.deserters, *verification.violations()]
        outcome.violations += logs.unexplained(self._stage.workers_folder, self._stage.postgres.log)
        if missed := [point for point in POINTS if not any(kill.point == point for kill in outcome.kills)]:
            outcome.violations.append(f"Nobody was killed at {', '.join(missed)}.")
        if outcome.history.stolen:
            outcome.violations.append(f"{outcome.history.stolen} tasks were completed by workers that had lost them.")
