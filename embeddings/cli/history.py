"""The latest attempts: `recent`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from embeddings import conf
from embeddings.cli import selection, wording
from embeddings.cli.parsing import add_database, add_limit, positive
from embeddings.cli.report import Options, Report, Subcommand
from embeddings.cli.screen import Screen, Table
from embeddings.models import EmbeddingTask, TaskAttempt

LIMIT = 20


def run(options: Options, screen: Screen) -> Report:
    """The latest attempts of all tasks, or of one, newest first."""
    is_one = options["task"] is not None
    databases = [selection.database(options)] if options["database"] or is_one else conf.current().databases
    found = [entry for using in databases for entry in _latest(using, options)]
    found.sort(key=lambda entry: entry["endedAt"], reverse=True)
    shown = found[: options["limit"]]
    if not shown:
        return Report({"attempts": []}, ["No attempt is known. They are kept for ATTEMPT_RETENTION_DAYS."])
    return Report({"attempts": shown}, [_table(shown)])


def _latest(using: str, options: Options) -> list[dict[str, Any]]:
    attempts = TaskAttempt.objects.using(using).order_by("-pk")
    if options["task"] is not None:
        attempts = attempts.filter(task_id=options["task"])
    latest = list(attempts[: options["limit"]])
    # Without what waits in boxes; a task may be gone.
    tasks = EmbeddingTask.objects.using(using).defer("payload").in_bulk([attempt.task_id for attempt in latest])
    return [_entry(attempt, tasks.get(attempt.task_id), using) for attempt in latest]


def _entry(attempt: TaskAttempt, task: EmbeddingTask | None, using: str) -> dict[str, Any]:
    taken_at = attempt.claimed_at
    return {
        "task": attempt.task_id,
        "target": task.target_label if task else "",
        "objectId": task.object_id if task else "",
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "isFinal": attempt.is_final,
        "endedAt": attempt.ended_at,
        "seconds": None if taken_at is None else (attempt.ended_at - taken_at).total_seconds(),
        "worker": attempt.worker,
        "tokens": attempt.tokens,
        "modelId": attempt.model_id,
        "errorKind": attempt.error_kind,
        "message": attempt.error_message,
        "database": using,
    }


def _table(entries: list[dict[str, Any]]) -> Table:
    rows = [
        (
            wording.ago(entry["endedAt"]),
            str(entry["task"]),
            entry["target"] or wording.NONE,
            entry["objectId"],
            wording.seconds(entry["seconds"]),
            _outcome(entry),
        )
        for entry in entries
    ]
    return Table(("ended", ">task", "target", "object", ">took", "outcome"), rows, "Attempts, the latest first")


def _outcome(entry: dict[str, Any]) -> str:
    """ "completed", "attempt 2 failed, to be tried again: …"."""
    if entry["outcome"] == TaskAttempt.Outcome.COMPLETED:
        return str(entry["outcome"])
    again = "" if entry["isFinal"] else ", to be tried again"
    return f"attempt {entry['attempt']} {entry['outcome']}{again}: {wording.shortened(entry['message'])}"


def _add_arguments(parser: CommandParser) -> None:
    add_limit(parser, LIMIT, "Attempts")
    parser.add_argument("--task", type=positive, metavar="ID", help="Only of this task.")
    add_database(parser)


SUBCOMMANDS = [Subcommand("recent", "The latest attempts, newest first.", run, _add_arguments)]
