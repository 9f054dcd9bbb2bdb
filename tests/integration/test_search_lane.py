"""Searches while the provider is slow, away or limited: an answer in any case, by keyword where there is no vector."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from embeddings import limiter
from embeddings.exceptions import RateLimited, TransientError
from embeddings.models import ProviderState
from embeddings.providers.dummy import DummyProvider
from embeddings.search import lane, vectors
from tests.integration.conftest import dummy, openai
from tests.openai_server import OpenAIServer
from tests.testapp.models import Essay

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

FAST_SECONDS = 0.3


@pytest.fixture
def hammer() -> Essay:
    return Essay.objects.create(title="a claw hammer")


def searched(query: str = "hammer") -> tuple[list[Essay], bool, float]:
    """(found, degraded, seconds)."""
    started = time.monotonic()
    found = Essay.objects.search(query)
    objects = list(found)
    return objects, found.degraded, time.monotonic() - started


def is_fast_by_keyword(hammer: Essay) -> bool:
    found, degraded, seconds = searched()
    assert found == [hammer]
    assert [essay.found_by for essay in found] == ["keyword"]
    assert degraded
    assert seconds < FAST_SECONDS
    return True


@pytest.fixture
def warm(hammer) -> None:
    """Modules are imported, connections open."""
    list(Essay.objects.search("hammer", mode="keyword"))
    lane.ask("default", "warm")


@pytest.mark.parametrize("close", [limiter.misconfigured, None])
def test_search__with_the_circuit_open_asks_nobody(hammer, warm, settings, close: Callable[..., Any] | None):
    settings.EMBEDDINGS = {"CIRCUIT_FAILURES": 1}
    (close or limiter.transient_failure)("default", "It is down.")
    DummyProvider.reset()

    assert is_fast_by_keyword(hammer)

    assert DummyProvider.calls == 0


@pytest.mark.parametrize("block", [limiter.transient_failure, limiter.misconfigured])
def test_search__asks_again_once_a_block_is_over_though_no_worker_has_probed(hammer, settings, block):
    settings.EMBEDDINGS = {"CIRCUIT_FAILURES": 1}
    block("default", "It is down.")
    ProviderState.objects.update(blocked_until=Now())

    _, degraded, _ = searched()

    assert not degraded


def test_search__with_the_connection_refused(hammer, settings):
    settings.EMBEDDING_PROVIDERS = openai_at("http://127.0.0.1:9/v1")
    get_the_sdk_imported()

    assert is_fast_by_keyword(hammer)
    assert is_fast_by_keyword(hammer)


def test_search__with_a_provider_that_fails(hammer, settings):
    with OpenAIServer() as server:
        settings.EMBEDDING_PROVIDERS = openai(server)
        get_the_sdk_imported()
        server.faults.add("respond", status=500)

        assert is_fast_by_keyword(hammer)
        assert is_fast_by_keyword(hammer)

        assert server.stats.requests == 1


def test_search__with_a_provider_that_hangs(hammer, warm, settings):
    settings.EMBEDDINGS = {"SEARCH_TIMEOUT_SECONDS": 0.5}
    settings.EMBEDDING_PROVIDERS = dummy(LATENCY_SECONDS=5)

    found, degraded, seconds = searched()

    assert (found, degraded) == ([hammer], True)
    assert 0.5 <= seconds < 0.5 + FAST_SECONDS
    assert is_fast_by_keyword(hammer)


def test_search__is_not_stopped_by_a_cooldown_of_the_workers(hammer, warm):
    limiter.rate_limited("default", 60.0, "Slow down.")
    limiter.wait_for_quota("default", 60.0, "The quota is used up.")

    _, degraded, _ = searched()

    assert not degraded
    assert limiter.open_lanes(["default"]) == []  # and the cooldown stays


@pytest.mark.parametrize("marker", ["[[rate-limit]]", "[[transient]]", "[[misconfigured]]", "[[nan]]"])
def test_search__leaves_no_trace_for_workers(hammer, marker):
    _, degraded, _ = searched(f"hammer {marker}")

    assert degraded
    assert not ProviderState.objects.exists()


def test_ask__rests_after_a_failure_and_then_asks_again(monkeypatch):
    monkeypatch.setattr(lane, "REST_SECONDS", 0.2)
    with pytest.raises(TransientError):
        lane.ask("default", "[[transient]]")

    with pytest.raises(lane.LeftAlone):
        lane.ask("default", "hammer")
    time.sleep(0.25)

    assert len(lane.ask("default", "hammer")) == 256


def test_ask__rests_as_long_as_the_provider_asks(monkeypatch):
    monkeypatch.setattr(lane, "REST_SECONDS", 0.0)
    with pytest.raises(RateLimited):  # for 0.2 s, says the dummy
        lane.ask("default", "[[rate-limit]]")

    with pytest.raises(lane.LeftAlone):
        lane.ask("default", "hammer")
    time.sleep(0.25)

    assert len(lane.ask("default", "hammer")) == 256


def test_ask__after_a_rest_one_asks_and_the_others_do_without(monkeypatch, settings):
    settings.EMBEDDINGS = {"SEARCH_TIMEOUT_SECONDS": 0.3}
    settings.EMBEDDING_PROVIDERS = dummy(LATENCY_SECONDS=2)
    monkeypatch.setattr(lane, "REST_SECONDS", 0.1)
    with pytest.raises(TransientError):
        lane.ask("default", "hammer")
    time.sleep(0.15)
    DummyProvider.reset()

    together(10, lambda: vectors.vector_of("hammer", "default"))

    assert DummyProvider.calls == 1


def test_ask__leaves_a_provider_alone_in_which_threads_hang(monkeypatch, settings):
    settings.EMBEDDINGS = {"SEARCH_TIMEOUT_SECONDS": 0.05}
    settings.EMBEDDING_PROVIDERS = dummy(LATENCY_SECONDS=1.5)
    monkeypatch.setattr(lane, "REST_SECONDS", 0.0)
    monkeypatch.setattr(lane, "MAX_HANGING", 2)
    for _ in range(2):
        with pytest.raises(TransientError):
            lane.ask("default", "hammer")

    with pytest.raises(lane.LeftAlone):
        lane.ask("default", "hammer")
    time.sleep(1.6)  # they have ended
    with pytest.raises(TransientError):
        lane.ask("default", "hammer")


def test_ask__a_refused_text_is_not_the_providers_fault(hammer):
    assert vectors.vector_of("[[reject]]", "default") is None

    assert vectors.vector_of("hammer", "default") is not None


def test_vector_of__asks_once_for_a_query_and_again_for_another_model(settings):
    DummyProvider.reset()
    for _ in range(3):
        vectors.vector_of("hammer", "default")
    once = DummyProvider.calls
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "MODEL": "another"}}

    vectors.vector_of("hammer", "default")

    assert (once, DummyProvider.calls) == (1, 2)


def test_vector_of__cuts_what_is_too_long_for_the_provider():
    assert vectors.vector_of("hammer " * 100_000, "default") is not None


def test_vector_of__from_several_threads():
    made: list[Any] = []
    provider = lane.get_search_provider("default")

    together(20, lambda: made.append(lane._within(5.0, provider, "hammer")))

    assert len(made) == 20


def together(number: int, act: Callable[[], Any]) -> None:
    """Act on so many threads at once."""

    def run() -> None:
        act()
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def openai_at(url: str) -> dict[str, Any]:
    backend = "embeddings.providers.openai.OpenAIProvider"
    return {"default": {"BACKEND": backend, "MODEL": "m", "DIMENSIONS": 256, "OPTIONS": {"BASE_URL": url}}}


def get_the_sdk_imported() -> None:
    """Half a second, once in a process."""
    lane.get_search_provider("default").prepare()
