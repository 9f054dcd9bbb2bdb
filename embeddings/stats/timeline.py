"""What happened to one task: its attempts, and what people did to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.apps import apps
from django.contrib.contenttypes.models import ContentType

from embeddings.models import EmbeddingTask, Status, TaskAttempt

# Entries of each sort that are read at most.
MOST = 100


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line. What does not apply is empty."""

    at: datetime
    # "attempt 2", "in hand", or what somebody did, as the admin's log has it.
    what: str
    # Of an attempt: "completed", "failed" (for good), "failed, to be tried again", "crashed"; "processing" in hand.
    outcome: str = ""
    worker: str = ""
    # From the claim to the end.
    seconds: float | None = None
    tokens: int | None = None
    error: str = ""
    number: int | None = None
    # The name of the user.
    by: str = ""


def timeline(task: EmbeddingTask) -> list[TimelineEntry]:
    """The latest attempts of a task and entries about it in the admin's log, newest first; what is in hand above all.

    Attempts are kept for EMBEDDINGS["ATTEMPT_RETENTION_DAYS"].
    """
    entries = sorted([*_attempts(task), *_logged(task)], key=lambda entry: entry.at, reverse=True)
    return [*_in_hand(task), *entries]


def _in_hand(task: EmbeddingTask) -> list[TimelineEntry]:
    if task.status != Status.PROCESSING or task.claimed_at is None:
        return []
    return [TimelineEntry(task.claimed_at, "in hand", task.status, task.worker, number=task.attempts)]


def _attempts(task: EmbeddingTask) -> list[TimelineEntry]:
    attempts = TaskAttempt.objects.using(task._state.db).filter(task_id=task.pk)
    return [_attempt(attempt) for attempt in attempts.order_by("-pk")[:MOST]]


def _attempt(attempt: TaskAttempt) -> TimelineEntry:
    is_tried_again = attempt.outcome == TaskAttempt.Outcome.FAILED and not attempt.is_final
    seconds = None if attempt.claimed_at is None else (attempt.ended_at - attempt.claimed_at).total_seconds()
    return TimelineEntry(
        at=attempt.ended_at,
        what=f"attempt {attempt.number}",
        outcome="failed, to be tried again" if is_tried_again else attempt.outcome,
        worker=attempt.worker,
        seconds=seconds,
        tokens=attempt.tokens,
        error=attempt.error_message,
        number=attempt.number,
    )


def _logged(task: EmbeddingTask) -> list[TimelineEntry]:
    """From the admin's log, where there is one."""
    if not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib.admin.models import LogEntry  # its model exists only where the admin is installed

    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(EmbeddingTask), object_id=str(task.pk)
    )
    latest = entries.select_related("user").order_by("-action_time")[:MOST]
    return [
        TimelineEntry(entry.action_time, entry.get_change_message(), by=entry.user.get_username()) for entry in latest
    ]
