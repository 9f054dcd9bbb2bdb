"""The way of searches to the providers: one try with a short limit, and then none for a while after a failure.

It is not that of the workers. A cooldown after a rate limit, which a backfill may cause, does not stop a search; an
open circuit or a pause for a wrong configuration does, without a call.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from embeddings import conf, limiter, quotas
from embeddings.batching import estimate_tokens
from embeddings.exceptions import ConfigurationError, InputRejected, ProviderError, RateLimited, TransientError
from embeddings.pipeline import calling
from embeddings.providers import Provider, get_search_provider

# After a failure this process leaves the provider alone for so long, or as the provider asks, up to the longest.
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 60.0

# Until when, by the process's own clock, the provider of an alias is left alone.
_resting: dict[str, float] = {}


class LeftAlone(ProviderError):
    """The provider is not asked for now, after failures."""


def ask(alias: str, text: str) -> Any:
    """The vector of `text`, within SEARCH_TIMEOUT_SECONDS; raises ProviderError or ConfigurationError."""
    if _resting.get(alias, 0.0) > time.monotonic() or not limiter.is_open_to_searches(alias):
        raise LeftAlone(f"Provider {alias!r} is left alone for now, after failures.")
    try:
        provider = get_search_provider(alias)
        quotas.spend(provider, estimate_tokens(text))
        return _within(conf.current().search_timeout_seconds, provider, text)
    except InputRejected:
        raise  # It works; it is this text that it does not take.
    except (ProviderError, ConfigurationError) as exc:
        _rest(alias, exc)
        raise


def _rest(alias: str, error: Exception) -> None:
    wish = error.retry_after if isinstance(error, RateLimited | TransientError) else None
    _resting[alias] = time.monotonic() + min(max(wish or 0.0, REST_SECONDS), LONGEST_REST_SECONDS)


def _within(seconds: float, provider: Provider, text: str) -> Any:
    """Ask on a thread: a time limit of the provider's own may be for each byte, or none at all."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(calling.ask(provider, [text]).vectors[0])
        except ProviderError as exc:
            answers.put(exc)

    threading.Thread(target=run, name="embed-query", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TransientError(f"Provider {provider.alias!r} did not answer within {seconds:g} s.") from None
    if isinstance(answer, ProviderError):
        raise answer
    return answer


def forget() -> None:
    """Ask every provider again."""
    _resting.clear()


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS"}:
        forget()
