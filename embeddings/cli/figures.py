"""What was done minute by minute: `metrics`."""

from __future__ import annotations

import math
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from embeddings import conf, pauses, registry, stats
from embeddings.cli import wording
from embeddings.cli.counts import percentiles_data, provider_data, providers_table
from embeddings.cli.parsing import moment_or_duration, positive
from embeddings.cli.report import Options, Problem, Report, Subcommand
from embeddings.cli.screen import Block, Screen, Table
from embeddings.stats import Point, Traffic

MINUTES = 60
# As long as anybody keeps them by default.
MOST_MINUTES = 90 * 24 * 60
# Intervals of a longer time are longer than a minute: so many are shown, or written as JSON.
MOST_SHOWN = 30
MOST_WRITTEN = 1_440


def run(options: Options, screen: Screen) -> Report:
    """Tasks minute by minute, of all targets or of one; then the sums of each target and provider."""
    target = _target(options["target"])
    minutes, points = _intervals(options, MOST_WRITTEN if screen.is_json else MOST_SHOWN)
    hours = minutes / 60
    tasks = stats.task_traffic(hours=hours, points=points, target=target)
    targets = {
        name: stats.task_traffic(hours=hours, points=1, target=name) for name in ([target] if target else _targets())
    }
    calls = {alias: stats.provider_traffic(alias, hours=hours, points=1) for alias in _aliases(options["provider"])}
    data = {
        "minutes": minutes,
        "intervalSeconds": tasks.interval_seconds,
        "target": target,
        "completed": tasks.completed,
        "failed": tasks.failed,
        "points": [_point_data(point) for point in tasks.points],
        "targets": [
            {
                "target": name,
                "completed": one.completed,
                "failed": one.failed,
                "waitingSeconds": percentiles_data(one.percentiles),
            }
            for name, one in targets.items()
        ],
        "providers": [provider_data(alias, one) for alias, one in calls.items()],
    }
    blocks: list[Block] = [_points_table(tasks, target), "", _targets_table(targets), ""]
    return Report(data, [*blocks, providers_table(calls, hours)])


def _intervals(options: Options, most: int) -> tuple[int, int]:
    """(minutes, intervals), each interval of the same number of whole minutes."""
    wanted = options["minutes"] or MINUTES
    if options["since"] is not None:
        seconds = (timezone.now() - options["since"]).total_seconds()
        wanted = max(1, round(seconds / 60)) if seconds > 0 else 0
    if not wanted:
        raise Problem("--since lies in the future: give a time that has passed, or how long ago, such as 2h.")
    wanted = min(wanted, MOST_MINUTES)
    each = math.ceil(wanted / most)
    points = math.ceil(wanted / each)
    return points * each, points


def _target(given: str | None) -> str:
    if given is None:
        return ""
    found = next((target for target in registry.all_derived() if pauses.name_of(target) == given.lower()), None)
    return pauses.name_of(found or registry.get(given)[0])


def _targets() -> list[str]:
    return sorted(pauses.name_of(target) for target in registry.all_derived())


def _aliases(given: str | None) -> list[str]:
    return conf.provider_aliases() if given is None else [conf.provider_settings(given).alias]


def _point_data(point: Point) -> dict[str, Any]:
    return {
        "start": point.start,
        "completed": point.completed,
        "failed": point.failed,
        "waitingSeconds": percentiles_data(point.percentiles),
    }


def _points_table(tasks: Traffic, target: str) -> Table:
    form = "%H:%M" if len(tasks.points) * tasks.interval_seconds <= 86_400 else "%m-%d %H:%M"
    rows = [
        (
            timezone.localtime(point.start).strftime(form),
            f"{point.completed:,}",
            f"{point.failed:,}",
            wording.seconds(point.percentiles.p50 if point.percentiles else None),
            wording.seconds(point.percentiles.p95 if point.percentiles else None),
        )
        for point in tasks.points
    ]
    minutes = round(tasks.interval_seconds / 60)
    every = "minute by minute" if minutes == 1 else f"every {minutes} minutes"
    title = f"Tasks of {target or 'all targets'}, {every}; p50 and p95: from request to vector"
    return Table(("from", ">completed", ">failed", ">p50", ">p95"), rows, title)


def _targets_table(targets: dict[str, Traffic]) -> Table:
    rows = [
        (
            name,
            f"{one.completed:,}",
            f"{one.failed:,}",
            wording.seconds(one.percentiles.p50 if one.percentiles else None),
            wording.seconds(one.percentiles.p95 if one.percentiles else None),
        )
        for name, one in targets.items()
        if one.completed or one.failed
    ]
    return Table(("target", ">completed", ">failed", ">p50", ">p95"), rows, "By target, in all this time")


def _add_arguments(parser: CommandParser) -> None:
    span = parser.add_mutually_exclusive_group()
    span.add_argument("--minutes", type=positive, metavar="N", help=f"Of the last N minutes; default {MINUTES}.")
    span.add_argument("--since", type=moment_or_duration, metavar="TIME", help="Since a time, or so long ago: 2h.")
    parser.add_argument("--target", metavar="APP.MODEL.FIELD", help="Only the tasks of this one.")
    parser.add_argument("--provider", metavar="ALIAS", help="Only the requests to this one.")


SUBCOMMANDS = [
    Subcommand(
        "metrics",
        "What was done minute by minute, and by each target and provider.",
        run,
        _add_arguments,
        f"Of more than {MOST_SHOWN} minutes ({MOST_WRITTEN:,} with --json), minutes are added up in intervals.",
    ),
]
