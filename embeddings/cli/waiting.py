"""Wait for an operation that workers do in the background; whoever presses Ctrl-C leaves it to them."""

from __future__ import annotations

import time
from argparse import BooleanOptionalAction
from typing import Any

from django.core.management.base import CommandParser

from embeddings import conf, pauses, stats, task_filter
from embeddings.cli.report import DONE, FAILED, INTERRUPTED, NOT_DONE, Options, Report
from embeddings.cli.screen import Block, Screen
from embeddings.models import EmbeddingOperation

State = EmbeddingOperation.State

POLL_SECONDS = 0.3
# How often it is asked whether there is still somebody to do it.
LOOK_SECONDS = 5.0


def add_wait(parser: CommandParser) -> None:
    parser.add_argument(
        "--wait",
        action=BooleanOptionalAction,
        default=None,
        help="Wait for the end of what workers do in the background; default: on a terminal.",
    )


def operation_data(operation: EmbeddingOperation) -> dict[str, Any]:
    return {
        "id": operation.pk,
        "kind": operation.kind,
        "about": task_filter.subject(operation),
        "state": operation.state,
        "rowsRead": operation.rows_read,
        "rowsTotal": operation.rows_total,
        "changed": operation.changed,
        "batch": operation.batch_id,
        "by": operation.by,
        "error": operation.error_message,
        "createdAt": operation.created_at,
        "startedAt": operation.started_at,
        "finishedAt": operation.finished_at,
        "database": operation._state.db,
    }


def report(operation: EmbeddingOperation, options: Options, screen: Screen) -> Report:
    """What has become of an operation that was just begun, after the wait that is asked for."""
    is_wanted = screen.is_terminal if options["wait"] is None else options["wait"]
    try:
        hindrance = _wait(operation, screen) if is_wanted else _hindrance(operation)
    except KeyboardInterrupt:
        text = f"Operation {operation.pk} goes on without you."
        return Report(_data(operation, ""), [text, *_ways(operation)], INTERRUPTED)
    if operation.is_open:
        blocks: list[Block] = [f"Operation {operation.pk} was begun.", *([hindrance] if hindrance else [])]
        return Report(_data(operation, hindrance), [*blocks, *_ways(operation)], NOT_DONE if hindrance else DONE)
    exit_code = {State.DONE: DONE, State.FAILED: FAILED}.get(State(operation.state), NOT_DONE)
    return Report(_data(operation, ""), [_end(operation)], exit_code)


def _data(operation: EmbeddingOperation, hindrance: str) -> dict[str, Any]:
    return {"operation": operation_data(operation), "hindrance": hindrance}


def _ways(operation: EmbeddingOperation) -> list[Block]:
    """How to see how far it is, and how to stop it."""
    using = operation._state.db
    where = "" if using == conf.current().databases[0] else f" --database {using}"
    command = f"manage.py embeddings operations {operation.pk}{where}"
    return [f"To watch it: {command}", f"To stop it: {command} --stop"]


def _hindrance(operation: EmbeddingOperation) -> str:
    """Why nobody goes on with it just now; "" if somebody does."""
    if operation.is_open and pauses.is_held(operation):
        return "Everything is paused: it waits until that is over (manage.py embeddings resume)."
    if operation.is_open and not stats.workforce().alive:
        return f"No worker is alive, so nobody does it yet. Start one: manage.py rqworker {conf.current().queue}"
    return ""


def _wait(operation: EmbeddingOperation, screen: Screen) -> str:
    """Return once it is at its end, or nobody goes on with it: then why."""
    looked_at = float("-inf")
    with screen.progress(operation.kind) as advance:
        while operation.is_open:
            if time.monotonic() - looked_at >= LOOK_SECONDS:
                looked_at = time.monotonic()
                if hindrance := _hindrance(operation):
                    return hindrance
            time.sleep(POLL_SECONDS)
            operation.refresh_from_db(using=operation._state.db)
            total = operation.rows_total
            advance(operation.rows_read, None if total is None else max(total, operation.rows_read))
    return ""


def _end(operation: EmbeddingOperation) -> str:
    changed = f"{operation.changed:,} of {operation.rows_read:,} tasks changed"
    match operation.state:
        case State.DONE:
            return f"Operation {operation.pk} is done: {changed}."
        case State.FAILED:
            return f"Operation {operation.pk} cannot go on: {operation.error_message} ({changed}.)"
        case _:
            return f"Operation {operation.pk} was stopped: {changed}."
