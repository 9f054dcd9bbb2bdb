"""A ledger of any size with all that surrounds it, made by SQL in less than a minute: 1,000,000 tasks by default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from benchmarks import indexes
from embeddings import registry
from embeddings.models import EmbeddingTask
from project.content.models import Article

SQL = Path(__file__).with_suffix(".sql").read_text()
LARGE = ("embeddings_embeddingtask", "embeddings_taskattempt", "content_article")

# {status: share of the tasks}.
PRODUCTION = {
    "completed": 0.97,
    "pending": 0.015,
    "failed": 0.01,
    "empty": 0.0025,
    "cancelled": 0.001,
    "processing": 0.0005,
    "scheduled": 0.0005,
    "rate_limited": 0.0005,
}
# Much of everything, so that reading all of any state shows; but workers have only so many tasks in hand.
EVEN = {"completed": 0.39, "processing": 0.01} | dict.fromkeys(set(PRODUCTION) - {"completed", "processing"}, 0.1)

# Of the targets, in the order in which they were imported: the first is old and large, the second old and rare.
SHARES = (0.2, 0.001, 0.009, 0.02, 0.1, 0.03, 0.04, 0.05, 0.15, 0.4)
# Which of them another provider embeds, and which is nobody's lane.
SECOND, SPLIT = 4, 2


def fill(tasks: int = 1_000_000, *, operator: User, statuses: Mapping[str, float] = PRODUCTION) -> None:
    """Write the rows into empty tables of the default database, with the statistics that autovacuum would have.

    The other tables are in proportion: as many attempts as tasks, a fifth of provider requests, a tenth of audit events
    and of entries in the admin's log.
    """
    with connection.cursor() as cursor:
        with indexes.dropped(cursor, *LARGE), transaction.atomic():
            cursor.execute(SQL, _parameters(tasks, operator, statuses))
        cursor.execute("VACUUM (ANALYZE)")


def _parameters(tasks: int, operator: User, statuses: Mapping[str, float]) -> dict[str, Any]:
    targets = _targets()
    objects = int(tasks * SHARES[0] * 1.05)
    return {
        "tasks": tasks,
        "attempts": tasks,
        "calls": tasks // 5,
        "events": tasks // 10,
        "objects": objects,
        "statuses": json.dumps(dict(statuses)),
        "targets": json.dumps(targets),
        "last_target": len(targets),
        "paused": targets[-1]["label"],
        "task_type": ContentType.objects.get_for_model(EmbeddingTask).pk,
        "operator": operator.pk,
        "waiting": _histogram(100),
        "latency": _histogram(12),
    }


def _targets() -> list[dict[str, Any]]:
    """Ten of those that are registered, articles first: their objects are made, too."""
    splitting = next(registry.all_splittings())
    rest = [target for target in registry.all_targets() if target.model is not Article]
    chosen = [*registry.targets_for(Article), *rest[: len(SHARES) - 2]]
    chosen.insert(SPLIT, splitting)
    return [
        {
            "content_type_id": target.content_type_id("default"),
            "field": target.field,
            "provider": "second" if number == SECOND else target.provider,
            "label": target.label,
            "share": share,
        }
        for number, (target, share) in enumerate(zip(chosen, SHARES, strict=True))
    ]


def _histogram(count: int) -> list[int]:
    """So many durations around 5 seconds, in the buckets of `embeddings.histogram`."""
    return [0] * 8 + [count // 4, count // 2, count // 4] + [0] * 11
