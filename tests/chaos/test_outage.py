"""A provider that is away for minutes costs no task and no attempt; time is scaled down with the circuit's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from embeddings.models import EmbeddingTask, ProviderState, Status
from tests.integration.conftest import Workers, openai, wait_until
from tests.openai_server import OpenAIServer
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True)

# Ten minutes are twenty times the 30 s after which an open circuit is probed by default. The worker looks every second.
PROBE_SECONDS = 0.6
OUTAGE_SECONDS = 20 * PROBE_SECONDS
SWEEP_SECONDS = 1.0
POSTS = 1_000


@pytest.fixture
def workers(tmp_path: Path, transactional_db: None, redis_client: object) -> Iterator[Workers]:
    running = Workers(tmp_path)
    yield running
    running.stop()


def completed() -> int:
    return EmbeddingTask.objects.filter(status=Status.COMPLETED).count()


def test_outage__costs_no_task_and_no_attempt_and_ends_with_one_probe(workers):
    """12 s of outage, a third each refusing with 500, cutting connections, and not listening at all."""
    settings = {"CIRCUIT_OPEN_SECONDS": PROBE_SECONDS, "BATCH_SIZE": 20, "BACKOFF_BASE_SECONDS": 0.1}
    with ExitStack() as listening:
        server = listening.enter_context(OpenAIServer(latency_seconds=0.1))
        for _ in range(2):
            workers.start(embeddings=settings, providers=openai(server))
        Post.objects.bulk_create([Post(title=f"post {number}") for number in range(POSTS)])
        wait_until(lambda: completed() > 0)

        server.faults.add("respond", status=500)
        time.sleep(OUTAGE_SECONDS / 3)
        server.faults.clear()
        server.faults.add("cut_before")
        time.sleep(OUTAGE_SECONDS / 3)
        asked_in_outage = server.stats.requests - server.stats.statuses[200]
        port = int(server.url.rpartition(":")[2])
    time.sleep(OUTAGE_SECONDS / 3)
    done_before = completed()
    assert 0 < done_before < POSTS
    assert ProviderState.objects.get().blocked_reason == ProviderState.Reason.CIRCUIT

    back_at = time.monotonic()
    with OpenAIServer(port=port, latency_seconds=0.1):
        wait_until(lambda: completed() > done_before)
        resumed_after = time.monotonic() - back_at
        wait_until(lambda: completed() == POSTS)

    assert set(EmbeddingTask.objects.values_list("status", "attempts", "crashes")) == {("completed", 1, 0)}
    # One probe, the sweep that makes it, and the job that follows.
    assert resumed_after < PROBE_SECONDS + 2 * SWEEP_SECONDS + 1
    # A handful that opened the circuit, each with its ping; from then on nothing but probes.
    most_probes = OUTAGE_SECONDS * 2 / 3 / PROBE_SECONDS
    assert asked_in_outage <= most_probes + 40
