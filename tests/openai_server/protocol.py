"""What a request may say, and OpenAI's answers to those that say something else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.openai_server.vectors import MODELS

# An input is a text, or a text as token numbers.
Input = str | tuple[int, ...]

PARAMETERS = {"input", "model", "dimensions", "encoding_format", "user"}


@dataclass(frozen=True)
class Limits:
    """OpenAI's limits, documented for its embeddings endpoint."""

    inputs: int = 2048
    input_tokens: int = 8192
    request_tokens: int = 300_000


@dataclass(frozen=True)
class EmbeddingsRequest:
    """A request that keeps all rules."""

    inputs: list[Input]
    model: str
    dimensions: int
    base64: bool
    tokens: int


class Refused(Exception):
    """An answer in the shape of OpenAI's errors."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = headers or {}


def count_tokens(item: Input) -> int:
    """A quarter of a token a byte: what OpenAI itself checks the limit of a request with."""
    return max(1, round(len(item.encode()) / 4)) if isinstance(item, str) else len(item)


def check_key(authorization: str | None, expected: str | None) -> None:
    """Raises Refused unless the header carries the key. OpenAI shows the ends of a wrong one."""
    if expected is None:
        return
    key = (authorization or "").removeprefix("Bearer ").strip()
    if not key:
        raise Refused(
            401, "You didn't provide an API key. You need to provide your API key in an Authorization header."
        )
    if key != expected:
        masked = f"{key[:8]}{'*' * max(len(key) - 12, 4)}{key[-4:]}"
        raise Refused(
            401,
            f"Incorrect API key provided: {masked}. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )


def parse(content: bytes, limits: Limits) -> EmbeddingsRequest:
    """The request in a body; raises Refused as OpenAI would."""
    try:
        body = json.loads(content)
    except ValueError as exc:
        raise Refused(400, "We could not parse the JSON body of your request.") from exc
    if not isinstance(body, dict):
        raise Refused(400, "Expected the body of the request to be an object.")
    for name in sorted(set(body) - PARAMETERS):
        raise Refused(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    model, dimensions = _model(body), _dimensions(body)
    inputs = _inputs(body.get("input"), limits)
    return EmbeddingsRequest(inputs, model, dimensions, _is_base64(body), _tokens(inputs, limits))


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "you must provide a model parameter")
    if model not in MODELS:
        raise Refused(
            404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
        )
    return model


def _dimensions(body: dict[str, Any]) -> int:
    full, can_shorten = MODELS[body["model"]]
    dimensions = body.get("dimensions")
    if dimensions is None:
        return full
    if not can_shorten:
        raise Refused(400, "This model does not support specifying dimensions.")
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 1 <= dimensions <= full:
        raise Refused(400, f"Invalid value for 'dimensions' = {dimensions}. Must be between 1 and {full}.")
    return dimensions


def _is_base64(body: dict[str, Any]) -> bool:
    encoding = body.get("encoding_format", "float")
    if encoding not in {"float", "base64"}:
        raise Refused(
            400,
            f"Invalid value: '{encoding}'. Supported values are: 'float' and 'base64'.",
            code="invalid_value",
            param="encoding_format",
        )
    return bool(encoding == "base64")


def _inputs(given: Any, limits: Limits) -> list[Input]:
    if isinstance(given, str):
        given = [given]
    elif _is_token_list(given):
        given = [tuple(given)]
    if not isinstance(given, list) or not all(isinstance(i, str | tuple) or _is_token_list(i) for i in given):
        raise Refused(400, "'$.input' is invalid. Please check the API reference.")
    if not given:
        raise Refused(400, "Invalid 'input': empty array.", code="empty_array", param="input")
    if len(given) > limits.inputs:
        raise Refused(
            400,
            f"Invalid 'input': array too long. Expected an array with maximum length {limits.inputs}, "
            f"but got an array with length {len(given)} instead.",
            code="array_above_max_length",
            param="input",
        )
    if "" in given:
        raise Refused(400, "Invalid 'input': input cannot be an empty string.", param="input")
    return [item if isinstance(item, str) else tuple(item) for item in given]


def _is_token_list(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(number) is int for number in given)


def _tokens(inputs: list[Input], limits: Limits) -> int:
    counts = [count_tokens(item) for item in inputs]
    for position, tokens in enumerate(counts):
        if tokens > limits.input_tokens:
            raise Refused(400, f"Invalid 'input[{position}]': maximum input length is {limits.input_tokens} tokens.")
    if sum(counts) > limits.request_tokens:
        raise Refused(
            400,
            f"Requested {sum(counts)} tokens, max {limits.request_tokens} tokens per request",
            kind="max_tokens_per_request",
            code="max_tokens_per_request",
        )
    return sum(counts)
