"""Whose words are understood how: each message as the server in question sends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from embeddings.exceptions import (
    InputRejected,
    InputTooLong,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    TransientError,
)
from embeddings.providers.openai import OpenAIProvider
from tests.openai_server import OpenAIServer

Connect = Callable[..., OpenAIProvider]


def openai_says(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}}


TOO_LONG = "This model's maximum context length is 8192 tokens, however you requested 51435 tokens."

ANSWERS = {
    "OpenAI, one long text": (400, openai_says(TOO_LONG), InputTooLong),
    "OpenAI, a long text among others": (
        400,
        openai_says("Invalid 'input[3]': maximum input length is 8192 tokens."),
        InputTooLong,
    ),
    "OpenAI, too many tokens": (
        400,
        openai_says("Requested 416735 tokens, max 300000 tokens per request", code="max_tokens_per_request"),
        InputTooLong,
    ),
    "OpenAI, a code": (400, openai_says("Too much.", code="context_length_exceeded"), InputTooLong),
    "OpenAI, invalid": (400, openai_says("'$.input' is invalid. Please check the API reference."), InputRejected),
    "OpenAI, ada": (400, openai_says("This model does not support specifying dimensions."), ProviderMisconfigured),
    "OpenAI, a param": (400, openai_says("Not that.", param="dimensions"), ProviderMisconfigured),
    "OpenAI, the model": (400, openai_says("Not that.", param="model"), ProviderMisconfigured),
    "OpenAI, overloaded": (503, openai_says("The engine is currently overloaded."), TransientError),
    "vLLM, long": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 512 tokens. However, you requested 600 tokens.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        InputTooLong,
    ),
    "vLLM, dimensions": (
        400,
        {"error": {"message": 'Model "bge" does not support matryoshka representation', "code": 400}},
        ProviderMisconfigured,
    ),
    "TEI, long": (
        413,
        {
            "message": "Input validation error: `inputs` must have less than 512 tokens. Given: 516",
            "code": 413,
            "type": "Validation",
        },
        InputTooLong,
    ),
    "TEI, busy": (429, {"message": "Model is overloaded", "code": 429, "type": "Overloaded"}, RateLimited),
    "Ollama, long": (
        400,
        {"error": {"message": "the input length exceeds the context length", "type": "api_error"}},
        InputTooLong,
    ),
    "Ollama, long, as a string": (400, {"error": "the input length exceeds the context length"}, InputTooLong),
    "Ollama, long, once": (400, {"error": {"message": "input length exceeds maximum context length"}}, InputTooLong),
    "Ollama, no model": (
        404,
        {"error": {"message": 'model "nomic" not found, try pulling it first'}},
        ProviderMisconfigured,
    ),
    "llama.cpp, long": (
        500,
        {
            "error": {
                "code": 500,
                "message": "input (992 tokens) is too large to process. increase the physical batch size",
                "type": "server_error",
            }
        },
        InputTooLong,
    ),
    "llama.cpp, loading": (503, {"error": {"code": 503, "message": "Loading model"}}, TransientError),
    "Mistral, many": (
        400,
        {"object": "error", "message": "Too many tokens in batch. Max is 16384 got 17555"},
        InputTooLong,
    ),
    "FastAPI": (422, {"detail": [{"loc": ["body", "input"], "msg": "bad", "input": "the text"}]}, InputRejected),
    "a proxy": (502, "<html><h1>502 Bad Gateway</h1></html>", TransientError),
    "a proxy, long": (413, "<html><h1>413 Request Entity Too Large</h1></html>", InputTooLong),
    "a proxy, wrong port": (400, "<html>The plain HTTP request was sent to HTTPS port", ProviderMisconfigured),
    "a redirect": (304, "", ProviderMisconfigured),
    "nothing": (400, "", InputRejected),
    "a list": (400, [1, 2], InputRejected),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_provider_error__knows_the_servers(
    connect: Connect, server: OpenAIServer, answer: tuple[int, Any, type[ProviderError]]
) -> None:
    status, body, error = answer
    server.faults.add("respond", status=status, body=body)

    with pytest.raises(ProviderError) as caught:
        connect().embed(["the text"])

    assert type(caught.value) is error


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500])
def test_provider_error__shows_neither_key_nor_text(connect: Connect, server: OpenAIServer, status: int) -> None:
    text = "Dear diary, my secret is that I never liked the sea.\n\n" * 20 + "The end."
    key = str(server.api_key)
    server.faults.add(
        "respond", status=status, body=openai_says(f"{key} cannot embed '{text}', nor sk-other-key-1234.")
    )

    with pytest.raises(ProviderError) as caught:
        connect().embed([text, "another"])

    message = str(caught.value)
    assert "cannot embed '…', nor …" in message
    assert "diary" not in message
    assert key not in message
    assert len(message) <= 500
    assert "\n" not in message


def test_provider_error__a_long_message_is_cut(connect: Connect, server: OpenAIServer) -> None:
    server.faults.add("respond", status=400, body=openai_says("reason " * 1000))

    with pytest.raises(InputRejected) as caught:
        connect().embed(["text"])

    assert 250 < len(str(caught.value)) <= 500


def test_provider_error__names_model_server_and_status(connect: Connect, server: OpenAIServer) -> None:
    server.faults.add("respond", status=500)

    with pytest.raises(TransientError, match=r"^text-embedding-3-small at 127\.0\.0\.1 failed \(500\): The .*\.$"):
        connect().embed(["text"])


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 408, 425])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "later"}, None),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "6m0s"}, None),
    ],
)
def test_provider_error__a_failing_server_is_given_the_time_it_asks_for(
    connect: Connect, server: OpenAIServer, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    server.faults.add("respond", status=status, headers=headers)

    with pytest.raises(TransientError) as caught:
        connect().embed(["text"])

    assert caught.value.retry_after == seconds
