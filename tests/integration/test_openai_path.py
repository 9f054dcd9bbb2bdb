"""From a save to a vector through a real worker and HTTP: what OpenAI's answers, good and bad, do to tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from django.db.models import Sum

from embeddings.models import EmbeddingTask, ProviderCall, ProviderState, Status
from tests.integration.conftest import MODEL, Workers, counts, openai, wait_until
from tests.openai_server import OpenAIServer, expected_vector, handler
from tests.openai_server.protocol import EmbeddingsRequest, Limits, Refused, parse
from tests.openai_server.server import API_KEY
from tests.testapp.models import DIMENSIONS, Post

pytestmark = pytest.mark.django_db(transaction=True)

# The most waits between a failure and its end are for one of these and the worker's sweep.
EMBEDDINGS = {"BACKOFF_BASE_SECONDS": 0.2, "CIRCUIT_OPEN_SECONDS": 1, "BATCH_SIZE": 2500}


@pytest.fixture(scope="module")
def _module_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def _worker(_module_server, django_db_setup, tmp_path_factory) -> Iterator[None]:
    """One worker for all tests: it must come out of each of them well."""
    workers = Workers(tmp_path_factory.mktemp("worker"))
    workers.start(embeddings=EMBEDDINGS, providers=openai(_module_server))
    yield
    workers.stop()


@pytest.fixture
def server(_module_server, _worker, settings, transactional_db) -> Iterator[OpenAIServer]:
    """The server that the worker uses, with no faults, and nothing counted."""
    settings.EMBEDDING_PROVIDERS = openai(_module_server)
    _module_server.stats.reset()
    _module_server.quotas.violations.clear()
    yield _module_server
    _module_server.faults.clear()
    _module_server.latency_seconds = 0
    _module_server.api_key = API_KEY
    _module_server.limits = Limits()


@pytest.fixture
def _bad_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers 400 to a request with "[[bad]]" in one of its texts, and does not say in which."""

    def strict_parse(content: bytes, limits: Limits) -> EmbeddingsRequest:
        request = parse(content, limits)
        if any("[[bad]]" in str(item) for item in request.inputs):
            raise Refused(400, "'$.input' is invalid. Please check the API reference.")
        return request

    monkeypatch.setattr(handler, "parse", strict_parse)


def make_posts(count: int, marked: dict[int, str] | None = None, *, length: int = 0) -> list[Post]:
    """Posts with distinct texts of at least `length` letters; `marked` has those of some positions."""
    titles = [(marked or {}).get(n, f"text {n}") for n in range(count)]
    return Post.objects.bulk_create([Post(title=title, body="x" * length) for title in titles])


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def blocked_reason() -> str:
    return ProviderState.objects.values_list("blocked_reason", flat=True).first() or ""


def assert_right(posts: list[Post]) -> None:
    """Each row holds the vector of its own text."""
    for post in Post.objects.filter(pk__in=[post.pk for post in posts]):
        text = "\n\n".join(part for part in (post.title, post.body) if part)
        assert np.allclose(post.embedding, expected_vector(text, MODEL, DIMENSIONS), atol=1e-6), post.title


def assert_calls_add_up(server: OpenAIServer) -> None:
    """One row a request; what was embedded is what the server bills."""
    good = ProviderCall.objects.filter(outcome="ok").aggregate(inputs=Sum("inputs"), tokens=Sum("tokens"))
    assert ProviderCall.objects.count() == server.stats.requests
    assert ProviderCall.objects.filter(outcome="ok").count() == server.stats.statuses[200]
    assert (good["inputs"], good["tokens"]) == (server.stats.inputs, server.stats.tokens)
    cost = ProviderCall.objects.aggregate(cost=Sum("cost"))["cost"]
    assert float(cost) == pytest.approx(server.stats.tokens * 0.02 / 1e6)
    completed = EmbeddingTask.objects.filter(status=Status.COMPLETED)
    shared_out = completed.aggregate(tokens=Sum("tokens"))["tokens"]
    assert shared_out == pytest.approx(server.stats.tokens, abs=completed.count())


# Requests.


def test_worker__sends_requests_within_openai_s_limits(server):
    """3,000 texts are over the limit of inputs, and the long ones over the limit of tokens."""
    posts = make_posts(3000)
    long_posts = make_posts(60, {n: f"long {n}" for n in range(60)}, length=30_000)

    wait_until(is_done, seconds=60)

    assert set(server.stats.statuses) == {200}
    assert 1000 < max(server.stats.sizes) <= 2048
    assert server.stats.paid_more_than_once() == {}
    assert_right([*posts[::100], *long_posts])
    assert_calls_add_up(server)


