"""Whether the next request may be sent now: as pauses, circuits and quotas let it."""

from __future__ import annotations

import time

from embeddings import limiter, pauses, quotas
from embeddings.exceptions import QuotaUsedUp, RateLimited, TransientError
from embeddings.models import ProviderState
from embeddings.providers import Provider

# Somebody waits at the other end: his requests wait for quotas no longer than this, all waits together.
PATIENCE_SECONDS = 8.0


class Way:
    """From one caller to a provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._waited_seconds = 0.0
        self._waits_since: float | None = None

    def open(self) -> bool:
        """Ask whether the provider may be called at all; returns whether the next request is its probe.

        Its rest for a quota, which a backfill may have caused, forbids nothing: `seconds_to_wait` asks for the quota
        itself. Raises Paused, RateLimited, or TransientError, with the seconds that are left.
        """
        alias = self._provider.alias
        pauses.check(alias)
        block = limiter.block_of(alias)
        if block is None or block.reason == ProviderState.Reason.QUOTA:
            return False
        if block.reason == ProviderState.Reason.RATE_LIMIT:
            message = f"Provider {alias!r} has asked to slow down; try again later."
            raise RateLimited(message, retry_after=block.seconds)
        if limiter.take_probe(alias):
            return True
        message = f"Provider {alias!r} is left alone for now, after failures; try again later."
        raise TransientError(message, retry_after=max(block.seconds, 1.0))

    def seconds_to_wait(self, tokens: int) -> float:
        """Take the quota for a request; returns 0.0, or the seconds after which to ask again.

        Raises QuotaUsedUp if that were longer than anybody should wait, and Paused.
        """
        pauses.check(self._provider.alias)
        seconds = quotas.take(self._provider, tokens)
        now = time.monotonic()
        since = now if self._waits_since is None else self._waits_since
        waited = self._waited_seconds + now - since
        if not seconds:
            self._waited_seconds, self._waits_since = waited, None
            return 0.0
        self._waits_since = since
        if waited + seconds > PATIENCE_SECONDS:
            message = f"The quota of provider {self._provider.alias!r} is used up for now; try again later."
            raise QuotaUsedUp(message, retry_after=seconds)
        return seconds
