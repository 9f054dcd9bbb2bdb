"""What went wrong in a request to OpenAI or a server like it, as one of our exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embeddings.exceptions import (
    InputRejected,
    InputTooLong,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    TransientError,
)
from embeddings.providers.openai.redaction import Redaction
from embeddings.providers.openai.retry_after import quota_free_after, retry_after

if TYPE_CHECKING:  # importing the SDK takes half a second; whoever has one of its errors has imported it
    from openai import APIStatusError, OpenAIError

# Waiting does not help against these: somebody has to pay.
_BILLING_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error", "max_tokens_per_request"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an error response said, where it said it. `message` is the server's own and not yet fit to show."""

    status: int
    code: str = ""
    kind: str = ""
    param: str = ""
    message: str = ""
    is_web_page: bool = False


def provider_error(exc: OpenAIError, *, server: str, alias: str, redaction: Redaction) -> ProviderError:
    """The exception to raise from `exc`.

    `server` says for people who answered. The message quotes the server without keys and texts, within 500 characters.
    """
    import openai

    if isinstance(exc, openai.APIStatusError):
        error = _status_error(exc, server, f"EMBEDDING_PROVIDERS[{alias!r}]", redaction)
        error.http_status = exc.status_code
        return error
    if isinstance(exc, openai.APITimeoutError):
        return TransientError(f"{server} did not answer in time.")
    reason = redaction.apply(str(exc.__cause__ or exc))
    return TransientError(f"{server} could not be reached, or broke off its answer{_quoted(reason)}.")


def _status_error(exc: APIStatusError, server: str, where: str, redaction: Redaction) -> ProviderError:
    answer = _read(exc)
    status = answer.status
    said = _quoted(redaction.apply(answer.message))
    if status == 429 and not _BILLING_CODES.isdisjoint({answer.code, answer.kind}):
        return ProviderMisconfigured(f"{server} has no credit left for this account; check its billing{said}.")
    if status == 429 and not is_larger_than_quota(answer.message):
        return RateLimited(
            f"{server} asked to slow down{said}.", retry_after=quota_free_after(exc.response.headers, answer.kind)
        )
    if status in {401, 403}:
        return ProviderMisconfigured(f"{server} refused the key ({status}); check API_KEY in {where}{said}.")
    if status in {404, 405} or status < 400:
        return ProviderMisconfigured(
            f"{server} knows no such model or address ({status}); check MODEL and BASE_URL in {where}{said}."
        )
    too_long = not _TOO_LONG_CODES.isdisjoint({answer.code, answer.kind}) or is_too_long(answer.message)
    if status in {413, 429} or too_long:
        return InputTooLong(f"{server} refused an input, or the request, as too long ({status}){said}.")
    if status in {408, 409, 425} or status >= 500:
        return TransientError(f"{server} failed ({status}){said}.", retry_after=retry_after(exc.response.headers))
    if answer.is_web_page:  # no embeddings server writes HTML: nobody has looked at the texts
        return ProviderMisconfigured(f"{server} answered with a web page ({status}); check BASE_URL in {where}.")
    if answer.param in {"model", "dimensions", "encoding_format"} or is_about_settings(answer):
        return ProviderMisconfigured(
            f"{server} does not take this model with these settings ({status}); "
            f"check MODEL, DIMENSIONS, SEND_DIMENSIONS and ENCODING in {where}{said}."
        )
    return InputRejected(f"{server} refused an input ({status}){said}.")


def is_too_long(message: str) -> bool:
    """Whether a server that gives no error code says that a text is too long. Wordings, lower case, and whose:"""
    wordings = (
        "maximum context length",  # OpenAI, vLLM
        "maximum input length",  # OpenAI, for one text among several
        "must have less than",  # Text Embeddings Inference
        "exceeds the context length",  # Ollama
        "exceeds maximum context length",  # Ollama until 2024
        "too large to process",  # llama.cpp, LM Studio: "increase the physical batch size", with status 500
        "exceeds the available context size",  # llama.cpp from 2025
        "too many tokens",  # Mistral
    )
    lowered = message.lower()
    return any(wording in lowered for wording in wordings)


def is_about_settings(answer: Answer) -> bool:
    """Whether a 400 is about what we ask for and not about a text.

    OpenAI gives neither code nor param for "This model does not support specifying dimensions." and for "Invalid value
    for 'dimensions' = …"; vLLM writes of matryoshka representation.
    """
    lowered = answer.message.lower()
    return (
        answer.code in {"model_not_found", "unknown_parameter", "unsupported_parameter"}
        or "specifying dimensions" in lowered
        or "'dimensions'" in lowered
        or "matryoshka" in lowered
    )


def is_larger_than_quota(message: str) -> bool:
    """Whether a 429 says that this request is over the quota of a whole minute, so that no waiting can help."""
    return "request too large" in message.lower()


def _read(exc: APIStatusError) -> Answer:
    body = exc.body
    if isinstance(body, str):  # Ollama's {"error": "a sentence"}, or whatever a proxy between us writes
        is_web_page = body.lstrip().startswith("<")
        return Answer(exc.status_code, message="" if is_web_page else body, is_web_page=is_web_page)
    if not isinstance(body, dict):
        return Answer(exc.status_code)
    message = body.get("message") or body.get("detail") or body.get("error") or ""
    return Answer(
        status=exc.status_code,
        code=str(body.get("code") or ""),
        kind=str(body.get("type") or ""),
        param=str(body.get("param") or ""),
        message=message if isinstance(message, str) else "",
    )


def _quoted(message: str) -> str:
    return f": {message.rstrip('. ')}" if message else ""
