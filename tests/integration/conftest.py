"""Real processes and small questions for the tests of the whole path."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from embeddings import pipeline
from embeddings.models import EmbeddingTask

ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition: Callable[[], Any], *, seconds: float = 15.0) -> Any:
    """The condition's first true value; fails the test if it stays false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{condition} was not true within {seconds} s.")


class Workers:
    """`manage.py rqworker embeddings` processes of one test, on its database."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self._tmp_path / f"worker-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "rqworker", "embeddings", *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment(), **environment},
            )
        self._processes.append(process)
        return process

    def burst(self, **environment: str) -> None:
        """Run one worker until nothing is due."""
        process = self.start("--burst", **environment)
        assert process.wait(timeout=30) == 0, self.output()

    def output(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._tmp_path.glob("worker-*.log")))

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
            "TEST_DATABASE_NAMES": ",".join(
                f"{alias}={connections[alias].settings_dict['NAME']}" for alias in connections
            ),
        }


@pytest.fixture
def workers(tmp_path: Path, transactional_db: None, redis_client: Any) -> Iterator[Workers]:
    running = Workers(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def drain() -> Callable[[], pipeline.Outcome]:
    """Work the ledger in the test's own process, as a worker's job does."""
    return lambda: pipeline.Drain("test", seconds=30).run()


@pytest.fixture
def task_of() -> Callable[..., EmbeddingTask]:
    """The ledger's row of an object."""

    def find(obj: Any, field: str = "embedding") -> EmbeddingTask:
        return EmbeddingTask.objects.using(obj._state.db).get(object_id=str(obj.pk), field=field)

    return find
