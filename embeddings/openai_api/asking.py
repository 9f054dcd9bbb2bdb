"""What a client asks for, from the body of its request: checked as OpenAI checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embeddings.batching import estimate_tokens
from embeddings.openai_api import catalogue
from embeddings.openai_api.problems import Refused
from embeddings.providers import Provider, get_provider
from embeddings.text import clean

# OpenAI's own limits, so that what works here works there.
MAX_INPUTS = 2_048
MAX_TOKENS = 300_000

ENCODINGS = ("float", "base64")
NO_TOKENS = (
    "Invalid 'input': send text, not token numbers; every model has its own, and this one's need not be OpenAI's. "
    "In LangChain set OpenAIEmbeddings(check_embedding_ctx_length=False)."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that keeps all rules."""

    texts: list[str]
    provider: Provider
    is_base64: bool


def read(body: Mapping[str, Any]) -> Asked:
    """The request in a body, whose other parameters are ignored; raises Refused, or ConfigurationError."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "You must provide a model parameter.", param="model")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ENCODINGS:
        raise _invalid("encoding_format", "supported values are 'float' and 'base64'.", "invalid_value")
    texts = _texts(body.get("input"))
    provider = get_provider(catalogue.alias_of(model))
    _check_dimensions(body.get("dimensions"), provider)
    return Asked(texts, provider, encoding == "base64")


def _texts(given: Any) -> list[str]:
    """At most 2,048 texts, none empty, as they are embedded; a single one stands for a list of it."""
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list):
        raise _invalid("input", "it must be a string or a list of strings.")
    if not given:
        raise _invalid("input", "empty array.", "empty_array")
    if len(given) > MAX_INPUTS:
        message = f"array too long. Expected an array with maximum length {MAX_INPUTS}, but got one of {len(given)}."
        raise _invalid("input", message, "array_above_max_length")
    texts = [_text(value, f"input[{position}]") for position, value in enumerate(given)]
    tokens = sum(estimate_tokens(text) for text in texts)
    if tokens > MAX_TOKENS:
        message = f"Requested about {tokens} tokens, max {MAX_TOKENS} tokens per request; send it in parts."
        raise Refused(400, message, kind="max_tokens_per_request", code="max_tokens_per_request", param="input")
    return texts


def _text(value: Any, name: str) -> str:
    if _is_number(value) or (isinstance(value, list) and all(map(_is_number, value))):
        raise Refused(400, NO_TOKENS, param="input")
    if not isinstance(value, str):
        raise Refused(400, f"Invalid '{name}': it must be a string.", param="input")
    if not (text := clean(value)):
        raise Refused(400, f"Invalid '{name}': it has no visible characters.", param="input")
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_dimensions(dimensions: Any, provider: Provider) -> None:
    if dimensions is not None and (not _is_number(dimensions) or dimensions != provider.dimensions):
        message = (
            f"{provider.model_id} makes vectors of {provider.dimensions} dimensions here; ask for these, or leave "
        )
        raise _invalid("dimensions", f"{message}the parameter out.", "invalid_value")


def _invalid(param: str, message: str, code: str | None = None) -> Refused:
    return Refused(400, f"Invalid '{param}': {message}", param=param, code=code)