def test_worker__pays_for_equal_texts_once(server):
    make_posts(100, dict.fromkeys(range(100), "the same"))

    wait_until(is_done)

    assert server.stats.inputs_of("the same") == 1
    assert not Post.objects.filter(embedding=None).exists()
    assert_calls_add_up(server)


def test_worker__cuts_texts_that_are_too_long_and_says_so(server):
    """By our estimate before they are sent, and again where the server finds them too long."""
    server.limits = Limits(input_tokens=1000)
    fits, too_long_there, too_long_here = make_posts(3, length=1000)
    Post.objects.filter(pk=too_long_there.pk).update(body="y" * 10_000)
    Post.objects.filter(pk=too_long_here.pk).update(body="z" * 40_000)

    wait_until(is_done)

    truncated = EmbeddingTask.objects.filter(truncated=True).values_list("object_id", flat=True)
    assert set(truncated) == {str(too_long_there.pk), str(too_long_here.pk)}
    # None, if the worker had claimed it before the text was changed, and read it after.
    assert not EmbeddingTask.objects.filter(attempts__gt=1).exists()
    assert_right([fits])


# 429: the provider cools down.


def test_worker__waits_as_long_as_a_429_says(server):
    server.latency_seconds = 0.2
    server.faults.add("respond", status=429, headers={"retry-after": "3"}, count=1)
    posts = make_posts(150, length=10_000)  # Several requests, at once in flight.

    wait_until(lambda: counts().get("rate_limited"))
    assert not EmbeddingTask.objects.filter(status=Status.RATE_LIMITED).exclude(attempts=0).exists()
    assert blocked_reason() == "rate_limit"
    wait_until(is_done)

    assert server.quotas.violations == []
    assert server.stats.statuses[429] == 1
    assert not EmbeddingTask.objects.exclude(attempts=1).exists()
    assert_right(posts)
    assert_calls_add_up(server)


# 400: the guilty alone fail.


@pytest.mark.parametrize("guilty", [{0}, {37}, {5, 6}, {5, 60}])
def test_worker__finds_the_texts_that_a_400_is_about(server, _bad_texts_are_refused, guilty):
    posts = make_posts(64, {position: f"[[bad]] {position}" for position in guilty})

    wait_until(lambda: counts() == {"completed": 64 - len(guilty), "failed": len(guilty)})

    failed = EmbeddingTask.objects.filter(status=Status.FAILED)
    assert set(failed.values_list("object_id", "error_kind", "attempts")) == {
        (str(posts[position].pk), "input", 1) for position in guilty
    }
    assert server.stats.requests <= 1 + len(guilty) * 2 * math.log2(64)
    assert_right([post for position, post in enumerate(posts) if position not in guilty])
    assert_calls_add_up(server)


# 401: the provider is paused.


def test_worker__charges_nothing_while_the_key_is_wrong_and_goes_on_when_it_is_right(server):
    server.api_key = "another"
    posts = make_posts(50)

    wait_until(lambda: blocked_reason() == "configuration")
    wait_until(lambda: server.stats.requests >= 2)  # A probe, too, was refused.
    wait_until(lambda: counts() == {"pending": 50})
    assert not EmbeddingTask.objects.exclude(attempts=0).exists()
    assert list(ProviderCall.objects.order_by("pk").values_list("inputs", flat=True)[:2]) == [50, 1]

    server.api_key = API_KEY
    wait_until(is_done)
    assert blocked_reason() == ""
    assert_right(posts)


# 500: attempts, then the circuit.


def test_worker__charges_nothing_while_the_circuit_is_open_and_goes_on_when_it_closes(server):
    server.faults.add("respond", status=500)
    posts = make_posts(64)

    wait_until(lambda: blocked_reason() == "circuit")
    wait_until(lambda: not counts().get("processing"))
    charged = attempts_by_task()
    requests = server.stats.requests
    wait_until(lambda: server.stats.requests > requests)  # A probe.
    wait_until(lambda: counts() == {"pending": 64})
    assert attempts_by_task() == charged
    assert server.stats.requests <= 12

    server.faults.clear()
    wait_until(is_done)
    assert blocked_reason() == ""
    assert_right(posts)


def attempts_by_task() -> dict[int, int]:
    return dict(EmbeddingTask.objects.values_list("pk", "attempts"))
