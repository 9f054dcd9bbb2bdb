"""Who is killed when: a plan made from the seed, carried out at a steady pace."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from itertools import cycle, islice

from tests.chaos.crew import Crew, Worker
from tests.chaos.permits import PLANTED, POINTS, Kill, Permits

RANDOM = "any time"
# A permit that nobody has used for so long is withdrawn, and laid out again later.
PATIENCE_SECONDS = 15.0
VICTIMS = ("child", "parent", "both")
# Permits that lie open at once.
MAX_OPEN = 2


class Killer:
    """Hands out permits and kills by itself until `kills` have been made."""

    def __init__(self, kills: int, permits: Permits, crew: Crew, *, pace_seconds: float, chance: random.Random) -> None:
        self.kills = kills
        self._permits = permits
        self._crew = crew
        self._pace_seconds = pace_seconds
        self._chance = chance
        self._plan = self._make_plan()
        self._issued = 0
        self._next_at = time.monotonic()
        self._taken_at = time.monotonic()
        self._made = 0

    def _make_plan(self) -> list[tuple[str, str]]:
        """Every point in turn, first once each, so that a run with few kills reaches all; every other at any time."""
        at_points = islice(cycle((point, victim) for point in POINTS for victim in _often(POINTS[point])), self.kills)
        anywhere = islice(cycle((RANDOM, victim) for victim in _often(VICTIMS)), self.kills)
        plan = [kill for pair in zip(at_points, anywhere, strict=True) for kill in pair]
        self._chance.shuffle(plan)
        first = [(point, self._chance.choice(victims)) for point, victims in POINTS.items()]
        return [*first, *plan]

    def made(self) -> int:
        """How many have been killed, those that died of the planted text not counted."""
        return sum(1 for kill in self._permits.kills() if kill.point != PLANTED)

    def is_done(self) -> bool:
        return self._made >= self.kills

    def tick(self) -> None:
        made = self.made()
        now = time.monotonic()
        if made > self._made:
            self._made, self._taken_at = made, now
        if self.is_done():
            self._permits.withdraw()
            return
        if now >= self._next_at:
            self._next(now)

    def _next(self, now: float) -> None:
        waiting = len(list(self._permits.open.iterdir()))
        if waiting and now - self._taken_at > PATIENCE_SECONDS:
            # Something else first: the workers may hang at a place where nobody has been asked to die.
            self._plan[self._issued + 1 : self._issued + 1] = self._permits.withdraw()
            self._taken_at = now
        elif waiting >= min(MAX_OPEN, self.kills - self._made):
            return
        self._next_at = now + self._chance.expovariate(1 / self._pace_seconds)
        point, victim = self._plan[self._issued % len(self._plan)]
        self._issued += 1
        if point == RANDOM:
            self.kill(victim)
        else:
            self._permits.issue(self._issued, point, victim)

    def kill(self, victim: str) -> bool:
        """Kill some worker's child, parent or both; returns whether there was one."""
        living = [worker for worker in self._crew.living() if worker.has_started and not worker.is_paused]
        if not living:
            return False
        working = [worker for worker in living if worker.look()]
        worker = self._chance.choice(working or living)
        if worker.child is None:
            victim = "parent"
        self._permits.note(Kill(RANDOM, victim, worker.name, time.time()))
        for pid in _victims(worker, victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True


def _often(victims: Sequence[str]) -> Sequence[str]:
    """Children die twice as often as parents, which take seconds to start again: seconds without a worker to kill."""
    return (*victims, "child") if "child" in victims else victims


def _victims(worker: Worker, victim: str) -> list[int]:
    child = [worker.child] if worker.child and victim in {"child", "both"} else []
    return [worker.process.pid, *child] if victim in {"parent", "both"} else child
