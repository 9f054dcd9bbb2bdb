"""What there is and what was done: `stats`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from embeddings import conf, stats
from embeddings.cli import wording
from embeddings.cli.failed import group_data
from embeddings.cli.parsing import positive
from embeddings.cli.report import Options, Report, Subcommand
from embeddings.cli.screen import Block, Screen, Table
from embeddings.models import Status
from embeddings.stats import Coverage, Failures, LedgerCounts, Traffic

MOST_HOURS = 24 * 90
# Groups of failures that are shown.
MOST_GROUPS = 10


def run(options: Options, screen: Screen) -> Report:
    """Counts by state and target, the speed, the failures in groups, the cost."""
    hours = min(options["hours"], MOST_HOURS)
    counts, coverage, groups = stats.ledger_counts(), stats.coverage(), stats.failures()
    speed, done = stats.recent_speed(), stats.task_traffic(hours=hours, points=1)
    calls = {alias: stats.provider_traffic(alias, hours=hours, points=1) for alias in conf.provider_aliases()}
    data = {
        "counts": counts.by_status,
        "countedAt": counts.counted_at,
        "isEstimate": counts.is_estimate,
        "targets": [_target_data(one) for one in coverage],
        "perSecond": round(speed, 3),
        "hours": hours,
        "completed": done.completed,
        "failed": done.failed,
        "waitingSeconds": percentiles_data(done.percentiles),
        "providers": [provider_data(alias, traffic) for alias, traffic in calls.items()],
        "failures": [group_data(group) for group in groups],
    }
    blocks: list[Block] = [_states(counts), wording.counted(counts.counted_at), "", _targets(coverage), ""]
    blocks += [_done(done, speed, hours), "", providers_table(calls, hours)]
    if groups:
        blocks += ["", _groups(groups)]
    return Report(data, blocks)


def percentiles_data(found: stats.Percentiles | None) -> dict[str, float] | None:
    return None if found is None else {"p50": found.p50, "p95": found.p95, "p99": found.p99}


def provider_data(alias: str, traffic: Traffic) -> dict[str, Any]:
    return {
        "provider": alias,
        "requests": traffic.completed + traffic.failed,
        "failed": traffic.failed,
        "rateLimited": traffic.rate_limited,
        "inputs": traffic.inputs,
        "tokens": traffic.tokens,
        "cost": traffic.cost,
        "latencySeconds": percentiles_data(traffic.percentiles),
    }


def providers_table(calls: dict[str, Traffic], hours: float) -> Table:
    """What was asked of each."""
    columns = ("provider", ">requests", ">failed", ">rate limited", ">texts", ">tokens", ">cost", ">p50", ">p95")
    rows = [
        (
            alias,
            f"{one.completed + one.failed:,}",
            f"{one.failed:,}",
            f"{one.rate_limited:,}",
            f"{one.inputs:,}",
            f"{one.tokens:,}",
            wording.price(one.cost),
            wording.seconds(one.percentiles.p50 if one.percentiles else None),
            wording.seconds(one.percentiles.p95 if one.percentiles else None),
        )
        for alias, one in calls.items()
    ]
    return Table(columns, rows, f"Requests to providers, {_span(hours)}")


def _span(hours: float) -> str:
    if hours < 1:
        return f"the last {round(hours * 60)} min"
    return f"the last {hours:g} h"


def _states(counts: LedgerCounts) -> Table:
    rows = [
        (str(status.label), wording.count(counts.by_status[status], is_estimate=counts.is_estimate))
        for status in Status
    ]
    return Table(("state", ">tasks"), rows, "Tasks")


def _target_data(one: Coverage) -> dict[str, Any]:
    return {
        "target": one.target,
        "database": one.using,
        "rows": one.rows,
        "embedded": one.embedded,
        "stale": one.stale,
        "waiting": one.waiting,
        "missing": one.missing,
        "empty": one.empty,
        "failed": one.failed,
        "cancelled": one.cancelled,
        "isEstimate": one.is_estimate,
    }


def _targets(coverage: list[Coverage]) -> Table:
    has_several = len(conf.current().databases) > 1
    rows = [
        (
            f"{one.target} ({one.using})" if has_several else one.target,
            wording.count(one.rows, is_estimate=one.is_estimate),
            _percent(one.embedded, one.rows - one.empty),
            wording.listed({name: number for name in _PARTS if (number := getattr(one, name))}),
        )
        for one in coverage
        if one.rows
    ]
    title = "Targets that have rows" if len(rows) < len(coverage) else "Targets"
    return Table(("target", ">rows", ">done", "of them"), rows, title)


# What rows are counted as.
_PARTS = ("embedded", "stale", "waiting", "missing", "empty", "failed", "cancelled")


def _percent(part: int, whole: int) -> str:
    """Whole percents, never 100 % while anything is left."""
    return f"{100 * part // whole}%" if whole > 0 else wording.NONE


def _done(done: Traffic, speed: float, hours: float) -> str:
    now = f" Now: {stats.per_second(speed)}." if speed else ""
    times = done.percentiles
    half = "" if times is None else f" From request to vector: half within {wording.seconds(times.p50)}"
    half += "" if times is None else f", 95% within {wording.seconds(times.p95)}."
    return f"In {_span(hours)}: {wording.tasks(done.completed)} completed, {done.failed:,} failed.{half}{now}"


def _groups(groups: list[Failures]) -> Table:
    rows = [
        (
            wording.count(one.count, is_at_least=one.is_at_least),
            one.error_kind.replace("_", " "),
            wording.ago(one.last_seen),
            wording.shortened(one.error_message),
        )
        for one in groups[:MOST_GROUPS]
    ]
    return Table((">tasks", "kind", "last", "message"), rows, "Failures (more of them: manage.py embeddings failed)")


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--hours", type=positive, default=24, metavar="N", help="Of how many hours the work is added up; default 24."
    )


SUBCOMMANDS = [
    Subcommand("stats", "Tasks by state and target, speed, failures, and what it cost.", run, _add_arguments),
]
