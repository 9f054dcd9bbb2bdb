"""What a drain has in hand: tasks that it has claimed and not yet settled."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from embeddings.ledger import Claim
from embeddings.pipeline.calling import Calls
from embeddings.pipeline.intake import ProviderRequest, Settlement, Split


@dataclass(slots=True)
class Outcome:
    """What a drain did, in tasks."""

    claimed: int = 0
    completed: int = 0
    failed: int = 0
    rate_limited: int = 0


@dataclass(slots=True)
class Hand:
    """Tasks that are being read, requests that are ready to be sent, calls in flight, and settlements and splits of
    rows that somebody else had locked."""

    calls: Calls
    # Their database, and the tasks.
    reading: tuple[str, Sequence[Claim]] = ("", ())
    ready: deque[ProviderRequest] = field(default_factory=deque)
    unsettled: list[Settlement] = field(default_factory=list)
    unwritten: list[Split] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there are tasks in it; a ping is none."""
        return bool(self.ready or self.calls.requests or self.is_waiting)

    @property
    def is_waiting(self) -> bool:
        """Whether something waits for locks of others."""
        return bool(self.unsettled or self.unwritten)

    def claims(self) -> dict[str, list[Claim]]:
        """All tasks in hand, by database."""
        claims: dict[str, list[Claim]] = defaultdict(list)
        using, being_read = self.reading
        if being_read:
            claims[using] += being_read
        for request in [*self.ready, *self.calls.requests]:
            claims[request.using] += request.claims
        for waiting in self.unsettled:
            claims[waiting.item.using].append(waiting.item.claim)
        for split in self.unwritten:
            claims[split.using].append(split.claim)
        return claims

    def take_ready(self, alias: str) -> list[ProviderRequest]:
        """Remove and return the requests that are ready for one provider."""
        mine = [request for request in self.ready if request.provider.alias == alias]
        self.ready = deque(request for request in self.ready if request.provider.alias != alias)
        return mine

    def take_unsettled(self) -> list[Settlement]:
        """Remove and return the settlements that are to be tried again."""
        waiting, self.unsettled = self.unsettled, []
        return waiting

    def take_unwritten(self) -> list[Split]:
        """Remove and return the splits that are to be tried again."""
        waiting, self.unwritten = self.unwritten, []
        return waiting
