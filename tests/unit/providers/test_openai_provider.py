from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from embeddings.exceptions import (
    ConfigurationError,
    InputRejected,
    InputTooLong,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    TransientError,
)
from embeddings.providers.base import Remaining
from embeddings.providers.openai import OpenAIProvider
from tests.openai_server import OpenAIServer, expected_vector
from tests.unit.providers.clients import MODEL_ID, openai_provider

Connect = Callable[..., OpenAIProvider]


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_embed__gives_the_servers_vectors_exactly(connect: Connect, encoding: str) -> None:
    texts = ["first", "second", "third"]

    vectors = connect(dimensions=1536, ENCODING=encoding).embed(texts).vectors

    for text, vector in zip(texts, vectors, strict=True):
        assert np.array_equal(vector, expected_vector(text, MODEL_ID))


def test_embed__is_one_request_with_what_it_was_billed(connect: Connect, server: OpenAIServer) -> None:
    embedded = connect().embed(["four" * 10, "four" * 20])

    assert embedded.tokens == 30
    assert (server.stats.requests, server.stats.inputs) == (1, 2)


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_embed__orders_by_index(connect: Connect, server: OpenAIServer, encoding: str) -> None:
    server.faults.add("reversed")

    first, _ = connect(ENCODING=encoding).embed(["first", "second"]).vectors

    assert np.array_equal(first, expected_vector("first", MODEL_ID, 64))


def test_embed__takes_the_servers_order_without_index(connect: Connect, server: OpenAIServer) -> None:
    server.faults.add("no_index")

    first, _ = connect().embed(["first", "second"]).vectors

    assert np.array_equal(first, expected_vector("first", MODEL_ID, 64))


def test_embed__works_without_numpy(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)

    vector = connect(ENCODING="base64").embed(["text"]).vectors[0]

    assert type(vector) is list
    assert vector == expected_vector("text", MODEL_ID, 64).tolist()


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ({"kind": "wrong_count"}, TransientError, "1 vectors for 2 inputs"),
        ({"kind": "garbage"}, TransientError, "something else than JSON"),
        ({"kind": "cut_before"}, TransientError, "broke off"),
        ({"kind": "cut_body"}, TransientError, "broke off"),
        ({"kind": "slow", "seconds": 1.0}, TransientError, "in time"),
        ({"kind": "wrong_dimensions"}, ProviderMisconfigured, "sent 63 dimensions.* is 64; set it to 63"),
        ({"kind": "respond", "status": 200, "body": {"error": {"code": 429}}}, TransientError, "list of vectors"),
        ({"kind": "respond", "status": 200, "body": {"data": None}}, TransientError, "list of vectors"),
        ({"kind": "respond", "status": 200, "body": {"data": [{"index": 0}, 5]}}, TransientError, "list of vectors"),
        (
            {
                "kind": "respond",
                "status": 200,
                "body": {"data": [{"index": 0, "embedding": [0.0] * 64}, {"index": 0, "embedding": [0.0] * 64}]},
            },
            TransientError,
            "list of vectors",
        ),
        ({"kind": "respond", "status": 200, "body": "[1, 2]"}, TransientError, "list of vectors"),
        ({"kind": "respond", "status": 500}, TransientError, r"failed \(500\): The server had an error"),
        ({"kind": "respond", "status": 502, "body": "<html>Bad gateway"}, TransientError, r"failed \(502\)\.$"),
        ({"kind": "respond", "status": 503}, TransientError, "503"),
        ({"kind": "respond", "status": 408}, TransientError, "408"),
        ({"kind": "respond", "status": 409}, TransientError, "409"),
        ({"kind": "respond", "status": 403}, ProviderMisconfigured, "API_KEY"),
        ({"kind": "respond", "status": 405}, ProviderMisconfigured, "BASE_URL"),
        ({"kind": "respond", "status": 413}, InputTooLong, "too long"),
        ({"kind": "respond", "status": 422}, InputRejected, "422"),
        ({"kind": "respond", "status": 429, "body": "Slow down", "headers": {"retry-after": "7"}}, RateLimited, "slow"),
    ],
)
def test_embed__maps_each_fault_and_asks_only_once(
    connect: Connect, server: OpenAIServer, fault: dict[str, Any], error: type[ProviderError], message: str
) -> None:
    server.faults.add(count=1, **fault)
    provider = connect(TIMEOUT_SECONDS=0.4)

    with pytest.raises(ProviderError, match=message) as caught:
        provider.embed(["first", "second"])

    assert type(caught.value) is error
    assert caught.value.__cause__ is not None or error is ProviderMisconfigured
    assert server.stats.requests == 1
    assert len(provider.embed(["works again"]).vectors) == 1


