"""What is done to many tasks: `retry`, `cancel` and `clear`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.management.base import CommandParser
from django.utils.text import capfirst

from embeddings import operations
from embeddings.cli import confirming, selection, waiting, who, wording
from embeddings.cli.parsing import add_yes, positive
from embeddings.cli.report import NOT_DONE, Options, Problem, Report, Subcommand
from embeddings.cli.screen import Block, Screen
from embeddings.models import CANCELLABLE, CLEARABLE, RETRYABLE, EmbeddingOperation, EmbeddingTask, Status
from embeddings.operations import Changed
from embeddings.stats.census import Preview
from embeddings.task_filter import TaskFilter, eligible

# So many tasks are changed at once; more in the background, by workers.
MOST_AT_ONCE = 1_000
# Ids that a sentence names.
MOST_NAMED = 10

Kind = EmbeddingOperation.Kind


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that is done to tasks: at once, or in the background."""

    kind: EmbeddingOperation.Kind
    done: str
    at_once: Callable[..., Changed]
    begin: Callable[..., EmbeddingOperation]
    statuses: Sequence[str]
    summary: str
    # What becomes of them, and which tasks it is for.
    outcome: str
    only: str
    # Whether single tasks are asked about too.
    is_danger: bool = True


VERBS = [
    Verb(
        Kind.RETRY,
        "retried",
        operations.retry,
        operations.retry_matching,
        RETRYABLE,
        "Try tasks again at once, with all their attempts ahead of them.",
        "would be tried again at once",
        "Only failed, cancelled, scheduled and rate limited tasks can be retried.",
        is_danger=False,
    ),
    Verb(
        Kind.CANCEL,
        "cancelled",
        operations.cancel,
        operations.cancel_matching,
        CANCELLABLE,
        "Stop tasks; the next save of an object, or a retry, opens its task again.",
        "would be cancelled",
        "Only tasks that are not done can be cancelled, and failed ones with --status failed.",
    ),
    Verb(
        Kind.CLEAR,
        "deleted from the ledger",
        operations.clear,
        operations.clear_matching,
        CLEARABLE,
        "Delete failed and cancelled tasks from the ledger; objects and vectors stay.",
        "would be deleted from the ledger, with what is known of their errors",
        "Only failed and cancelled tasks can be cleared, and none that holds an object that is not stored yet.",
    ),
]


def run(verb: Verb, options: Options, screen: Screen) -> Report:
    """Say what it comes to and ask; then do it here, or begin it in the background."""
    if options["ids"]:
        return _of_ids(verb, options, screen)
    if not (selection.is_given(options) or options["all"]):
        raise Problem(f"Say which tasks to {verb.kind}: their ids, filters such as --status failed, or --all.")
    wanted = selection.wanted(options)
    preview = operations.preview(verb.kind, wanted)
    data = {"filter": wanted.describe(), "dryRun": options["dry_run"], "preview": preview_data(preview)}
    is_nothing = not (preview.rows or preview.is_at_least)
    nothing = f"There is nothing to {verb.kind}: {wanted.describe()}. {verb.only}"
    told: list[Block] = [nothing] if is_nothing else _told(verb, wanted, preview)
    if options["dry_run"]:
        return Report({**data, "changed": 0}, told)
    if is_nothing:
        return _ended(data, told, changed=0)
    screen.show(told)
    if not confirming.is_confirmed(f"{capfirst(verb.kind)} {_tasks(preview)}?", options, screen):
        return _ended(data, ["Nothing was done."], changed=0)
    return _done(verb, wanted, preview, data, options, screen)


def _done(
    verb: Verb, wanted: TaskFilter, preview: Preview, data: dict[str, Any], options: Options, screen: Screen
) -> Report:
    tasks, statuses = eligible(verb.kind, wanted)
    is_few = (preview.rows or 0) <= MOST_AT_ONCE and not preview.is_at_least
    # Failures are given up in the background only.
    if is_few and set(statuses) <= set(verb.statuses):
        changed = verb.at_once(tasks.filter(status__in=statuses), by=who.name(), using=wanted.using)
        return _changed(verb, changed, data)
    operation = verb.begin(wanted, by=who.name())
    ended = waiting.report(operation, options, screen)
    changed_so_far = None if operation.is_open else operation.changed
    return Report({**data, "changed": changed_so_far, **ended.data}, ended.blocks, ended.exit_code)


