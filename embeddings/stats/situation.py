"""All that is needed to say how things stand, asked for once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from embeddings import conf, limiter, live, pauses
from embeddings.conf import EmbeddingSettings
from embeddings.models import WAITING, Pause, ProviderState, Status, WebhookEndpoint
from embeddings.stats.census import LedgerCounts, ledger_counts
from embeddings.stats.traffic import recent_speed
from embeddings.stats.webhooks import troubled_endpoints
from embeddings.stats.workforce import Workforce, workforce


@dataclass(frozen=True, slots=True)
class Situation:
    """What is the case now."""

    counts: LedgerCounts
    workforce: Workforce
    settings: EmbeddingSettings
    # The aliases of EMBEDDING_PROVIDERS.
    providers: Sequence[str]
    # What is known of those with which something was wrong.
    states: Sequence[ProviderState] = ()
    pauses: Sequence[Pause] = ()
    # Webhook endpoints that do not take their messages, or were disabled for it.
    endpoints: Sequence[WebhookEndpoint] = ()
    # Tasks that came to an end a second, over the last minute.
    speed: float = 0.0
    now: datetime = field(default_factory=timezone.now)

    @property
    def waiting(self) -> int:
        return sum(self.count(status) for status in WAITING)

    @property
    def in_hand(self) -> int:
        return self.count(Status.PROCESSING)

    @property
    def waiting_seconds(self) -> float | None:
        """How long the task waits that has waited longest."""
        since = self.counts.waiting_since
        return None if since is None else self.seconds_since(since)

    @property
    def eta_seconds(self) -> float | None:
        """How long all that is open takes at this speed; None if nothing moves."""
        return (self.waiting + self.in_hand) / self.speed if self.speed else None

    def count(self, status: str) -> int:
        return self.counts.by_status.get(status, 0)

    def seconds_since(self, moment: datetime) -> float:
        return max(0.0, (self.now - moment).total_seconds())

    def paused(self, kind: str) -> list[Pause]:
        return [pause for pause in self.pauses if pause.kind == kind]


def situation() -> Situation:
    """What is the case now: a handful of queries, none of which reads the ledger's rows."""
    live.refresh()  # Another process of this site may have changed them.
    return Situation(
        counts=ledger_counts(),
        workforce=workforce(),
        settings=conf.current(),
        providers=conf.provider_aliases(),
        states=limiter.known_states(),
        pauses=list(pauses.in_force().order_by("pk")),
        endpoints=troubled_endpoints(),
        speed=recent_speed(),
    )
