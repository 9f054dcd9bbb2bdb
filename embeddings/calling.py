"""One request to a provider, made in a thread: no database here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from embeddings.exceptions import InputRejected, ProviderMisconfigured, TransientError
from embeddings.intake import Effect, ProviderRequest, Settlement
from embeddings.providers import Embedded, Provider


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: vectors or an exception, and after how many seconds."""

    request: ProviderRequest
    seconds: float
    embedded: Embedded | None = None
    error: Exception | None = None

    def settlements(self) -> list[Settlement]:
        """One an item; the tokens that were paid are shared out by estimate, equal texts paid for once."""
        assert self.embedded is not None
        paid = self.embedded.tokens
        estimated = sum(same[0].text.tokens for same in self.request.items)
        settlements = []
        for same, vector in zip(self.request.items, self.embedded.vectors, strict=True):
            for copy, item in enumerate(same):
                tokens = None if paid is None else 0 if copy else round(paid * item.text.tokens / estimated)
                is_cut = self.request.cuts > 0
                settlements.append(Settlement(item, Effect.WRITE, vector, tokens, truncated=is_cut))
        return settlements


def call(request: ProviderRequest) -> Answer:
    """Ask the provider and check what it returns. Never raises."""
    started = time.monotonic()
    try:
        embedded = request.provider.embed(request.texts)
        _check(embedded, len(request.texts), request.provider)
    except Exception as exc:
        return Answer(request, time.monotonic() - started, error=exc)
    return Answer(request, time.monotonic() - started, embedded=embedded)


def _check(embedded: Embedded, inputs: int, provider: Provider) -> None:
    """Refuse what must not reach a column, whichever provider made it."""
    if len(embedded.vectors) != inputs:
        raise TransientError(f"The provider returned {len(embedded.vectors)} vectors for {inputs} texts.")
    for vector in embedded.vectors:
        if len(vector) != provider.dimensions:
            raise ProviderMisconfigured(
                f"{provider.model_id} returns {len(vector)} dimensions, but DIMENSIONS of provider "
                f"{provider.alias!r} is {provider.dimensions}; change one of them."
            )
        if not _is_finite(vector):
            raise InputRejected("The provider returned a vector with NaN or infinity for this text.")


def _is_finite(vector: Iterable[float]) -> bool:
    try:
        return math.isfinite(math.fsum(vector))
    except (OverflowError, ValueError):  # too large for any column; infinities of both signs
        return False
