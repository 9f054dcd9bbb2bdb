"""Whether a provider answers: one live call, here and now, for somebody who looks."""

from __future__ import annotations

from dataclasses import dataclass

from embeddings import conf, live, metrics, pauses, quotas
from embeddings.exceptions import Paused
from embeddings.failure import Failure
from embeddings.models import Pause
from embeddings.pipeline import calling
from embeddings.providers import Provider, get_provider

# Whose call it is, where workers are named.
WORKER = "ping"


@dataclass(frozen=True, slots=True)
class Ping:
    """What a provider answered, or why it did not."""

    alias: str
    model_id: str
    dimensions: int
    # Of the call alone; what is slow to load was loaded before. 0 where the provider was not asked.
    latency_seconds: float
    # "" if it answered as it should, else a sentence without any key.
    error: str
    # {"requests" or "tokens": (used within the last minute, quota of a minute)} of the quotas that there are; None
    # while Redis, which counts for all processes, is away.
    quota: dict[str, tuple[int, int]] | None


def ping(alias: str) -> Ping:
    """Ask a provider for one vector; it counts in its quotas and figures, but opens and closes no circuit.

    A provider that is paused is not asked: nothing may be sent to it. Raises ConfigurationError for an alias that
    EMBEDDING_PROVIDERS does not have, or whose provider cannot be made; and the database's errors.
    """
    live.refresh()
    provider = get_provider(alias)
    paused = _paused(alias)
    if paused is not None:
        return _told(provider, 0.0, paused)
    error = _prepared(provider)
    seconds = 0.0
    if error is None:
        pong = calling.ping(provider)
        seconds, error = pong.seconds, pong.error
        _count(provider, seconds, error)
    return _told(provider, seconds, error)


def _paused(alias: str) -> Paused | None:
    """Why it is not asked, in the words of the pause; None if it may be."""
    for found in pauses.current():
        if (found.kind, found.name) == (Pause.Kind.PROVIDER, alias):
            return Paused(f"It is paused {pauses.until(found)}, so it was not asked: {found.reason}")
    return None


def _prepared(provider: Provider) -> Exception | None:
    """Load what is slow to load; what goes wrong at it, a missing package for example, is the answer."""
    try:
        provider.prepare()
    except Exception as exc:
        return exc
    return None


def _count(provider: Provider, seconds: float, error: Exception | None) -> None:
    quotas.spend(provider, 1)
    outcome = "ok" if error is None else Failure.of(error).kind
    metrics.record_call(provider, inputs=1, tokens=None, seconds=seconds, outcome=outcome, worker=WORKER)
    metrics.hand_over_after_commit()


def _told(provider: Provider, seconds: float, error: Exception | None) -> Ping:
    return Ping(
        alias=provider.alias,
        model_id=provider.model_id,
        dimensions=provider.dimensions,
        latency_seconds=seconds,
        error="" if error is None else Failure.of(error).message,
        quota=quotas.usage(conf.provider_settings(provider.alias)),
    )
