"""Rows a second from a commit to the last vector."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import connection, models, transaction

from benchmarks import crew
from embeddings.models import EmbeddingTask

SECONDS = 600.0


def rows_a_second(
    model: type[models.Model], create: Callable[[], object], work: Callable[[], object] | None = None
) -> float:
    """`create` fills the empty table in one transaction; workers that wait, or `work`, fill in the vectors.

    The clock starts with the commit, before anything that waits for it, and ends when every row has its vector.
    """
    started = _committed(create)
    if work:
        work()
    else:
        _wait_for_vectors(model)
    seconds = time.perf_counter() - started
    if not model._base_manager.exists() or _is_any_missing(model):
        raise SystemExit(f"Rows of {model._meta.label} were left without a vector.")
    return model._base_manager.count() / seconds


def empty(*tables: type[models.Model]) -> None:
    """Remove all rows of models and all tasks."""
    names = ", ".join(model._meta.db_table for model in (*tables, EmbeddingTask))
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {names} CASCADE")


def _committed(create: Callable[[], object]) -> float:
    """When `create` was committed."""
    started: list[float] = []
    with transaction.atomic():
        transaction.on_commit(lambda: started.append(time.perf_counter()))  # first of all
        create()
    return started[0]


def _wait_for_vectors(model: type[models.Model]) -> None:
    """Look at the last row only, until it has its vector: to look at all takes time that workers need."""
    last = model._base_manager.order_by("-pk").filter(embedding=None)[:1]
    last = model._base_manager.filter(pk__in=list(last.values_list("pk", flat=True)), embedding=None)
    crew.wait_until(lambda: not last.exists() and not _is_any_missing(model), SECONDS, "all rows had a vector")


def _is_any_missing(model: type[models.Model]) -> bool:
    return model._base_manager.filter(embedding=None).exists()
