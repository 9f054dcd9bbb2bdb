"""Which of the requests that are ready may be sent now: as far as there are threads, quotas and open circuits."""

from __future__ import annotations

import time

from embeddings import ledger, limiter, live, quotas
from embeddings.exceptions import QuotaUsedUp
from embeddings.failure import Failure
from embeddings.pipeline import remedies
from embeddings.pipeline.hand import Hand, Outcome
from embeddings.pipeline.in_flight import InFlightLimits
from embeddings.pipeline.intake import ProviderRequest
from embeddings.providers import Provider, get_provider

# Tasks are kept in hand while their provider's quota refills, if that takes no longer.
SHORT_WAIT_SECONDS = 1.0


class Sender:
    """Sends for one drain."""

    def __init__(self, hand: Hand, outcome: Outcome) -> None:
        self._hand = hand
        self._outcome = outcome
        self.limits = InFlightLimits(hand.calls.in_flight)
        # When the quota of a provider is to be asked for again, by alias.
        self._rests_until: dict[str, float] = {}

    def send(self) -> None:
        """Send what may be sent."""
        for request in list(self._hand.ready):
            if not self._hand.calls.has_room:
                return
            if request in self._hand.ready and self._may_send(request.provider.alias):
                self._send_within_quota(request)

    def _may_send(self, alias: str) -> bool:
        return not self.rests(alias) and self.limits.has_room(alias)

    def _send_within_quota(self, request: ProviderRequest) -> None:
        seconds = quotas.take(request.provider, request.tokens)
        if seconds:
            self.let_rest(request.provider, seconds)
        else:
            self._hand.ready.remove(request)
            self._hand.calls.send(request)

    def has_request(self) -> bool:
        """Whether something is ready that waits for a thread only."""
        return any(self._may_send(request.provider.alias) for request in self._hand.ready)

    def wants(self, alias: str) -> bool:
        """Whether tasks of the provider are wanted: it does not rest, and nothing that is ready for it has to wait."""
        has_ready = any(request.provider.alias == alias for request in self._hand.ready)
        return not self.rests(alias) and (not has_ready or self.limits.has_room(alias))

    def rests(self, alias: str) -> bool:
        """Whether this drain leaves the provider alone for a moment."""
        return self._rests_until.get(alias, 0.0) > time.monotonic()

    def rest_seconds(self) -> float:
        """How long until the first of the providers has rested; infinite if none rests."""
        now = time.monotonic()
        return min((until - now for until in self._rests_until.values() if until > now), default=float("inf"))

    def let_rest(self, provider: Provider, seconds: float) -> None:
        """Send nothing to the provider for so long. If that is not short, no worker does; its tasks wait outside."""
        if seconds <= SHORT_WAIT_SECONDS:
            self._rests_until[provider.alias] = time.monotonic() + seconds
            return
        error = QuotaUsedUp(f"The quota of provider {provider.alias!r} is used up for now.")
        until = limiter.wait_for_quota(provider.alias, seconds, str(error))
        if live.refresh(max_age_seconds=0):  # Somebody may have raised the quota: it is asked for again.
            get_provider(provider.alias)
            limiter.end_wait_for_quota(provider.alias)
            return
        for request in self._hand.take_ready(provider.alias):
            deferred = ledger.defer(request.claims, until, Failure.of(error), using=request.using)
            self._outcome.rate_limited += deferred

    def release_blocked(self) -> None:
        """Give back what is ready for a provider that, as another worker has found, is not to be called now."""
        aliases = {request.provider.alias for request in self._hand.ready}
        if aliases and self._hand.calls.has_room:
            for alias in aliases.difference(limiter.open_lanes(aliases)):
                remedies.release(self._hand.take_ready(alias))

    def release_all(self) -> None:
        """Give back all that is ready."""
        remedies.release(self._hand.ready)
        self._hand.ready.clear()
