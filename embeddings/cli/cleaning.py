"""Records of past work that are old: `cleanup`."""

from __future__ import annotations

from django.core.management.base import CommandParser

from embeddings import cleanup, conf
from embeddings.cli import confirming, wording
from embeddings.cli.parsing import add_yes, positive
from embeddings.cli.report import NOT_DONE, Options, Report, Subcommand
from embeddings.cli.screen import Screen, Table


def run(options: Options, screen: Screen) -> Report:
    """Count what is old, ask, and delete it."""
    days = conf.current().cleanup_retention_days if options["days"] is None else options["days"]
    found = {name: count for name, count in cleanup.count_old(days).items() if count}
    is_at_least = any(count >= cleanup.MOST for count in found.values())
    data = {"days": days, "dryRun": options["dry_run"], "old": _data(found), "isAtLeast": is_at_least}
    if not found:
        return Report({**data, "deleted": 0}, [f"Nothing is older than it is to be kept: {_ages(days)}."])
    rows = [(name, wording.count(count, is_at_least=count >= cleanup.MOST)) for name, count in found.items()]
    screen.show([Table(("records", ">to be deleted"), rows), f"They are older than they are kept: {_ages(days)}."])
    if options["dry_run"]:
        return Report({**data, "deleted": 0}, [])
    if not confirming.is_confirmed("Delete them?", options, screen):
        return Report({**data, "deleted": 0}, ["Nothing was done."], NOT_DONE)
    deleted = cleanup.clean_up_all(days)
    return Report({**data, "deleted": deleted}, [f"{deleted:,} records deleted. The tasks and the vectors stay."])


def _data(found: dict[str, int]) -> list[dict[str, object]]:
    return [{"records": name, "count": count} for name, count in found.items()]


def _ages(days: int) -> str:
    settings = conf.current()
    work = f"{days} {'day' if days == 1 else 'days'} for finished work" if days else "finished work for ever"
    return (
        f"{work}, {settings.attempt_retention_days} for attempts, {settings.metric_retention_days} for figures, "
        f"{settings.audit_retention_days} for the audit log"
    )


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--days",
        type=positive,
        metavar="N",
        help="Keep finished work of so many days; default: EMBEDDINGS['CLEANUP_RETENTION_DAYS'].",
    )
    add_yes(parser)


SUBCOMMANDS = [
    Subcommand(
        "cleanup",
        "Delete records of past work that are old.",
        run,
        _add_arguments,
        "Attempts, figures and the audit log go by the ages of their own that EMBEDDINGS says. Workers do the same\n"
        "every EMBEDDINGS['CLEANUP_INTERVAL_HOURS'].",
    ),
]
