"""Real processes and small questions for the tests of the whole path."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from rest_framework.test import APIClient

from embeddings import pipeline, stats
from embeddings.models import EmbeddingTask, WorkerStatus
from embeddings.providers.dummy import DummyProvider
from tests.integration import sessions
from tests.integration.api_clients import client_of
from tests.openai_server import OpenAIServer
from tests.openai_server.server import API_KEY
from tests.testapp.models import DIMENSIONS

ROOT = Path(__file__).resolve().parents[2]
# OpenAI's, at the test server.
MODEL = "text-embedding-3-small"
TIMEOUT_SECONDS = 2

Draining = Callable[[], pipeline.Outcome]
TaskOf = Callable[..., EmbeddingTask]


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """The condition's first true value; fails the test if it stays false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{condition} was not true within {seconds} s.")


class Workers:
    """`manage.py rqworker embeddings` processes of one test, on its database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        *arguments: str,
        embeddings: Mapping[str, Any] | None = None,
        providers: Mapping[str, Any] | None = None,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """One more worker. `arguments` may name other queues beside "embeddings"; the mappings are settings."""
        return self.start_on("embeddings", *arguments, embeddings=embeddings, providers=providers, **environment)

    def start_on(
        self,
        *arguments: str,
        embeddings: Mapping[str, Any] | None = None,
        providers: Mapping[str, Any] | None = None,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """One more worker, on these queues."""
        return self.run("rqworker", *arguments, embeddings=embeddings, providers=providers, **environment)

    def run(
        self,
        *arguments: str,
        embeddings: Mapping[str, Any] | None = None,
        providers: Mapping[str, Any] | None = None,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """One more process: a command of manage.py."""
        with (self._folder / f"worker-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment(embeddings=embeddings, providers=providers), **environment},
            )
        self._processes.append(process)
        return process

    def started(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """One more worker, once it waits for work."""
        process = self.start(*arguments, **options)
        self.wait_for(process)
        return process

    def wait_for(self, *processes: subprocess.Popen[bytes]) -> None:
        """Return once these workers wait for work."""
        pids = [process.pid for process in processes]
        wait_until(lambda: WorkerStatus.objects.filter(pid__in=pids).count() == len(pids), seconds=60)

    def burst(self, **options: Any) -> None:
        """Run one worker until nothing is due."""
        process = self.start("--burst", **options)
        assert process.wait(timeout=30) == 0, self.output()

    def output(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("worker-*.log")))

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

    @staticmethod
    def environment(
        *, embeddings: Mapping[str, Any] | None = None, providers: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Of a process on the test's databases; the mappings are settings."""
        return {
            **os.environ,
            "TEST_EMBEDDINGS": json.dumps(embeddings or {}),
            "TEST_PROVIDERS": json.dumps(providers),
            "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
            "TEST_DATABASE_NAMES": ",".join(
                f"{alias}={connections[alias].settings_dict['NAME']}" for alias in connections
            ),
        }


def counts() -> dict[str, int]:
    """{status: tasks}, without those that no task has."""
    return {status: count for status, count in stats.counts_by_status().items() if count}


def child_of(process: subprocess.Popen[bytes]) -> int | None:
    """The process id of the child in which a worker runs its job just now."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def dummy(**options: Any) -> dict[str, Any]:
    """EMBEDDING_PROVIDERS with the dummy provider under these OPTIONS."""
    backend = "embeddings.providers.dummy.DummyProvider"
    return {"default": {"BACKEND": backend, "MODEL": "dummy", "DIMENSIONS": DIMENSIONS, "OPTIONS": options}}


def openai(server: OpenAIServer) -> dict[str, Any]:
    """EMBEDDING_PROVIDERS with OpenAI's, at `server`."""
    options = {
        "BASE_URL": server.base_url,
        "API_KEY": API_KEY,
        "TIMEOUT_SECONDS": TIMEOUT_SECONDS,
        "ENCODING": "base64",
    }
    backend = "embeddings.providers.openai.OpenAIProvider"
    prices = {"PRICE_PER_MILLION_TOKENS": 0.02}
    return {"default": {"BACKEND": backend, "MODEL": MODEL, "DIMENSIONS": DIMENSIONS, "OPTIONS": {**options, **prices}}}


@pytest.fixture
def workers(tmp_path: Path, transactional_db: None, redis_client: Any) -> Iterator[Workers]:
    running = Workers(tmp_path)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _count_from_zero() -> None:
    DummyProvider.reset()


@pytest.fixture
def broken_ledger() -> Iterator[None]:
    """No row can be written to the ledger."""
    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_embeddingtask ADD CONSTRAINT broken CHECK (false) NOT VALID")
        yield
        other.execute("ALTER TABLE embeddings_embeddingtask DROP CONSTRAINT broken")


@pytest.fixture
def drain() -> Draining:
    """Work the ledger in the test's own process, as a worker's job does."""
    return lambda: pipeline.Drain("test", seconds=30).run()


@pytest.fixture
def task_of() -> TaskOf:
    """The ledger's row of an object."""

    def find(obj: Any, field: str = "embedding") -> EmbeddingTask:
        return EmbeddingTask.objects.using(obj._state.db).get(object_id=str(obj.pk), field=field)

    return find


@pytest.fixture
def user() -> User:
    return User.objects.create_user("reader")


@pytest.fixture
def api(user: User) -> Callable[..., APIClient]:
    """A client of a user who has exactly these permissions."""
    return lambda *codenames: client_of(user, *codenames)
