"""A worker dies with a full batch in hand: how long until all of it is in another's?"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import QuerySet

from embeddings.conf import EmbeddingSettings
from embeddings.models import EmbeddingTask, Status
from tests.chaos.crew import Crew
from tests.chaos.stage import Stage
from tests.testapp.models import Post

TASKS = 256
# What is promised with the default lease; with a shorter one, as much less as the lease is shorter.
PROMISED_SECONDS = 60.0
# The dying worker's request; nobody waits for its answer.
ENDLESS_SECONDS = 300.0
# So slow that a backlog of moderate size lasts.
SLOW = {"BATCH_SIZE": 64, "CONCURRENCY": 1}


@dataclass(frozen=True, slots=True)
class Rescue:
    """Seconds from the kill until all tasks were claimed again, and until all were completed."""

    lease_seconds: float
    # Other tasks: in all, and how many of them still waited when the last one was done.
    backlog: int
    still_waiting: int
    claimed_after: float
    completed_after: float

    def violations(self) -> list[str]:
        promised = PROMISED_SECONDS - (EmbeddingSettings().lease_seconds - self.lease_seconds)
        found = []
        if self.claimed_after > promised:
            found.append(
                f"The last task of a dead worker was claimed after {self.claimed_after:.1f} s, not {promised:g}."
            )
        if self.backlog and not self.still_waiting:
            found.append("The backlog ended before the rescue: it shows nothing.")
        return found


def measure(stage: Stage, embeddings: Mapping[str, Any], *, backlog: int = 0) -> Rescue:
    """Kill a worker and its child that hold 256 tasks, while another is idle, or has a backlog.

    Raises TimeoutError if the tasks do not come back at all.
    """
    latency_seconds, stage.provider.latency_seconds = stage.provider.latency_seconds, ENDLESS_SECONDS
    with ExitStack() as crews:
        dying = crews.enter_context(Crew(1, stage.workers_folder, embeddings=embeddings))
        tasks = _tasks(TASKS)
        _wait_for(lambda: tasks.filter(status=Status.PROCESSING).count() == TASKS)
        rescuer = {**embeddings, **(SLOW if backlog else {})}
        _wait_until_started(crews.enter_context(Crew(1, stage.workers_folder, embeddings=rescuer)))
        stage.provider.latency_seconds = latency_seconds  # for all requests from now on
        others = _tasks(backlog)
        _wait_for(lambda: not backlog or others.filter(status=Status.COMPLETED).exists())
        (holder,) = dying.living()
        killed_at = time.time()
        for pid in (holder.process.pid, holder.look() or holder.process.pid):
            os.kill(pid, signal.SIGKILL)
        _wait_for(lambda: tasks.filter(status=Status.COMPLETED).count() == TASKS)
        completed_after = time.time() - killed_at
        waiting = others.filter(status=Status.PENDING).count()
        _wait_for(lambda: not others.exclude(status=Status.COMPLETED).exists())
    lease_seconds = embeddings.get("LEASE_SECONDS", EmbeddingSettings().lease_seconds)
    claimed_after = _last_claim(list(tasks.values_list("pk", flat=True)), holder.name) - killed_at
    return Rescue(lease_seconds, backlog, waiting, claimed_after, completed_after)


def _tasks(count: int) -> QuerySet[EmbeddingTask]:
    """The tasks of so many new rows."""
    posts = Post.objects.bulk_create([Post(title=f"post {number} to be rescued") for number in range(count)])
    post_type = ContentType.objects.get_for_model(Post)
    return EmbeddingTask.objects.filter(content_type=post_type, object_id__in=[str(post.pk) for post in posts])


def _wait_until_started(crew: Crew) -> None:
    _wait_for(lambda: all(worker.has_started for worker in crew.living()))


def _last_claim(tasks: list[int], holder: str) -> float:
    """When the last of the tasks was claimed by another than its first holder, for the first time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM max(first)) FROM (SELECT min(at) AS first FROM chaos_step "
            "WHERE task = ANY(%s) AND now = 'processing' AND worker <> %s GROUP BY task) AS claims",
            [tasks, holder],
        )
        return float(cursor.fetchone()[0])


def _wait_for(condition: Callable[[], bool], seconds: float = PROMISED_SECONDS * 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"A dead worker's tasks did not all come back within {seconds} s.")
        time.sleep(0.1)