def test_embed__vectors_that_are_not_numbers_are_passed_on(connect: Connect, server: OpenAIServer) -> None:
    server.faults.add("nan")

    spoiled, good = connect(ENCODING="base64").embed(["first", "second"]).vectors

    assert np.isnan(spoiled).all()
    assert np.isfinite(good).all()


def test_embed__nobody_listens() -> None:
    provider = openai_provider(BASE_URL="http://127.0.0.1:9/v1")

    with pytest.raises(TransientError, match=r"could not be reached.*refused"):
        provider.embed(["text"])


def test_embed__limits_of_the_server_are_not_the_fault_of_settings(connect: Connect) -> None:
    provider = connect()

    with pytest.raises(InputTooLong, match="8192 tokens"):
        provider.embed(["fine", "word " * 8192])
    with pytest.raises(InputTooLong, match="max 300000 tokens per request"):
        provider.embed(["word " * 6000] * 41)
    with pytest.raises(InputRejected, match="maximum length 2048"):
        provider.embed(["text"] * 2049)


def test_embed__wrong_key_is_neither_retried_nor_shown(connect: Connect) -> None:
    provider = connect(API_KEY="sk-proj-abcdefghijklmnopqrstuvwxyz0123456789WXYZ")

    with pytest.raises(ProviderMisconfigured, match=r"API_KEY in EMBEDDING_PROVIDERS\['default'\]") as caught:
        provider.embed(["text"])

    assert "sk-" not in str(caught.value)
    assert "WXYZ" not in str(caught.value)


def test_embed__no_key_for_openai_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")

    with pytest.raises(ProviderMisconfigured, match="needs API_KEY"):
        openai_provider().embed(["text"])


def test_embed__no_key_for_another_server_sends_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdefghijklmnopqrstuv")
    with OpenAIServer() as strict, OpenAIServer(api_key=None) as open_to_all:
        with pytest.raises(ProviderMisconfigured, match="refused the key"):
            openai_provider(BASE_URL=strict.base_url).embed(["text"])

        assert len(openai_provider(BASE_URL=open_to_all.base_url).embed(["text"]).vectors) == 1


def test_embed__unknown_model(connect: Connect) -> None:
    with pytest.raises(ProviderMisconfigured, match=r"MODEL and BASE_URL.*`no-such-model` does not exist"):
        connect("no-such-model").embed(["text"])


def test_embed__wrong_address(server: OpenAIServer) -> None:
    with pytest.raises(ProviderMisconfigured, match="BASE_URL"):
        openai_provider(BASE_URL=f"{server.url}/v2").embed(["text"])


def test_embed__dimensions_the_server_cannot_give(connect: Connect) -> None:
    with pytest.raises(ProviderMisconfigured, match=r"DIMENSIONS.*specifying dimensions"):
        connect("all-minilm", 64, SEND_DIMENSIONS=True).embed(["text"])
    with pytest.raises(ProviderMisconfigured, match=r"sent 384 dimensions.* is 64; set it to 384"):
        connect("all-minilm", 64).embed(["text"])
    with pytest.raises(ProviderMisconfigured, match="DIMENSIONS"):
        connect(dimensions=2000).embed(["text"])


def test_embed__rate_limit_waits_as_long_as_the_server_says() -> None:
    with OpenAIServer(requests_per_minute=60, burst_seconds=1) as server:
        provider = openai_provider(BASE_URL=server.base_url, API_KEY=server.api_key)
        provider.embed(["text"])

        with pytest.raises(RateLimited, match="Rate limit reached on requests") as caught:
            provider.embed(["text"])

    assert caught.value.retry_after == pytest.approx(1, abs=0.5)


def test_embed__tells_what_is_left_of_both_quotas() -> None:
    with OpenAIServer(requests_per_minute=60, tokens_per_minute=2_000_000) as server:
        provider = openai_provider(BASE_URL=server.base_url, API_KEY=server.api_key)

        embedded = provider.embed(["four" * 5_000, "four" * 5_000])

    assert (embedded.requests_left, embedded.tokens_left) == (
        Remaining(limit=60, left=59, reset_seconds=pytest.approx(1, abs=0.1)),
        Remaining(limit=2_000_000, left=1_990_000, reset_seconds=pytest.approx(0.3, abs=0.05)),
    )


def test_embed__a_server_without_quotas_tells_nothing(connect: Connect) -> None:
    embedded = connect().embed(["text"])

    assert (embedded.requests_left, embedded.tokens_left) == (None, None)


def test_embed__a_request_over_a_whole_minutes_quota_is_split_not_waited_for() -> None:
    with OpenAIServer(tokens_per_minute=100) as server:
        provider = openai_provider(BASE_URL=server.base_url, API_KEY=server.api_key)

        with pytest.raises(InputTooLong, match="Request too large"):
            provider.embed(["word " * 50, "word " * 50])

        assert len(provider.embed(["word " * 50]).vectors) == 1


