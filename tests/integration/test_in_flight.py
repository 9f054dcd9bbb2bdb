"""A drain learns how many requests its provider takes at once, and what refusals taught is remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from embeddings import limiter, pipeline
from embeddings.exceptions import RateLimited
from embeddings.models import EmbeddingTask, ProviderState
from embeddings.providers.base import Embedded
from embeddings.providers.dummy import DummyProvider
from tests.integration.pages import make_doc
from tests.testapp.models import DIMENSIONS, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

LATENCY_SECONDS = 0.15


class Counting(DummyProvider):
    """Knows how many requests it had at once at most, and how many it refused."""

    at_once = most = refused = 0
    # More at once are refused.
    takes = 1_000
    lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Embedded:
        cls = type(self)
        with cls.lock:
            cls.at_once += 1
            cls.most = max(cls.most, cls.at_once)
            is_too_many = cls.at_once > cls.takes
            cls.refused += is_too_many
        try:
            self.work()
            if is_too_many:
                raise RateLimited("Too many at once.", retry_after=0.05)
            return super().embed(texts)
        finally:
            with cls.lock:
                cls.at_once -= 1

    def work(self) -> None:
        time.sleep(LATENCY_SECONDS)


class OneAfterTheOther(Counting):
    """Works on one request at a time, whatever it is sent."""

    turn = threading.Lock()

    def work(self) -> None:
        with self.turn:
            time.sleep(LATENCY_SECONDS)


class Refusing(Counting):
    """Takes three at once."""

    takes = 3


@pytest.fixture
def use(settings):
    def _use(provider: type[Counting]) -> None:
        provider.at_once = provider.most = provider.refused = 0
        backend = f"{provider.__module__}.{provider.__name__}"
        settings.EMBEDDING_PROVIDERS = {
            "default": {"BACKEND": backend, "MODEL": "dummy", "DIMENSIONS": DIMENSIONS},
        }
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 2, "CONCURRENCY": 8}

    return _use


def make_posts(count: int) -> None:
    Post.objects.bulk_create(Post(title=f"text {number}") for number in range(count))


def test_drain__sends_as_many_as_the_setting_says_to_who_takes_them(use, drain):
    use(Counting)
    make_posts(80)

    drain()

    assert Counting.most >= 6  # A slow machine has answers before it has claimed for eight.
    assert set(EmbeddingTask.objects.values_list("status", flat=True)) == {"completed"}


def test_drain__sends_few_to_who_works_on_one_after_the_other(use, drain):
    use(OneAfterTheOther)
    make_posts(80)

    drain()

    assert 1 < OneAfterTheOther.most < 7
    assert set(EmbeddingTask.objects.values_list("status", flat=True)) == {"completed"}


def test_drain__remembers_what_a_refusal_taught_another(use, drain):
    use(Refusing)
    make_posts(60)
    deadline = time.monotonic() + 20

    drain()
    remembered = limiter.remembered_in_flight("default")
    Refusing.refused = 0
    while EmbeddingTask.objects.exclude(status="completed").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
        drain()

    assert remembered in {1, 2, 3}
    assert not EmbeddingTask.objects.exclude(status="completed").exists()
    assert EmbeddingTask.objects.filter(attempts=1).count() == 60
    assert Refusing.refused < 10


def test_remembered_in_flight__is_forgotten_after_a_while():
    ProviderState.objects.create(alias="default")
    limiter.remember_in_flight("default", 2)
    fresh = limiter.remembered_in_flight("default")
    ProviderState.objects.update(in_flight_at="2026-01-01T00:00:00Z")

    assert (fresh, limiter.remembered_in_flight("default")) == (2, None)


def test_run_tasks__embeds_the_chunks_that_are_made_while_their_provider_is_busy(use):
    use(Counting)
    make_posts(6)
    make_doc(3)

    pipeline.Drain("test", seconds=10).run_tasks(EmbeddingTask.objects.values_list("pk", flat=True), "default")

    assert set(EmbeddingTask.objects.values_list("status", flat=True)) == {"completed"}
