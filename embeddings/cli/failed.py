"""What has failed for good: `failed`."""

from __future__ import annotations

import shlex
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from embeddings import stats
from embeddings.cli import selection, wording
from embeddings.cli.parsing import add_limit
from embeddings.cli.report import Options, Report, Subcommand
from embeddings.cli.screen import Block, Screen, Table
from embeddings.models import EmbeddingTask, Status
from embeddings.stats import Failures
from embeddings.task_filter import TaskFilter

LIMIT = 20
# Failed tasks that are looked at, the latest first, for what no index leads to.
MOST_LOOKED_AT = 20_000
# What groups cannot be asked for: then the tasks themselves are listed.
_OF_TASKS = ("model", "field", "provider", "batch")


def run(options: Options, screen: Screen) -> Report:
    """Groups of equal errors, the largest first; or the tasks themselves, the latest first."""
    if options["details"] or any(options[name] is not None for name in _OF_TASKS):
        return _tasks(options)
    using = selection.database(options) if options["database"] else None
    found = [group for group in stats.failures() if _fits(group, options, using)]
    groups = found[: options["limit"]]
    data = {"groups": [group_data(group) for group in groups], "more": len(found) - len(groups)}
    if not groups:
        return Report(data, ["No task has failed."])
    return Report(data, [_groups_table(groups), *_hints(groups)])


def _fits(group: Failures, options: Options, using: str | None) -> bool:
    asked = {"error_kind": options["error_kind"], "signature": options["signature"], "using": using}
    return all(value is None or getattr(group, name) == value for name, value in asked.items())


def group_data(group: Failures) -> dict[str, Any]:
    return {
        "signature": group.signature,
        "tasks": group.count,
        "isAtLeast": group.is_at_least,
        "errorKind": group.error_kind,
        "errorClass": group.error_class,
        "httpStatus": group.error_status,
        "message": group.error_message,
        "firstSeen": group.first_seen,
        "lastSeen": group.last_seen,
        "examples": [task.pk for task in group.examples],
        "database": group.using,
    }


def _groups_table(groups: list[Failures]) -> Table:
    rows = [
        (
            wording.count(group.count, is_at_least=group.is_at_least),
            group.error_kind.replace("_", " "),
            f"{group.error_class} {group.error_status or ''}".strip(),
            wording.ago(group.last_seen),
            ", ".join(str(task.pk) for task in group.examples),
            wording.shortened(group.error_message),
        )
        for group in groups
    ]
    return Table((">tasks", "kind", "error", "last", "for example", "message"), rows, "Failed tasks")


def _hints(groups: list[Failures]) -> list[Block]:
    """What to do next, with the largest group."""
    first = groups[0]
    details = "To see the tasks: manage.py embeddings failed --details"
    if not first.signature:
        return ["", details]
    where = "" if first.using == selection.database({"database": None}) else f" --database {first.using}"
    again = f"manage.py embeddings retry --signature {shlex.quote(first.signature)}{where}"
    return ["", details, f"To try the first group again: {again}"]


def _tasks(options: Options) -> Report:
    wanted = selection.wanted({**options, "status": [Status.FAILED.value]})
    tasks = list(_latest(wanted)[: options["limit"]])
    data = {"tasks": [_task_data(task) for task in tasks]}
    if not tasks:
        return Report(data, [f"No task has failed that fits: {wanted.describe()}."])
    return Report(data, [_tasks_table(tasks)])


def _latest(wanted: TaskFilter) -> QuerySet[EmbeddingTask]:
    """The latest by id, without what waits in boxes; of a bounded number where no index leads to them."""
    tasks = wanted.queryset().defer("payload").order_by("-pk")
    if wanted.is_indexed:
        return tasks
    latest = EmbeddingTask.objects.using(wanted.using).filter(status=Status.FAILED).order_by("-pk")
    return tasks.filter(pk__in=list(latest.values_list("pk", flat=True)[:MOST_LOOKED_AT]))


def _task_data(task: EmbeddingTask) -> dict[str, Any]:
    return {
        "id": task.pk,
        "target": task.target_label,
        "objectId": task.object_id,
        "provider": task.provider,
        "batch": task.batch_id,
        "attempts": task.attempts,
        "errorKind": task.error_kind,
        "errorClass": task.error_class,
        "httpStatus": task.error_status,
        "message": task.error_message,
        "signature": task.error_signature,
        "failedAt": task.updated_at,
        "database": task._state.db,
    }


def _tasks_table(tasks: list[EmbeddingTask]) -> Table:
    rows = [
        (
            str(task.pk),
            task.target_label,
            task.object_id,
            wording.ago(task.updated_at),
            task.error_kind.replace("_", " "),
            wording.shortened(task.error_message),
        )
        for task in tasks
    ]
    return Table((">task", "target", "object", "failed", "kind", "message"), rows, "Failed tasks, the latest first")


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--details", action="store_true", help="The tasks themselves, the latest first.")
    add_limit(parser, LIMIT, "Groups, or tasks,")
    selection.add_filters(parser, has_status=False)


SUBCOMMANDS = [
    Subcommand(
        "failed",
        "What has failed for good, in groups of equal errors.",
        run,
        _add_arguments,
        "With a filter by model, field, provider or batch, the tasks themselves are listed.",
    ),
]
