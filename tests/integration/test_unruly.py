"""Code of others that misbehaves beyond exceptions, and what workers do to each other: all found by review."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from embeddings import limiter, operations, pipeline
from embeddings.exceptions import RateLimited
from embeddings.models import EmbeddingTask, ProviderState
from embeddings.providers.base import Embedded
from embeddings.providers.dummy import DummyProvider
from tests.integration import sessions
from tests.integration.conftest import counts, dummy, wait_until
from tests.testapp.models import Post, Word

pytestmark = pytest.mark.django_db(transaction=True)


class Panic(BaseException):
    """As Rust's panics come to Python, and asyncio's CancelledError."""


class PanickingProvider(DummyProvider):
    def embed(self, texts: Sequence[str]) -> Embedded:
        if any("[[panic]]" in text for text in texts):
            raise Panic
        return super().embed(texts)


class ExitingProvider(DummyProvider):
    def embed(self, texts: Sequence[str]) -> Embedded:
        if any("[[exit]]" in text for text in texts):
            os._exit(3)
        return super().embed(texts)


class HangingProvider(DummyProvider):
    hangs = threading.Event()

    def ping(self) -> Embedded:
        HangingProvider.hangs.wait(4)
        return super().ping()


class ValueErrorProvider(DummyProvider):
    def __init__(self, settings: Any) -> None:
        raise ValueError("KEY must be set")


def backend(cls: type, **options: Any) -> dict[str, Any]:
    return {**dummy(**options)["default"], "BACKEND": f"{__name__}.{cls.__name__}"}


@pytest.fixture(autouse=True)
def _quick(settings) -> None:
    settings.EMBEDDING_PROVIDERS = dummy()
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BACKOFF_BASE_SECONDS": 0}
    DummyProvider.reset()


def test_drain__panic_of_a_provider_fails_only_its_text(drain, settings):
    settings.EMBEDDING_PROVIDERS = {"default": backend(PanickingProvider)}
    Post.objects.bulk_create([Post(title="[[panic]]" if n == 3 else f"text {n}") for n in range(8)])

    drain()

    assert counts() == {"completed": 7, "failed": 1}


@pytest.mark.parametrize("error", [Panic, SystemExit])
def test_drain__source_that_exits_fails_alone(drain, monkeypatch, error):
    def definition(self) -> str:
        if self.word == "w3":
            raise error("no")
        return self.word

    monkeypatch.setattr(Word, "definition", definition)
    for n in range(8):
        Word.objects.create(word=f"w{n}", meaning="m")

    drain()

    assert counts() == {"completed": 7, "failed": 1}


def test_drain__gives_back_when_it_is_interrupted(drain, monkeypatch):
    def definition(self) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Word, "definition", definition)
    Word.objects.create(word="a", meaning="m")

    with pytest.raises(KeyboardInterrupt):
        drain()

    assert counts() == {"pending": 1}


def test_worker__text_at_which_it_exits_is_singled_out(workers):
    workers.started(providers={"default": backend(ExitingProvider)}, embeddings={"MAX_CRASHES": 3, "BATCH_SIZE": 16})
    Post.objects.bulk_create([Post(title="[[exit]]" if n == 3 else f"text {n}") for n in range(8)])

    wait_until(lambda: counts() == {"completed": 7, "failed": 1}, seconds=20)
    task = EmbeddingTask.objects.get(status="failed")
    assert (task.object_id, task.error_kind) == (str(Post.objects.get(title="[[exit]]").pk), "crash")


def test_drain__keeps_its_leases_while_it_reads_slow_sources(drain, settings, monkeypatch):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LEASE_SECONDS": 0.4}
    expired = []

    def definition(self) -> str:
        time.sleep(0.05)
        expired.append(EmbeddingTask.objects.filter(lease_until__lt=Now()).count())
        return self.word

    monkeypatch.setattr(Word, "definition", definition)
    for n in range(24):
        Word.objects.create(word=f"w{n}", meaning="m")

    drain()

    assert counts() == {"completed": 24}
    assert set(expired[:24]) == {0}


def test_drain__does_not_spin_on_tasks_in_another_lane_than_their_providers(settings):
    settings.EMBEDDING_PROVIDERS = {**dummy(), "former": dummy()["default"]}
    limiter.rate_limited("default", 60, "slow down")
    Post.objects.create(title="text")
    EmbeddingTask.objects.update(provider="former")

    outcome = pipeline.Drain("test", seconds=1).run()

    assert outcome.claimed <= 2
    assert EmbeddingTask.objects.get().provider == "default"
    assert counts() == {"pending": 1}


def hanging(settings) -> None:
    HangingProvider.hangs.clear()
    settings.EMBEDDING_PROVIDERS = {**dummy(), "hanging": backend(HangingProvider)}
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CONCURRENCY": 1, "CIRCUIT_OPEN_SECONDS": 0.2}
    limiter.misconfigured("hanging", "a bad key")
    time.sleep(0.25)


def test_drain__ends_in_time_though_a_ping_hangs(settings):
    hanging(settings)
    Post.objects.create(title="text")
    started = time.monotonic()

    pipeline.Drain("test", seconds=1).run()

    elapsed = time.monotonic() - started
    HangingProvider.hangs.set()
    assert counts() == {"completed": 1}
    assert elapsed < 2.5


def test_drain__works_suspects_though_a_ping_hangs(settings):
    hanging(settings)
    Post.objects.bulk_create([Post(title=f"text {n}") for n in range(4)])
    EmbeddingTask.objects.update(crashes=1)

    pipeline.Drain("test", seconds=1).run()

    HangingProvider.hangs.set()
    assert counts() == {"completed": 4}


def test_drain__one_provider_that_cannot_be_made_does_not_stop_the_others(drain, settings):
    settings.EMBEDDING_PROVIDERS = {**dummy(), "broken": backend(ValueErrorProvider)}
    Post.objects.create(title="text")

    drain()

    assert counts() == {"completed": 1}
    assert "KEY must be set" in ProviderState.objects.get(alias="broken").last_error


def test_drain__one_worker_that_cannot_make_a_provider_does_not_put_off_the_probe_of_others(drain, settings):
    limiter.misconfigured("default", "cannot be made")
    until = ProviderState.objects.get().blocked_until
    settings.EMBEDDING_PROVIDERS = dummy(NO_SUCH_OPTION=1)

    drain()

    assert ProviderState.objects.get().blocked_until == until


def test_misconfigured__beside_a_success():
    def succeed() -> None:
        for _ in range(300):
            limiter.succeeded("default")

    join = sessions.in_thread(succeed)
    for _ in range(300):
        limiter.misconfigured("default", "a bad key")
    join()

    limiter.misconfigured("default", "a bad key")
    assert limiter.open_lanes(["default"]) == []


def test_run_tasks__does_not_wait_for_a_locked_ledger_for_ever(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LOCK_TIMEOUT_SECONDS": 0.1}
    Post.objects.create(title="text")
    ids = list(EmbeddingTask.objects.values_list("pk", flat=True))

    with sessions.session() as other, other.transaction():
        other.execute("LOCK TABLE embeddings_embeddingtask IN ACCESS EXCLUSIVE MODE")
        here = pipeline.Drain("here", seconds=1, has_heartbeat=False)
        outcome = sessions.in_thread(lambda: here.run_tasks(ids, "default"))()

    assert outcome.claimed == 0


def test_resume_provider__lets_its_waiting_tasks_go_on(drain, settings, tmp_path):
    down = tmp_path / "down"
    down.touch()
    settings.EMBEDDING_PROVIDERS = dummy(DOWN=str(down))
    down.write_text("[[rate-limit]]")
    Post.objects.create(title="text")
    drain()
    assert counts() == {"rate_limited": 1}
    EmbeddingTask.objects.update(available_at=Now() + timedelta(hours=1))
    down.unlink()

    operations.resume_provider("default")
    drain()

    assert counts() == {"completed": 1}


class BoundlessProvider(DummyProvider):
    def embed(self, texts: Sequence[str]) -> Embedded:
        raise RateLimited("slow down", retry_after=1e15)


def test_drain__provider_that_asks_for_a_million_years(drain, settings):
    settings.EMBEDDING_PROVIDERS = {"default": backend(BoundlessProvider)}
    Post.objects.create(title="text")

    drain()

    assert counts() == {"rate_limited": 1}


class WrongBillProvider(DummyProvider):
    def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(super().embed(texts).vectors, tokens=-1)


def test_drain__vector_is_kept_though_the_bill_is_nonsense(drain, settings):
    settings.EMBEDDING_PROVIDERS = {"default": backend(WrongBillProvider)}
    Post.objects.create(title="text")

    drain()

    assert counts() == {"completed": 1}
