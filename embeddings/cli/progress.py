"""How far things are: `operations` and `batches`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from embeddings import operations, stats, task_filter
from embeddings.cli import selection, waiting, who, wording
from embeddings.cli.parsing import add_database, add_limit, positive
from embeddings.cli.report import DONE, FAILED, NOT_DONE, Options, Problem, Report, Subcommand
from embeddings.cli.screen import Screen, Table
from embeddings.durations import duration
from embeddings.models import EmbeddingBatch, EmbeddingOperation
from embeddings.stats import BatchProgress

LIMIT = 20
State = EmbeddingOperation.State


def show_operations(options: Options, screen: Screen) -> Report:
    """The latest, or one, which may be stopped or waited for."""
    using = selection.database(options)
    found = EmbeddingOperation.objects.using(using).order_by("-pk")
    if options["id"] is None:
        if options["stop"] or options["wait"]:
            raise Problem("Say which operation: manage.py embeddings operations lists them.")
        latest = list(found[: options["limit"]])
        data = {"operations": [waiting.operation_data(one) for one in latest]}
        return Report(data, [_operations_table(latest)] if latest else ["There is no operation."])
    operation = found.filter(pk=options["id"]).first()
    if operation is None:
        raise Problem(f"There is no operation {options['id']} in database {using!r}.", "not_found")
    return _one(operation, options, screen)


def _one(operation: EmbeddingOperation, options: Options, screen: Screen) -> Report:
    if options["wait"] and operation.is_open:
        return waiting.report(operation, options, screen)
    was_open = operation.is_open
    if options["stop"] and was_open:
        operations.stop(operation, by=who.name())
    data = {"operation": waiting.operation_data(operation)}
    notes = [f"Error: {operation.error_message}"] if operation.error_message else []
    if options["stop"]:
        notes.append("It was stopped." if was_open else "It was at its end already: nothing was done.")
        return Report(data, [_operations_table([operation]), *notes], DONE if was_open else NOT_DONE)
    exit_code = FAILED if operation.state == State.FAILED else DONE
    return Report(data, [_operations_table([operation]), *notes], exit_code)


def _operations_table(found: list[EmbeddingOperation]) -> Table:
    rows = [
        (
            str(one.pk),
            str(one.get_kind_display()),
            wording.shortened(task_filter.subject(one), 60),
            one.state,
            _rows(one),
            f"{one.changed:,}",
            one.by,
            wording.ago(one.created_at),
        )
        for one in found
    ]
    return Table((">operation", "kind", "about", "state", ">read", ">changed", "by", "begun"), rows)


def _rows(one: EmbeddingOperation) -> str:
    if one.rows_total is None:
        return f"{one.rows_read:,}"
    return f"{one.rows_read:,} of {max(one.rows_total, one.rows_read):,}"


def show_batches(options: Options, screen: Screen) -> Report:
    """The latest, or one, with the progress of their tasks."""
    using = selection.database(options)
    found = EmbeddingBatch.objects.using(using).order_by("-pk")
    if options["id"] is not None:
        found = found.filter(pk=options["id"])
    batches = list(found[: options["limit"]])
    if not batches and options["id"] is not None:
        raise Problem(f"There is no batch {options['id']} in database {using!r}.", "not_found")
    progress = stats.batch_progress([batch.pk for batch in batches], using=using)
    known = [(batch, progress[batch.pk]) for batch in batches if batch.pk in progress]
    data = {"batches": [_batch_data(batch, one) for batch, one in known]}
    return Report(data, [_batches_table(known)] if known else ["There is no batch."])


def _batch_data(batch: EmbeddingBatch, progress: BatchProgress) -> dict[str, Any]:
    return {
        "id": batch.pk,
        "name": batch.name,
        "total": progress.total,
        "open": progress.open,
        "done": progress.done,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
        "share": round(progress.share, 4),
        "perSecond": round(progress.per_second, 3),
        "etaSeconds": progress.eta_seconds,
        "createdAt": batch.created_at,
        "finishedAt": progress.finished_at,
        "rolledBackAt": batch.rolled_back_at,
        "database": batch._state.db,
    }


def _batches_table(known: list[tuple[EmbeddingBatch, BatchProgress]]) -> Table:
    rows = [
        (
            str(batch.pk),
            wording.shortened(batch.name, 40),
            f"{int(100 * one.share)}%",
            *(f"{number:,}" for number in (one.total, one.open, one.done, one.failed, one.cancelled)),
            "" if one.eta_seconds is None or not one.open else f"about {duration(one.eta_seconds)}",
            wording.ago(batch.created_at),
        )
        for batch, one in known
    ]
    columns = (">batch", "name", ">ended", ">tasks", ">open", ">done", ">failed", ">cancelled", ">left", "begun")
    return Table(columns, rows)


def _add_which(parser: CommandParser) -> None:
    parser.add_argument("id", nargs="?", type=positive, metavar="ID", help="Only this one.")
    add_limit(parser, LIMIT, "So many")
    add_database(parser)


def _add_operations(parser: CommandParser) -> None:
    _add_which(parser)
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--wait", action="store_true", help="Wait for its end.")
    act.add_argument("--stop", action="store_true", help="Let it go no further; what is done stays done.")


SUBCOMMANDS = [
    Subcommand("operations", "What goes on in the background, and how far it is.", show_operations, _add_operations),
    Subcommand(
        "batches",
        "Batches of tasks, and how far they are.",
        show_batches,
        _add_which,
        "To roll back what a batch has queued: manage.py requeue_missing --rollback ID",
    ),
]
