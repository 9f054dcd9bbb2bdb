"""Health in one word and a few numbers: for monitors, which read it in every surface the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db import Error

from embeddings.failure import Failure
from embeddings.models import Status
from embeddings.stats.condition import conditions
from embeddings.stats.situation import Situation, situation

HealthLevel = Literal["well", "degraded", "down"]

# As programs end that monitors call.
EXIT_CODES: dict[HealthLevel, int] = {"well": 0, "degraded": 1, "down": 2}


@dataclass(frozen=True, slots=True)
class Health:
    """How things stand. Work in progress is well."""

    level: HealthLevel
    # What is the case, and what to do; the latter "" where there is nothing to do.
    sentence: str
    advice: str = ""
    # Tasks; they were counted some seconds ago.
    waiting: int = 0
    active: int = 0
    failed: int = 0
    # How long the task waits that has waited longest; None if none waits.
    waiting_seconds: float | None = None
    # Tasks that came to an end a second, over the last minute.
    per_second: float = 0.0
    # Those that have a heartbeat.
    workers: int = 0
    # Whether Redis answers.
    redis: bool = False

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.level]


def health() -> Health:
    """How things stand now. Never raises the database's errors: they are the worst that can be the case."""
    try:
        return health_of(situation())
    except Error as exc:
        sentence = f"The database cannot be asked: {Failure.of(exc).message}"
        return Health("down", sentence, "Start it, or look at DATABASES; saves fail as long as it is away.")


def health_of(now: Situation) -> Health:
    """How things stand, for who has asked for the situation."""
    worst = conditions(now)[0]
    return Health(
        "well" if worst.level == "busy" else worst.level,
        worst.sentence,
        worst.advice,
        waiting=now.waiting,
        active=now.in_hand,
        failed=now.count(Status.FAILED),
        waiting_seconds=now.waiting_seconds,
        per_second=now.speed,
        workers=len(now.workforce.alive),
        redis=now.workforce.queue is not None,
    )
