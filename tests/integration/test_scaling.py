"""`manage.py embedding_workers` with real workers: as many as are needed, whatever happens to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from embeddings.models import EmbeddingTask, Status, WorkerStatus
from tests.integration import sessions
from tests.integration.conftest import Workers, counts, dummy, wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

# One worker ends 5 tasks a second: each request holds as many, and takes a second.
SLOW: dict[str, Any] = {
    "embeddings": {"BATCH_SIZE": 5, "CONCURRENCY": 1, "GRACE_SECONDS": 3},
    "providers": dummy(LATENCY_SECONDS=1.0),
}
# Long enough for a second request to be no duplicate of the first.
LATER_SECONDS = 1.2

Supervise = Callable[..., subprocess.Popen[bytes]]


def make_posts(count: int) -> None:
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(count)])


def children(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [process for process in psutil.Process(supervisor.pid).children() if process.status() != "zombie"]


def working() -> int:
    """How many workers say that they live."""
    return WorkerStatus.objects.exclude(state=WorkerStatus.State.STOPPED).count()


def assert_nothing_is_held() -> None:
    """All tasks are done or wait, as if nobody had ever claimed them."""
    assert set(counts()) <= {"pending", "completed"}
    assert not EmbeddingTask.objects.filter(status=Status.PENDING).exclude(attempts=0, crashes=0).exists()


@pytest.fixture
def supervise(workers: Workers) -> Supervise:
    """Start a supervisor, and return once its fewest workers wait for work."""

    def start(*arguments: str, fewest: int = 1, most: int = 4, **options: Any) -> subprocess.Popen[bytes]:
        bounds = ["--min", str(fewest), "--max", str(most)]
        supervisor = workers.run("embedding_workers", *bounds, *arguments, **{**SLOW, **options})
        wait_until(lambda: working() >= fewest and len(children(supervisor)) >= fewest, seconds=60)
        return supervisor

    return start


def test_embedding_workers__are_more_under_a_backlog_and_fewer_when_idle(supervise, workers):
    supervisor = supervise("--target-seconds", "2", "--idle-seconds", "0.5")

    make_posts(120)

    wait_until(lambda: len(children(supervisor)) == 4)
    wait_until(lambda: counts() == {"completed": 120}, seconds=60)
    wait_until(lambda: len(children(supervisor)) == 1)
    assert re.search(r"1 -> 2 workers: .* tasks wait, which one worker at .* ends in about", workers.output())
    assert "4 -> 3 workers: nothing waits" in workers.output()
    stopped = WorkerStatus.objects.filter(state=WorkerStatus.State.STOPPED)
    assert stopped.count() == 3
