"""What the overview shows, panel by panel: each is asked for with a bounded number of short queries."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.utils.text import capfirst

from embeddings import conf, stats
from embeddings.admin import labels
from embeddings.admin.charts import Part, parted
from embeddings.admin.places import Places
from embeddings.durations import duration
from embeddings.models import EmbeddingOperation, Status
from embeddings.stats import Situation
from embeddings.stats.census import Coverage
from embeddings.stats.failures import Failures
from embeddings.stats.wording import ending

# What a panel shows of what there is more of.
MOST_FAILURES = 5
MOST_WORKERS = 10
MOST_OPERATIONS = 10
MOST_ALERTS = 10


@dataclass(frozen=True, slots=True)
class Number:
    """A number to be seen from afar."""

    name: str
    value: str
    # One of what waits, of how it moves: shown below it.
    note: str = ""


def numbers(now: Situation) -> list[Number]:
    """The four that say whether all keeps up."""
    waiting, in_hand = (_about(count, now.counts.is_estimate) for count in (now.waiting, now.in_hand))
    oldest = "-" if now.waiting_seconds is None else duration(now.waiting_seconds)
    is_moving = now.waiting or now.in_hand
    eta = "-" if not is_moving or now.eta_seconds is None else f"about {duration(now.eta_seconds)}"
    return [
        Number("waiting", waiting, f"and {in_hand} in hand"),
        Number("oldest waits for", oldest),
        Number("speed", stats.per_second(now.speed) if now.speed else "-", "over the last minute"),
        Number("done in", eta, "at this speed" if eta != "-" else ""),
    ]


def counts(now: Situation, places: Places) -> list[dict[str, Any]]:
    """The tasks by state, with a link to them."""
    return [
        {
            "pill": labels.pill(status, status.label),
            "status": status.value,
            "count": f"{now.count(status):,}",
            "url": places.listing("embeddingtask", status__exact=status.value),
        }
        for status in Status
    ]


def alerts() -> list[dict[str, Any]]:
    """Of what operators were told, and since when."""
    return [
        {
            "name": alert.get_kind_display(),
            "subject": alert.subject,
            "message": alert.message,
            "since": labels.ago(alert.raised_at),
        }
        for alert in stats.open_alerts()[:MOST_ALERTS]
    ]


def coverage(rows: list[Coverage], places: Places) -> dict[str, Any]:
    """How much of each target is embedded, as a bar with its legend; of those without rows only the names."""
    several = len(conf.current().databases) > 1
    return {
        "shown": [_of_target(row, places) for row in rows if row.rows],
        "without_rows": [f"{row.name} in {row.using}" if several else row.name for row in rows if not row.rows],
    }


def _of_target(row: Coverage, places: Places) -> dict[str, Any]:
    names = ("embedded", "stale", "waiting", "missing", "failed", "cancelled", "empty")
    parts = [Part(name, getattr(row, name), name) for name in names]
    is_behind = bool(row.missing or row.stale)
    return {
        "id": f"{row.using}-{row.target}".replace(".", "-"),
        "name": capfirst(row.name),
        "target": row.target,
        "using": row.using if len(conf.current().databases) > 1 else "",
        "rows": _about(row.rows - row.empty, row.is_estimate),
        "percent": _percent(row.embedded, row.rows - row.empty),
        "bar": parted(parts, title=f"{row.rows:,} rows"),
        "legend": [
            {"tone": part.tone, "text": f"{_about(part.count, row.is_estimate)} {part.name}"}
            for part in parts
            if part.count
        ],
        "embed": places.requeue(row.target) if is_behind else "",
    }


def failures(groups: list[Failures], places: Places) -> dict[str, Any]:
    """The largest groups of failed tasks."""
    several = len(conf.current().databases) > 1
    shown = [
        {
            "id": number,
            "count": f"{group.count:,}+" if group.is_at_least else f"{group.count:,}",
            "kind": labels.pill(group.error_kind, group.error_kind.replace("_", " ")),
            "name": f"{group.error_class} {group.error_status or ''}".strip(),
            "message": labels.shortened(group.error_message),
            "last": labels.ago(group.last_seen),
            "using": group.using if several else "",
            # The admin lists the tasks of the default database.
            "url": places.failed(group.signature) if group.using == DEFAULT_DB_ALIAS else "",
            "retry": places.retry(group.signature) if group.using == DEFAULT_DB_ALIAS else "",
        }
        for number, group in enumerate(islice(groups, MOST_FAILURES))
    ]
    return {"groups": shown, "more": max(len(groups) - MOST_FAILURES, 0), "url": places.listing("failuregroup")}


def workers(now: Situation, places: Places) -> dict[str, Any]:
    """Who is alive, what they hold, and where the registries differ."""
    force = now.workforce
    unknown = {worker.pk for worker in force.unknown_to_redis}
    return {
        "alive": len(force.alive),
        "silent": len(force.silent),
        "unknown": len(unknown),
        "shown": [
            {
                "name": worker.name,
                "url": places.detail("workerstatus", worker.pk),
                "state": labels.pill(worker.state, worker.get_state_display()),
                "in_hand": f"{worker.claimed:,}",
                "completed": f"{worker.completed:,}",
                "heard_of": labels.ago(worker.heartbeat_at),
                "is_unknown": worker.pk in unknown,
            }
            for worker in force.alive[:MOST_WORKERS]
        ],
        "more": max(len(force.alive) - MOST_WORKERS, 0),
        "url": places.listing("workerstatus"),
    }


def operations(places: Places) -> dict[str, Any]:
    """What goes on in the background."""
    shown = []
    databases = conf.current().databases
    for using in databases:
        running = EmbeddingOperation.objects.using(using).filter(finished_at=None).order_by("-pk")
        for one in running[:MOST_OPERATIONS]:
            total = max(one.rows_total or 0, one.rows_read)
            shown.append(
                {
                    "id": f"{using}-{one.pk}",
                    "name": str(one) if len(databases) == 1 else f"{one} ({using})",
                    "url": places.detail("embeddingoperation", one.pk) if using == DEFAULT_DB_ALIAS else "",
                    "bar": labels.progress_bar(one.rows_read, total),
                    "rows": f"{one.rows_read:,} of about {total:,}" if total else "not begun",
                    "by": one.by,
                    "since": labels.ago(one.created_at),
                }
            )
    return {"shown": shown, "url": places.listing("embeddingoperation")}


def pauses(now: Situation, places: Places) -> dict[str, Any]:
    """What is paused, by whom, and until when."""
    shown = [
        {
            "id": pause.pk,
            "name": capfirst(str(pause)),
            "reason": pause.reason,
            "by": pause.by,
            "since": labels.ago(pause.created_at),
            "ending": ending(pause, now),
        }
        for pause in now.pauses
    ]
    return {"shown": shown, "url": places.listing("pause"), "may_resume": places.may_pause()}


def redis(now: Situation, places: Places) -> dict[str, Any]:
    """What Redis knows of the queue."""
    queue = now.workforce.queue
    return {
        "is_reachable": queue is not None,
        "is_used": now.settings.queue_enabled,
        "depth": f"{queue.depth:,}" if queue else "",
        "workers": f"{len(queue.workers):,}" if queue else "",
        "strangers": now.workforce.only_in_redis,
        "name": now.settings.queue,
        "url": places.queue(),
    }


def health() -> list[dict[str, Any]]:
    """How each database's ledger is."""
    return [
        {
            "using": one.using,
            "size": f"{megabytes(one.table_bytes)} and {megabytes(one.index_bytes)} of indexes",
            "rows": f"about {one.live_rows:,} living and {one.dead_rows:,} dead rows",
            "vacuumed": labels.ago(one.vacuumed_at) if one.vacuumed_at else "never",
            "oldest": duration(one.oldest_seconds) if one.oldest_seconds is not None else "none",
            "warnings": one.warnings,
        }
        for one in stats.ledger_health()
    ]


def megabytes(size: int) -> str:
    """ "12 MB", "0.3 MB"."""
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"


def _about(count: int, is_estimate: bool) -> str:
    return f"about {count:,}" if is_estimate else f"{count:,}"


def _percent(part: int, whole: int) -> str:
    """Whole percents; never 100 % while anything is left, never 0 % where there is something."""
    if whole <= 0:
        return labels.NONE
    percent = 100 * part // whole
    return "under 1%" if part and not percent else f"{percent}%"