def test_embed__no_credit_is_not_a_rate_limit(connect: Connect, server: OpenAIServer) -> None:
    error = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
    server.faults.add("respond", status=429, body={"error": error})

    with pytest.raises(ProviderMisconfigured, match="billing"):
        connect().embed(["text"])


def test_client__is_made_once_for_all_threads(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = OpenAIProvider._make_client

    def counted(provider: OpenAIProvider) -> Any:
        made.append(threading.get_ident())
        return make(provider)

    monkeypatch.setattr(OpenAIProvider, "_make_client", counted)
    provider = connect()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: provider.embed([f"text {number}"]), range(16)))

    assert len(made) == 1


def test_client__is_another_one_in_another_process(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = connect()
    parents = provider._client()

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert provider._client() is not parents


def test_client__is_closed_with_its_provider(connect: Connect) -> None:
    provider = connect()
    provider.embed(["text"])
    client = provider._client()

    del provider
    gc.collect()

    assert client.is_closed()


def test_import__is_cheap() -> None:
    code = "import sys, embeddings.providers.openai; print({'openai', 'numpy', 'httpx'} & set(sys.modules))"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout

    assert printed.strip() == "set()"


def test_prepare__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)

    with pytest.raises(ProviderMisconfigured, match=r"pip install 'django-rq-embeddings\[openai\]'"):
        openai_provider(API_KEY="sk-x").prepare()


@pytest.mark.parametrize(
    ("model_id", "options", "dollars"),
    [
        ("text-embedding-3-small", {}, 0.02),
        ("text-embedding-3-large", {}, 0.13),
        ("text-embedding-ada-002", {}, 0.10),
        ("another", {}, None),
        ("another", {"PRICE_PER_MILLION_TOKENS": 5}, 5),
        ("text-embedding-3-small", {"PRICE_PER_MILLION_TOKENS": 0}, 0),
    ],
)
def test_cost__of_a_million_tokens(model_id: str, options: dict[str, Any], dollars: float | None) -> None:
    assert openai_provider(model_id, **options).cost(1_000_000) == dollars


def test_init__limits_are_openais_unless_set() -> None:
    default, small = openai_provider(), openai_provider(MAX_INPUTS=32, MAX_REQUEST_TOKENS=9000, MAX_INPUT_TOKENS=512)

    assert (default.max_inputs, default.max_request_tokens, default.max_input_tokens) == (2048, 300_000, 8192)
    assert (small.max_inputs, small.max_request_tokens, small.max_input_tokens) == (32, 9000, 512)


@pytest.mark.parametrize(
    ("model_id", "options", "expected"),
    [
        ("text-embedding-3-small", {}, ("base64", True)),
        ("text-embedding-ada-002", {}, ("base64", False)),
        ("bge-m3", {"BASE_URL": "http://localhost:8080/v1"}, ("float", False)),
        (
            "bge-m3",
            {"BASE_URL": "http://localhost:8080/v1", "ENCODING": "base64", "SEND_DIMENSIONS": True},
            ("base64", True),
        ),
    ],
)
def test_init__asks_for_what_a_server_can(model_id: str, options: dict[str, Any], expected: tuple[str, bool]) -> None:
    chosen = openai_provider(model_id, **options).typed_options

    assert (chosen.encoding, chosen.send_dimensions) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"API_KEY": "sk-gehe\u0131m"}, "API_KEY"),
        ({"API_KEY": "sk-two\nlines"}, "API_KEY"),
        ({"API_KEY": b"bytes"}, "API_KEY"),
        ({"BASE_URL": "localhost:11434"}, "BASE_URL"),
        ({"BASE_URL": "http://localhost:port/v1"}, "BASE_URL"),
        ({"BASE_URL": 5}, "BASE_URL"),
        ({"ENCODING": "int8"}, "ENCODING"),
        ({"SEND_DIMENSIONS": "yes"}, "SEND_DIMENSIONS"),
        ({"SEND_DIMENSIONS": 1}, "SEND_DIMENSIONS"),
        ({"MAX_INPUTS": 0}, "MAX_INPUTS"),
        ({"MAX_INPUTS": 1.5}, "MAX_INPUTS"),
        ({"MAX_INPUTS": True}, "MAX_INPUTS"),
        ({"TIMEOUT_SECONDS": 0}, "TIMEOUT_SECONDS"),
        ({"TIMEOUT_SECONDS": float("inf")}, "TIMEOUT_SECONDS"),
        ({"PRICE_PER_MILLION_TOKENS": -1}, "PRICE_PER_MILLION_TOKENS"),
    ],
)
def test_init__refuses_an_option_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        openai_provider(**options)

    assert "sk-" not in str(caught.value)


def test_init__takes_a_key_as_a_file_gives_it(connect: Connect, server: OpenAIServer) -> None:
    assert len(connect(API_KEY=f"{server.api_key}\n").embed(["text"]).vectors) == 1
