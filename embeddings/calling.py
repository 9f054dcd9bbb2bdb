"""One request to a provider, made in a thread: no database here."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from embeddings.exceptions import InputRejected, ProviderMisconfigured, TransientError
from embeddings.intake import ProviderRequest
from embeddings.providers import Embedded, Provider


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: vectors or an exception, and after how many seconds."""

    request: ProviderRequest
    seconds: float
    embedded: Embedded | None = None
    error: Exception | None = None


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
        if not math.isfinite(math.fsum(vector)):
            raise InputRejected("The provider returned a vector with NaN or infinity for this text.")
