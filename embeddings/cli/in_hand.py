"""Tasks in hands that may be dead: `stuck` and `reset-stuck`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from embeddings import conf, stats, stuck
from embeddings.cli import confirming, who, wording
from embeddings.cli.parsing import add_limit, add_yes
from embeddings.cli.report import DONE, NOT_DONE, Options, Report, Subcommand
from embeddings.cli.screen import Block, Screen, Table
from embeddings.durations import duration
from embeddings.stuck import Stuck

LIMIT = 50


def show(options: Options, screen: Screen) -> Report:
    """Those there are, and who will free them."""
    total = _total()
    found = stuck.find(options["limit"])[: options["limit"]]
    data = {"tasks": [_data(one) for one in found], "total": total}
    if not found:
        return Report(data, ["No task is stuck."])
    more = [f"… and {total - len(found):,} more."] if total > len(found) else []
    return Report(data, [_table(found), *more, "", _advice()], NOT_DONE)


def free(options: Options, screen: Screen) -> Report:
    """Let them be claimed again."""
    total = _total()
    would = f"{wording.tasks(total)} would be free to be claimed again; a death of a worker counts as one."
    if options["dry_run"]:
        return Report({"freed": 0, "total": total}, [would if total else "No task is stuck."])
    if not total:
        return Report({"freed": 0, "total": 0}, ["No task is stuck: nothing was done."], NOT_DONE)
    screen.show([would])
    if not confirming.is_confirmed(f"Free {wording.tasks(total)}?", options, screen):
        return Report({"freed": 0, "total": total}, ["Nothing was done."], NOT_DONE)
    freed = stuck.free(by=who.name())
    blocks: list[Block] = [f"{wording.tasks(freed)} freed."]
    if freed and not stats.workforce().alive and conf.current().queue_enabled:
        blocks.append(f"No worker is alive to take them. Start one: manage.py rqworker {conf.current().queue}")
    return Report({"freed": freed, "total": total}, blocks, DONE if freed else NOT_DONE)


def _total() -> int:
    return sum(stuck.count(using) for using in conf.current().databases)


def _data(one: Stuck) -> dict[str, Any]:
    return {
        "id": one.task.pk,
        "target": one.task.target_label,
        "objectId": one.task.object_id,
        "worker": one.task.worker,
        "claimedAt": one.task.claimed_at,
        "leaseUntil": one.task.lease_until,
        "isExpired": one.is_expired,
        "workerHeardAt": one.heard_at,
        "database": one.using,
    }


def _table(found: list[Stuck]) -> Table:
    rows = [
        (
            str(one.task.pk),
            one.task.target_label,
            one.task.object_id,
            one.task.worker,
            wording.ago(one.task.claimed_at),
            _why(one),
        )
        for one in found
    ]
    return Table((">task", "target", "object", "worker", "taken", "why"), rows, "Stuck in hand")


def _why(one: Stuck) -> str:
    until = one.task.lease_until
    if one.is_expired:
        return f"its lease ran out {wording.ago(until)}"
    left = 0.0 if until is None else (until - timezone.now()).total_seconds()
    return f"its worker was last heard of {wording.ago(one.heard_at)}; its lease ends in {duration(max(left, 1.0))}"


def _advice() -> str:
    now = "manage.py embeddings reset-stuck frees them now"
    if not conf.current().queue_enabled:
        return f"The queue is off: {now}, and manage.py requeue_missing queues them."
    if stats.workforce().alive:
        return f"Workers free them by themselves once their lease is over; {now}."
    return f"No worker is alive. Start one, which frees them: manage.py rqworker {conf.current().queue}; or {now}."


def _add_arguments(parser: CommandParser) -> None:
    add_limit(parser, LIMIT, "Tasks")


SUBCOMMANDS = [
    Subcommand(
        "stuck",
        "Tasks in hand whose lease ran out, or whose worker is silent.",
        show,
        _add_arguments,
        "It exits with 1 if there are any.",
    ),
    Subcommand("reset-stuck", "Let stuck tasks be claimed again at once.", free, add_yes),
]
