"""The test server itself, asked by a plain HTTP client: it must not let a careless client pass."""

from __future__ import annotations

import base64
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.openai_server import OpenAIServer, expected_vector
from tests.openai_server.quotas import Quotas

SMALL = "text-embedding-3-small"


class Answer:
    """Status, headers in lower case, and the body's JSON."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body: Any = json.loads(response.read())

    @property
    def error(self) -> Any:
        return self.body["error"]


def send(url: str, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, {"authorization": f"Bearer {key}"} if key else {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def post(server: OpenAIServer, key: str | None = "the right one", **body: Any) -> Answer:
    body = {"model": SMALL, "input": ["text"], **body}
    return send(server.url, "POST", "/v1/embeddings", body, server.api_key if key == "the right one" else key)


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.stats.reset()
    running.faults.clear()
    return running


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("one text", ["one text"]),
        (["one", "two"], ["one", "two"]),
        ([1, 2, 3], [(1, 2, 3)]),
        ([[1, 2], [3]], [(1, 2), (3,)]),
    ],
)
def test_embeddings__takes_each_form_of_input(server: OpenAIServer, given: Any, inputs: list[Any]) -> None:
    answer = post(server, input=given)

    assert answer.status == 200
    assert answer.body["object"] == "list"
    assert [item["index"] for item in answer.body["data"]] == list(range(len(inputs)))
    for item, text in zip(answer.body["data"], inputs, strict=True):
        assert np.array_equal(np.float32(item["embedding"]), expected_vector(text, SMALL))


def test_embeddings__base64_is_little_endian_single_precision(server: OpenAIServer) -> None:
    answer = post(server, encoding_format="base64", dimensions=5, user="somebody")

    content = base64.b64decode(answer.body["data"][0]["embedding"])
    assert np.array_equal(np.frombuffer(content, "<f4"), expected_vector("text", SMALL, 5))


def test_embeddings__usage_is_a_quarter_of_the_bytes(server: OpenAIServer) -> None:
    answer = post(server, input=["a" * 40, "語" * 4])

    assert answer.body["usage"] == {"prompt_tokens": 13, "total_tokens": 13}


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({"input": ["a"] * 2049}, 400, "array_above_max_length", "maximum length 2048.*length 2049"),
        ({"input": ["a" * 32_600] * 37}, 400, "max_tokens_per_request", "Requested 301550 tokens, max 300000"),
        ({"input": ["a", "a" * 32_780]}, 400, None, r"input\[1\].*maximum input length is 8192 tokens"),
        ({"input": [[7] * 8193]}, 400, None, "8192 tokens"),
        ({"input": ""}, 400, None, "empty string"),
        ({"input": ["a", ""]}, 400, None, "empty string"),
        ({"input": []}, 400, "empty_array", "empty array"),
        ({"input": None}, 400, None, "input"),
        ({"input": ["a", 5]}, 400, None, "input"),
        ({"input": {"a": 1}}, 400, None, "input"),
        ({"model": "gpt-unknown"}, 404, "model_not_found", "`gpt-unknown` does not exist"),
        ({"model": None}, 400, None, "model"),
        ({"model": "text-embedding-ada-002", "dimensions": 64}, 400, None, "does not support specifying dimensions"),
        ({"dimensions": 1537}, 400, None, "1536"),
        ({"dimensions": 0}, 400, None, "dimensions"),
        ({"dimensions": "64"}, 400, None, "dimensions"),
        ({"encoding_format": "hex"}, 400, "invalid_value", "hex"),
        ({"truncate": True}, 400, "unknown_parameter", "truncate"),
    ],
)
def test_embeddings__enforces_each_limit(
    server: OpenAIServer, body: dict[str, Any], status: int, code: str | None, message: str
) -> None:
    answer = post(server, **body)

    assert answer.status == status
    assert answer.error["code"] == code
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert re.search(message, answer.error["message"])
    assert server.stats.inputs == 0


@pytest.mark.parametrize("body", [{"input": ["a"] * 2048}, {"input": ["a" * 32_768]}, {"input": ["a" * 32_000] * 37}])
def test_embeddings__takes_what_is_at_the_limit(server: OpenAIServer, body: dict[str, Any]) -> None:
    assert post(server, dimensions=2, **body).status == 200


def test_embeddings__a_body_that_is_not_json(server: OpenAIServer) -> None:
    answer = send(server.url, "POST", "/v1/embeddings", b"{not json", server.api_key)

    assert answer.status == 400


def test_embeddings__no_key(server: OpenAIServer) -> None:
    assert post(server, key=None).status == 401


def test_embeddings__wrong_key_is_echoed_masked(server: OpenAIServer) -> None:
    answer = post(server, key="sk-test-of-somebody-else-WXYZ")

    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
    assert "sk-test-" in answer.error["message"]
    assert "WXYZ" in answer.error["message"]
    assert "somebody" not in answer.error["message"]


def test_quotas__requests_a_minute() -> None:
    with OpenAIServer(requests_per_minute=120, burst_seconds=1) as server:
        answers = [post(server, dimensions=2) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].headers["x-ratelimit-limit-requests"] == "120"
    assert answers[2].error["code"] == "rate_limit_exceeded"
    assert answers[2].headers["retry-after"] == "1"
    assert 0 < int(answers[2].headers["retry-after-ms"]) <= 500
    assert server.stats.inputs == 2


def test_quotas__tokens_a_minute() -> None:
    with OpenAIServer(tokens_per_minute=100) as server:
        first, second, too_large = (post(server, input="a" * 4 * tokens) for tokens in (80, 50, 101))

    assert (first.status, second.status, too_large.status) == (200, 429, 429)
    assert first.headers["x-ratelimit-remaining-tokens"] == "20"
    assert first.headers["x-ratelimit-reset-tokens"].endswith("ms")
    assert second.error["type"] == "tokens"
    assert 15 <= int(second.headers["retry-after"]) <= 18
    assert "Request too large" in too_large.error["message"]
    assert "retry-after" not in too_large.headers


def test_quotas__fill_again_with_time() -> None:
    now = [0.0]
    quotas = Quotas(60, None, burst_seconds=1, clock=lambda: now[0])
    quotas.take(1)
    now[0] += 1

    headers = quotas.take(1)

    assert headers["x-ratelimit-remaining-requests"] == "0"


def test_quotas__who_comes_back_too_early_is_recorded() -> None:
    with OpenAIServer(requests_per_minute=60, burst_seconds=1) as server:
        post(server, dimensions=2)
        post(server, dimensions=2)
        assert server.quotas.violations == []
        time.sleep(0.2)

        post(server, dimensions=2)
        time.sleep(1.1)
        last = post(server, dimensions=2)

    assert last.status == 200
    assert len(server.quotas.violations) == 1
    assert 0.5 < server.quotas.violations[0].early_seconds < 0.9


def test_quotas__a_scripted_wait_counts_too(server: OpenAIServer) -> None:
    with OpenAIServer() as own:
        own.faults.add("respond", status=429, count=1, headers={"retry-after-ms": "400", "retry-after": "1"})
        refused = post(own)
        time.sleep(0.15)

        early = post(own)
        time.sleep(0.3)
        late = post(own)

    assert (refused.status, early.status, late.status) == (429, 200, 200)
    assert len(own.quotas.violations) == 1


def test_faults__hit_the_next_requests_and_then_stop(server: OpenAIServer) -> None:
    server.faults.add("respond", status=503, count=2)

    statuses = [post(server).status for _ in range(3)]

    assert statuses == [503, 503, 200]
    assert server.stats.statuses == {503: 2, 200: 1}
    assert server.stats.inputs == 1


def test_faults__a_rate_hits_about_so_many(server: OpenAIServer) -> None:
    server.faults.add("respond", status=500, rate=0.3)

    statuses = [post(server, dimensions=2).status for _ in range(200)]

    assert 30 <= statuses.count(500) <= 90


@pytest.mark.parametrize("kind", ["cut_before", "cut_body"])
def test_faults__cut_the_connection(server: OpenAIServer, kind: Any) -> None:
    server.faults.add(kind, count=1)

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        post(server)

    assert post(server).status == 200
    assert server.stats.inputs_of("text") == (1 if kind == "cut_before" else 2)


def test_faults__slow(server: OpenAIServer) -> None:
    server.faults.add("slow", seconds=0.2, count=1)
    started = time.monotonic()

    answer = post(server)

    assert answer.status == 200
    assert time.monotonic() - started >= 0.2


def test_faults__spoil_the_answer(server: OpenAIServer) -> None:
    for kind in ("wrong_count", "wrong_dimensions", "nan", "reversed", "no_index"):
        server.faults.add(kind, count=1)

    few, short, nan, backwards, unnumbered = (post(server, input=["a", "b"]).body["data"] for _ in range(5))

    assert len(few) == 1
    assert [len(item["embedding"]) for item in short] == [1535, 1535]
    assert np.isnan(nan[0]["embedding"]).all() and np.isfinite(nan[1]["embedding"]).all()
    assert [item["index"] for item in backwards] == [1, 0]
    assert "index" not in unnumbered[0]


def test_faults__garbage_is_not_json(server: OpenAIServer) -> None:
    server.faults.add("garbage", count=1)

    with pytest.raises(json.JSONDecodeError):
        post(server)


def test_faults__unknown_kind(server: OpenAIServer) -> None:
    with pytest.raises(ValueError, match="no fault 'explode'"):
        server.faults.add("explode")  # type: ignore[arg-type]


def test_stats__say_what_was_paid_for(server: OpenAIServer) -> None:
    post(server, input=["once", "twice", "twice"])
    post(server, input=["a" * 40])

    assert (server.stats.requests, server.stats.inputs, server.stats.tokens) == (2, 4, 13)
    assert server.stats.inputs_of("once") == 1
    assert server.stats.inputs_of("never") == 0
    assert server.stats.paid_more_than_once() == {"twice": 2}


def test_exit__ends_the_connections_that_clients_keep_open() -> None:
    with OpenAIServer() as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
        connection.request("GET", "/_stats")
        connection.getresponse().read()

    with pytest.raises((ConnectionError, http.client.HTTPException)):
        connection.request("GET", "/_stats")
        connection.getresponse()
    connection.close()


def test_main__serves_another_process() -> None:
    command = [sys.executable, "-m", "tests.openai_server", "--requests-per-minute", "60000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip().removesuffix("/v1")
            send(url, "POST", "/_faults", {"kind": "respond", "status": 500, "count": 1})
            key = "sk-test-0123456789abcdefghijklmnopqrstuv"
            body = {"model": SMALL, "input": "text"}

            answers = [send(url, "POST", "/v1/embeddings", body, key) for _ in range(2)]
            stats = send(url, "GET", "/_stats?texts").body
            send(url, "DELETE", "/_stats")

            assert [answer.status for answer in answers] == [500, 200]
            assert (stats["requests"], stats["inputs"], stats["violations"]) == (2, 1, [])
            assert stats["inputs_of"] == {"text": 1}
            assert send(url, "GET", "/_stats").body["requests"] == 0
        finally:
            process.terminate()
