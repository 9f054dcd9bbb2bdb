"""The way of searches to the providers: one try with a short limit, and then none for a while after a failure.

After that while one search asks, and the others do without until it has its answer.

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

from embeddings import conf, limiter, live, metrics, quotas
from embeddings.batching import estimate_tokens
from embeddings.exceptions import ConfigurationError, InputRejected, ProviderError, RateLimited, TransientError
from embeddings.failure import Failure
from embeddings.pipeline import calling
from embeddings.providers import Embedded, Provider, get_search_provider

# After a failure this process leaves the provider alone for so long, or as the provider asks, up to the longest.
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 60.0

# Threads of one provider that may hang, past the time of their searches, before it is left alone.
MAX_HANGING = 10

# A process writes the figures of its searches at most so often.
COUNT_SECONDS = 2.0

# Until when, by the process's own clock, the provider of an alias that has failed is left alone.
_resting: dict[str, float] = {}
_hanging: dict[str, list[threading.Thread]] = {}
_lock = threading.Lock()


class LeftAlone(ProviderError):
    """The provider is not asked for now, after failures."""


def ask(alias: str, text: str) -> Any:
    """The vector of `text`, within SEARCH_TIMEOUT_SECONDS; raises ProviderError or ConfigurationError."""
    live.refresh(max_age_seconds=live.PATIENT_SECONDS)
    seconds = conf.current().search_timeout_seconds
    if not _may_ask(alias, seconds) or not limiter.is_open_to_searches(alias):
        raise LeftAlone(f"Provider {alias!r} is left alone for now, after failures.")
    try:
        provider = get_search_provider(alias)
        quotas.spend(provider, estimate_tokens(text))
        vector = _counted(seconds, provider, text)
    except InputRejected:
        _resting.pop(alias, None)
        raise  # It works; it is this text that it does not take.
    except (ProviderError, ConfigurationError) as exc:
        _rest(alias, exc)
        raise
    _resting.pop(alias, None)
    return vector


def _may_ask(alias: str, seconds: float) -> bool:
    """Whether the provider is not left alone; of one that has failed, one search at a time finds out how it is."""
    now = time.monotonic()
    with _lock:
        hanging = _hanging[alias] = [thread for thread in _hanging.get(alias, ()) if thread.is_alive()]
        if _resting.get(alias, 0.0) > now or len(hanging) >= MAX_HANGING:
            return False
        if alias in _resting:
            _resting[alias] = now + seconds
    return True


def _rest(alias: str, error: Exception) -> None:
    wish = error.retry_after if isinstance(error, RateLimited | TransientError) else None
    _resting[alias] = time.monotonic() + min(max(wish or 0.0, REST_SECONDS), LONGEST_REST_SECONDS)


def _counted(seconds: float, provider: Provider, text: str) -> Any:
    """The vector. The request is part of its minute's figures, but too small for a row of its own."""
    started, tokens, outcome = time.monotonic(), None, "ok"
    try:
        embedded = _within(seconds, provider, text)
        tokens = embedded.tokens
    except ProviderError as exc:
        outcome = Failure.of(exc).kind
        raise
    finally:
        took = time.monotonic() - started
        metrics.count_call(provider, inputs=1, tokens=tokens, seconds=took, outcome=outcome)
        metrics.hand_over_after_commit(rest_seconds=COUNT_SECONDS)
    return embedded.vectors[0]


def _within(seconds: float, provider: Provider, text: str) -> Embedded:
    """Ask on a thread: a time limit of the provider's own may be for each byte, or none at all."""
    answers: queue.SimpleQueue[Embedded | ProviderError] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(calling.ask(provider, [text]))
        except ProviderError as exc:
            answers.put(exc)

    thread = threading.Thread(target=run, name="embed-query", daemon=True)
    thread.start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        with _lock:
            _hanging.setdefault(provider.alias, []).append(thread)
        raise TransientError(f"Provider {provider.alias!r} did not answer within {seconds:g} s.") from None
    if isinstance(answer, ProviderError):
        raise answer
    return answer


def forget() -> None:
    """Ask every provider again."""
    _resting.clear()
    _hanging.clear()


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"EMBEDDINGS", "EMBEDDING_PROVIDERS"}:
        forget()
