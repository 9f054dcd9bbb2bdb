"""One suite for all providers: `candidate` runs each test on each of them."""

from __future__ import annotations

import json
import math
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embeddings.batching import estimate_tokens, truncate
from embeddings.exceptions import ConfigurationError, InputRejected
from embeddings.providers import Provider
from tests.conformance.providers import CANDIDATES, Candidate
from tests.openai_server import OpenAIServer

TEXTS = [
    "How do I reset my password?",
    "x",
    " ",
    "\n\t",
    "1234567890",
    "Grüße aus Zürich, señor, ça va?",
    "東京都の天気は晴れです。",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🇨🇭 e\u0301",
    "\x00\x01\x7f \u200b \ufeff",
    "</s><s><unk>[PAD]",
    "The quick brown fox. " * 100,
]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(scope="module", params=CANDIDATES, ids=lambda candidate: candidate.name)
def candidate(request: pytest.FixtureRequest) -> Candidate:
    chosen: Candidate = request.param
    return chosen


@pytest.fixture(scope="module")
def provider(candidate: Candidate, server: OpenAIServer) -> Provider:
    return candidate.make(server)


def rows(provider: Provider, texts: list[str]) -> list[list[float]]:
    return [[float(number) for number in vector] for vector in provider.embed(texts).vectors]


def furthest(left: list[float], right: list[float]) -> float:
    """The largest difference between two vectors' numbers."""
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


def test_embed__n_texts_give_n_vectors_of_finite_numbers(provider: Provider) -> None:
    embedded = provider.embed(TEXTS)

    assert len(embedded.vectors) == len(TEXTS)
    for vector in embedded.vectors:
        assert len(vector) == provider.dimensions
        assert all(math.isfinite(number) for number in vector)
        assert math.hypot(*vector) > 0


def test_embed__vectors_are_what_pgvector_takes(provider: Provider) -> None:
    from pgvector import Vector

    vector = provider.embed(["a text"]).vectors[0]

    assert Vector(vector).dimensions() == provider.dimensions
    assert furthest(Vector(vector).to_list(), list(vector)) < 1e-6


def test_embed__keeps_the_order_and_ignores_the_neighbours(provider: Provider) -> None:
    alone = [rows(provider, [text])[0] for text in TEXTS]

    together = rows(provider, TEXTS)
    backwards = rows(provider, TEXTS[::-1])[::-1]

    assert max(map(furthest, alone, together)) < 1e-6
    assert max(map(furthest, alone, backwards)) < 1e-6


def test_embed__is_deterministic_across_instances(
    provider: Provider, candidate: Candidate, server: OpenAIServer
) -> None:
    first = rows(provider, TEXTS)

    second = rows(candidate.make(server), TEXTS)

    assert first == second


def test_embed__different_texts_differ(provider: Provider) -> None:
    cat, dog = rows(provider, ["a cat", "a dog"])

    assert furthest(cat, dog) > 1e-3


def test_embed__equal_texts_are_equal(provider: Provider) -> None:
    first, _, second = rows(provider, ["twice", "another", "twice"])

    assert furthest(first, second) < 1e-6


def test_embed__takes_as_many_inputs_as_it_says(provider: Provider) -> None:
    texts = [f"text {number}" for number in range(provider.max_inputs)]

    vectors = provider.embed(texts).vectors

    assert len(vectors) == provider.max_inputs
    assert furthest(list(vectors[-1]), rows(provider, texts[-1:])[0]) < 1e-6


@pytest.mark.parametrize("unit", ["long words ", "a", "語", "😀"])
def test_embed__takes_a_text_as_long_as_it_says(provider: Provider, unit: str) -> None:
    text = truncate(unit * (4 * provider.max_input_tokens), provider.max_input_tokens)
    assert estimate_tokens(text) == provider.max_input_tokens

    vectors = rows(provider, [text, "a short neighbour"])

    assert math.isfinite(sum(vectors[0]))


def test_embed__takes_a_request_of_as_many_tokens_as_it_says(provider: Provider) -> None:
    longest = "word " * (provider.max_input_tokens * 4 // 5)
    texts = [longest] * min(provider.max_inputs, provider.max_request_tokens // estimate_tokens(longest))

    vectors = provider.embed(texts).vectors

    assert len(vectors) == len(texts)


def test_embed__no_texts_give_no_vectors_without_a_request(provider: Provider, server: OpenAIServer) -> None:
    before = server.stats.requests

    embedded = provider.embed([])

    assert list(embedded.vectors) == []
    assert server.stats.requests == before


def test_embed__tokens_are_counted_or_unknown(provider: Provider) -> None:
    few, many = provider.embed(["one two three"]).tokens, provider.embed(["one two three"] * 5).tokens

    assert (few is None and many is None) or (few is not None and many is not None and 0 < few < many)


@pytest.mark.parametrize("unusable", ["", "half an emoji: \ud83d", None, 5, b"bytes"])
def test_embed__refuses_what_is_not_text(provider: Provider, unusable: Any) -> None:
    with pytest.raises(InputRejected) as caught:
        provider.embed(["good", unusable])

    assert "half an emoji" not in str(caught.value)


def test_embed__works_in_several_threads_at_once(candidate: Candidate, server: OpenAIServer) -> None:
    fresh = candidate.make(server)
    batches = [[f"batch {batch} text {number}" for number in range(20)] for batch in range(24)]
    expected = [rows(fresh, batch) for batch in batches]
    fresh = candidate.make(server)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda batch: rows(fresh, batch), batches))

    assert found == expected


def test_embed__works_after_a_fork(provider: Provider) -> None:
    expected = rows(provider, TEXTS)

    found = in_child(lambda: rows(provider, TEXTS))

    assert found == expected
    assert rows(provider, TEXTS) == expected


def test_prepare__can_be_called_again_and_leaves_embed_usable(candidate: Candidate, server: OpenAIServer) -> None:
    fresh = candidate.make(server)

    fresh.prepare()
    fresh.prepare()

    assert len(rows(fresh, ["a text"])) == 1
    assert len(in_child(lambda: rows(fresh, ["a text"]))) == 1


def test_cost__grows_with_tokens_or_is_unknown(provider: Provider) -> None:
    cost = provider.cost(1_000_000)

    assert cost is None or cost >= 0
    assert provider.cost(0) in (None, 0)


def test_init__refuses_unknown_options(candidate: Candidate, server: OpenAIServer) -> None:
    odd = Candidate(candidate.name, candidate.backend, candidate.model_id, candidate.dimensions, {"TYPO": 1})

    with pytest.raises(ConfigurationError, match="TYPO"):
        odd.make(server)


def in_child(work: Callable[[], Any], seconds: int = 20) -> Any:
    """What `work` returns (as JSON) in a forked child, which is killed after `seconds`."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; a worker may have some
        child = os.fork()
    if not child:
        try:
            signal.alarm(seconds)
            with os.fdopen(writer, "w") as result:
                json.dump(work(), result)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as result:
        answer = result.read()
    os.waitpid(child, 0)
    assert answer, f"the child gave no answer within {seconds} seconds"
    return json.loads(answer)
