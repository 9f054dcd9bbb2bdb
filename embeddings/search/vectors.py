"""The vectors of queries."""

from __future__ import annotations

import logging
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from embeddings.batching import truncate
from embeddings.exceptions import ConfigurationError, ProviderError
from embeddings.providers import get_provider
from embeddings.search import lane
from embeddings.search.cache import Cache
from embeddings.text import fingerprint

logger = logging.getLogger(__name__)

# A thousand vectors of 1,536 floats are 12 MB as arrays and 50 MB as lists.
_CACHE: Cache[Any] = Cache(size=1_000, seconds=600.0)


def vector_of(query: str, alias: str) -> Any | None:
    """The query's vector by the provider of that alias; None when it cannot be had now."""
    try:
        provider = get_provider(alias)
        text = truncate(query, provider.max_input_tokens)
        key = f"{alias}:{fingerprint(text, provider)}"
        vector = _CACHE.get(key)
        if vector is None:
            vector = lane.ask(alias, text)
            _CACHE.put(key, vector)
        return vector
    except lane.LeftAlone:
        return None
    except (ProviderError, ConfigurationError) as exc:
        logger.warning("Search by meaning is not possible now (%s); searching by keyword.", type(exc).__name__)
        return None


def forget() -> None:
    """Ask for every vector again."""
    _CACHE.clear()


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS"}:
        forget()
