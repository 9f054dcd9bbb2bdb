"""How things stand: `status` and `health`."""

from __future__ import annotations

from typing import Any

from django.db import Error
from django.utils.text import capfirst

from embeddings import stats
from embeddings.cli import wording
from embeddings.cli.report import Options, Report, Subcommand
from embeddings.cli.screen import Block, Line, Screen, Table
from embeddings.durations import duration
from embeddings.models import Status
from embeddings.stats import Health, Situation
from embeddings.stats.wording import ending

STYLES = {"well": "bold green", "busy": "bold green", "degraded": "bold yellow", "down": "bold red"}


def health(options: Options, screen: Screen) -> Report:
    """One line for a monitor."""
    found = stats.health()
    text = f"{found.level}: {found.sentence} {found.advice}".strip()
    return Report(health_data(found), [Line(text, STYLES[found.level])], found.exit_code)


def health_data(found: Health) -> dict[str, Any]:
    return {
        "level": found.level,
        "sentence": found.sentence,
        "advice": found.advice,
        "waiting": found.waiting,
        "active": found.active,
        "failed": found.failed,
        "waitingSeconds": found.waiting_seconds,
        "perSecond": round(found.per_second, 3),
        "workers": found.workers,
        "redis": found.redis,
        "exitCode": found.exit_code,
    }


def status(options: Options, screen: Screen) -> Report:
    """The sentence of `health`, what else is the case, and the main numbers."""
    try:
        now = stats.situation()
    except Error:
        return health(options, screen)
    worst, *others = stats.conditions(now)
    found = stats.health_of(now)
    data = {
        **health_data(found),
        "others": [{"level": one.level, "sentence": one.sentence, "advice": one.advice} for one in others],
        "etaSeconds": now.eta_seconds,
        "countedAt": now.counts.counted_at,
        "isEstimate": now.counts.is_estimate,
        "pauses": [_pause(pause) for pause in now.pauses],
    }
    blocks: list[Block] = []
    for number, one in enumerate((worst, *others)):
        blocks.append(Line(f"{one.level}: {one.sentence}", STYLES[one.level] if not number else ""))
        blocks += [f"  {one.advice}"] if one.advice else []
    return Report(data, [*blocks, "", *_numbers(now)], found.exit_code)


def _numbers(now: Situation) -> list[Block]:
    """The main ones, and how old they are."""
    queue = now.workforce.queue
    oldest = "" if now.waiting_seconds is None else f"the oldest for {duration(now.waiting_seconds)}"
    eta = "" if now.eta_seconds is None or not now.waiting else f"done in about {duration(now.eta_seconds)}"
    silent = len(now.workforce.silent)
    rows = [
        ("waiting", _count(now.waiting, now), oldest),
        ("in hand", _count(now.in_hand, now), ""),
        ("failed", _count(now.count(Status.FAILED), now), ""),
        ("speed", stats.per_second(now.speed) if now.speed else wording.NONE, eta),
        ("workers", f"{len(now.workforce.alive):,}", f"and {silent:,} that fell silent" if silent else ""),
        ("redis", "away" if queue is None else "answers", ""),
    ]
    rows += [("paused", capfirst(str(pause)), f"{ending(pause, now)}: {pause.reason}") for pause in now.pauses]
    return [Table(("", ">", ""), rows), wording.counted(now.counts.counted_at)]


def _count(number: int, now: Situation) -> str:
    return wording.count(number, is_estimate=now.counts.is_estimate)


def _pause(pause: Any) -> dict[str, Any]:
    return {
        "kind": pause.kind,
        "name": pause.name,
        "reason": pause.reason,
        "by": pause.by,
        "since": pause.created_at,
        "endsAt": pause.ends_at,
    }


SUBCOMMANDS = [
    Subcommand("status", "How things stand, what to do, and the main numbers.", status),
    Subcommand(
        "health",
        "One line for monitors.",
        health,
        description="It exits with 0 if all is well, 1 if something is degraded, 2 if nothing works.",
    ),
]