def _of_ids(verb: Verb, options: Options, screen: Screen) -> Report:
    """Single tasks, at once."""
    if selection.is_given(options) or options["all"]:
        raise Problem("Give ids or filters, not both.")
    using, ids = selection.database(options), list(dict.fromkeys(options["ids"]))
    if len(ids) > MOST_AT_ONCE:
        raise Problem(f"Give at most {MOST_AT_ONCE:,} ids, or filters.")
    tasks = EmbeddingTask.objects.using(using).filter(pk__in=ids)
    known = dict(tasks.values_list("pk", "status"))
    fit = [pk for pk, status in known.items() if status in verb.statuses]
    data = {"ids": ids, "dryRun": options["dry_run"]}
    nothing = f"There is nothing to {verb.kind}: {_why_not(ids, known)} {verb.only}"
    if options["dry_run"]:
        told = f"{wording.tasks(len(fit))} {verb.outcome}." if fit else nothing
        return Report({**data, "wouldChange": len(fit), "changed": 0}, [told])
    if not fit:
        return _ended(data, [nothing], changed=0)
    question = f"{capfirst(verb.kind)} {wording.tasks(len(fit))}?"
    if verb.is_danger and not confirming.is_confirmed(question, options, screen):
        return _ended(data, ["Nothing was done."], changed=0)
    changed = verb.at_once(tasks.filter(pk__in=fit), by=who.name(), using=using)
    return _changed(verb, Changed(changed.changed, len(ids) - changed.changed), data)


def _why_not(ids: list[int], known: dict[int, str]) -> str:
    missing = [str(pk) for pk in ids if pk not in known][:MOST_NAMED]
    states = sorted({str(Status(status).label) for status in known.values()})
    parts = [f"there is no task {', '.join(missing)}"] if missing else []
    parts += (
        [f"the others are {' and '.join(states)}" if missing else f"they are {' and '.join(states)}"] if states else []
    )
    return f"{', '.join(parts)}."


def _changed(verb: Verb, changed: Changed, data: dict[str, Any]) -> Report:
    left = f"; {changed.skipped:,} left as they are" if changed.skipped else ""
    text = f"{wording.tasks(changed.changed)} {verb.done}{left}."
    return _ended({**data, "skipped": changed.skipped}, [text], changed=changed.changed)


def _ended(data: dict[str, Any], blocks: list[Block], *, changed: int) -> Report:
    return Report({**data, "changed": changed}, blocks, 0 if changed else NOT_DONE)


def _told(verb: Verb, wanted: TaskFilter, preview: Preview) -> list[Block]:
    """What it would come to."""
    parts = f": {wording.listed(preview.parts)}" if preview.parts else ""
    blocks: list[Block] = [f"{_tasks(preview)} {verb.outcome}{parts}.", f"Which: {wanted.describe()}."]
    if preview.others:
        blocks.append(f"Left as they are: about {preview.others:,} that match too. {verb.only}")
    if verb.kind == Kind.RETRY:
        blocks.append(wording.cost_of(preview))
    return blocks


def _tasks(preview: Preview) -> str:
    return wording.tasks(preview.rows, is_at_least=preview.is_at_least)


def preview_data(preview: Preview) -> dict[str, Any]:
    return {
        "tasks": preview.rows,
        "isAtLeast": preview.is_at_least,
        "byStatus": preview.parts,
        "others": preview.others,
        "tokens": preview.tokens,
        "cost": preview.cost,
    }


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument("ids", nargs="*", type=positive, metavar="ID", help="Tasks, if no filter says which.")
    parser.add_argument("--all", action="store_true", help="All tasks that it can be done to.")
    selection.add_filters(parser)
    add_yes(parser)
    waiting.add_wait(parser)


SUBCOMMANDS = [
    Subcommand(
        str(verb.kind),
        verb.summary,
        partial(run, verb),
        _add_arguments,
        f"{verb.only} Up to {MOST_AT_ONCE:,} are changed at once, more by workers in the background.",
    )
    for verb in VERBS
]
