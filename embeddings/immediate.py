"""The vector of one text, here and now, for somebody who waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from embeddings import limiter, metrics, pauses, quotas
from embeddings.batching import estimate_tokens
from embeddings.exceptions import InputTooLong, ProviderError, RateLimited, TransientError
from embeddings.failure import Failure
from embeddings.pipeline import calling, remedies
from embeddings.providers import Embedded, Provider
from embeddings.text import SourceText

# Whose work it is, where workers are named.
WORKER = "in process"


@dataclass(frozen=True, slots=True)
class Made:
    """A vector of the provider's `dimensions` floats, the tokens that it counted, and whether the text was cut."""

    vector: Any
    tokens: int | None
    truncated: bool


def make(text: SourceText, provider: Provider) -> Made:
    """Ask once, without a retry; a text that the provider finds too long is cut. Raises the ProviderError.

    A provider that workers leave alone for now, or that is paused, is not asked.
    """
    wanted = text.text
    for _ in range(remedies.MAX_CUTS):
        try:
            return _made(_ask(wanted, provider), text, wanted)
        except InputTooLong:
            wanted = wanted[: len(wanted) // 2]
    return _made(_ask(wanted, provider), text, wanted)


def _made(embedded: Embedded, text: SourceText, sent: str) -> Made:
    return Made(embedded.vectors[0], embedded.tokens, text.truncated or len(sent) < len(text.text))


def _ask(text: str, provider: Provider) -> Embedded:
    alias = provider.alias
    pauses.check(alias)
    if not limiter.open_lanes([alias]) and not limiter.take_probe(alias):
        raise TransientError(f"Provider {alias!r} is left alone for now, after failures or a rate limit; try later.")
    estimated = estimate_tokens(text)
    quotas.spend(provider, estimated)
    started = time.monotonic()
    try:
        embedded = calling.ask(provider, [text])
    except ProviderError as exc:
        _record(provider, None, started, Failure.of(exc).kind)
        if isinstance(exc, RateLimited):
            limiter.rate_limited(alias, exc.retry_after, str(exc))
        raise
    _record(provider, embedded.tokens, started, "ok")
    limiter.succeeded(alias)
    quotas.correct(provider, estimated=estimated, actual=embedded.tokens)
    return embedded


def _record(provider: Provider, tokens: int | None, started: float, outcome: str) -> None:
    seconds = time.monotonic() - started
    metrics.record_call(provider, inputs=1, tokens=tokens, seconds=seconds, outcome=outcome, worker=WORKER)
    metrics.hand_over_after_commit()
