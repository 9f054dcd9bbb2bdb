"""Is everything right at the end? Each question gives a list of sentences, empty where all is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models

from embeddings import stats
from embeddings.models import OPEN, EmbeddingTask, Status, WorkerStatus
from embeddings.providers import get_provider
from embeddings.text import fingerprint
from tests.chaos.population import Expected, expected, is_planted
from tests.chaos.stage import DIMENSIONS, MODEL
from tests.openai_server import expected_vector

# Half-precision numbers of unit vectors are right to this.
HALF = 1e-3

Target = tuple[type[models.Model], str, str]


def violations() -> list[str]:
    """All that is wrong with rows and tasks."""
    return [*rows_and_tasks(), *_counts()]


def rows_and_tasks() -> list[str]:
    tasks = {_target(task): task for task in EmbeddingTask.objects.iterator()}
    found: list[str] = []
    for want in expected():
        task = tasks.pop((type(want.row), str(want.row.pk), want.field), None)
        found += [f"{_name(want)}: {problem}" for problem in _problems(want, task)]
    found += [
        f"Task {task.pk} ({key[0].__name__} {key[1]}) is {task.status}, and its row is gone."
        for key, task in tasks.items()
    ]
    return found


def _target(task: EmbeddingTask) -> Target:
    model = ContentType.objects.get_for_id(task.content_type_id).model_class()
    assert model is not None
    return model, task.object_id, task.field


def _name(want: Expected) -> str:
    return f"{type(want.row).__name__} {want.row.pk} {want.field}"


def _problems(want: Expected, task: EmbeddingTask | None) -> Iterator[str]:
    vector = getattr(want.row, want.field)
    if task is None:
        yield "it has no task."
        return
    if is_planted(want.row):
        if task.status != Status.FAILED or vector is not None:
            yield f"it is planted, and {task.status}."
        return
    status = Status.COMPLETED if want.text else Status.EMPTY
    if task.status != status:
        yield f"its task is {task.status} and should be {status}: {task.error_message} ({_story(task)})"
    elif not want.text:
        if vector is not None:
            yield "it has no text, and a vector."
    else:
        if task.fingerprint != fingerprint(want.text, get_provider("default")):
            yield "its fingerprint is not that of its text."
        if vector is None:
            yield "it has no vector."
        elif not _is_right(vector, want):
            yield f"its vector is not that of {want.text!r} (stale)."


def _is_right(vector: object, want: Expected) -> bool:
    got = np.asarray(vector.to_list() if hasattr(vector, "to_list") else vector, dtype=np.float32)
    right = expected_vector(want.text, MODEL, DIMENSIONS)
    return bool(np.allclose(got, right, rtol=0, atol=HALF if want.is_half else 0))


def _story(task: EmbeddingTask) -> str:
    """The steps of a task, for whoever has to find out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT by, now, crashes, attempts FROM chaos_step WHERE task = %s ORDER BY id", [task.pk])
        return " → ".join(f"{by}: {now} c{crashes} a{attempts}" for by, now, crashes, attempts in cursor.fetchall())


def _counts() -> list[str]:
    """The statuses add up to the tasks, and the tasks to the columns of the living rows."""
    by_status = stats.counts_by_status()
    tasks, columns = EmbeddingTask.objects.count(), sum(1 for _ in expected())
    found = []
    if not sum(by_status.values()) == tasks == columns:
        found.append(f"Counts: {by_status} make {sum(by_status.values())}; {tasks} tasks; {columns} columns.")
    if open_tasks := sum(by_status[status] for status in OPEN):
        found.append(f"{open_tasks} tasks are still open: {by_status}.")
    return found


def idle_workers(names: set[str]) -> list[str]:
    """With nothing to do, each living worker is known, nobody who is heard of is active, and holds one connection."""
    found = []
    heard_of = {worker.name: worker for worker in WorkerStatus.objects.all()}
    for name in sorted(names):
        worker = heard_of.get(name)
        if worker is None:
            found.append(f"{name} lives, and is not in the list of workers.")
        elif worker.state == WorkerStatus.State.ACTIVE or worker.claimed:
            found.append(f"{name} is {worker.state} with {worker.claimed} tasks, and there is nothing to do.")
    found += [f"{name} has {count} connections." for name, count in connections_by_worker().items() if count > 1]
    return found


def connections_by_worker() -> Counter[str]:
    """Open connections to the database, by worker: of a parent and its child together."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name LIKE 'worker-%%' "
            "AND datname = current_database() GROUP BY 1",
            [],
        )
        return Counter(dict(cursor.fetchall()))
