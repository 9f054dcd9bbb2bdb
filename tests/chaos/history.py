"""Every step of every task, written down by a trigger of the run's own database, and what follows from it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import connection

from tests.chaos.permits import Kill

# `by` is the worker at the other end of the connection; `holder` is the worker of the task as it was.
_TRIGGER = """
CREATE TABLE chaos_step (
    id bigint GENERATED ALWAYS AS IDENTITY, task bigint, was text, now text, holder text, by text, worker text,
    attempts int, crashes int, more_crashes int, at timestamptz DEFAULT clock_timestamp()
);
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos_step (task, was, now, holder, by)
        VALUES (OLD.id, OLD.status, 'deleted', OLD.worker, current_setting('application_name'));
    ELSE
        INSERT INTO chaos_step (task, was, now, holder, by, worker, attempts, crashes, more_crashes)
        VALUES (NEW.id, OLD.status, NEW.status, OLD.worker, current_setting('application_name'), NEW.worker,
                NEW.attempts, NEW.crashes, NEW.crashes - OLD.crashes);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_moved AFTER UPDATE ON embeddings_embeddingtask FOR EACH ROW
    WHEN (OLD.status <> NEW.status OR OLD.lease_token IS DISTINCT FROM NEW.lease_token
          OR OLD.completed_at IS DISTINCT FROM NEW.completed_at)
    EXECUTE FUNCTION chaos_note();
CREATE TRIGGER chaos_gone AFTER DELETE ON embeddings_embeddingtask FOR EACH ROW EXECUTE FUNCTION chaos_note();
"""


def begin() -> None:
    """Write down steps from now on."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIGGER)


def write(path: Path) -> None:
    """All steps as a CSV file."""
    with connection.cursor() as cursor, path.open("w") as file:
        cursor.execute("SELECT * FROM chaos_step ORDER BY id")
        csv.writer(file).writerows([[column.name for column in cursor.description], *cursor.fetchall()])


@dataclass(slots=True)
class History:
    """What the steps say, in tasks. `back_after` is how long the tasks of killed workers were in nobody's hand."""

    claimed: int = 0
    completed: int = 0
    rescued: int = 0
    rate_limited: int = 0
    retried: int = 0
    stolen: int = 0  # completed by a worker that did not hold them: never
    back_after: list[tuple[float, Kill]] = field(default_factory=list)


def read(kills: Iterable[Kill]) -> History:
    """The history of the run. A killed parent leaves its child, which goes on: its tasks are not lost."""
    history = History()
    deaths = sorted((kill for kill in kills if kill.victim != "parent"), key=lambda kill: kill.at, reverse=True)
    held: dict[str, set[int]] = defaultdict(set)
    lost: dict[int, Kill] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT task, was, now, holder, by, worker, more_crashes, at FROM chaos_step ORDER BY at, id")
        for task, was, now, holder, by, worker, more_crashes, at in cursor.fetchall():
            seconds = _seconds(at)
            while deaths and deaths[-1].at <= seconds:
                death = deaths.pop()
                lost |= dict.fromkeys(held.pop(death.worker, set()), death)
            held[holder].discard(task)
            if now == "processing":
                held[worker].add(task)
                history.claimed += 1
                if task in lost:
                    death = lost.pop(task)
                    history.back_after.append((seconds - death.at, death))
            elif now in {"completed", "empty", "deleted"}:
                lost.pop(task, None)
            history.completed += now == "completed"
            history.rescued += (more_crashes or 0) > 0
            history.rate_limited += was == "processing" and now == "rate_limited"
            history.retried += was == "processing" and now == "scheduled"
            history.stolen += now in {"completed", "empty"} and not (was == "processing" and by == holder)
    return history


def _seconds(at: datetime) -> float:
    return at.timestamp()
