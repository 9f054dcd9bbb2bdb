"""Claim for a drain: batches ahead of the calls in flight, and suspects in turn with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from embeddings import conf, ledger
from embeddings.pipeline import selection
from embeddings.pipeline.hand import Hand
from embeddings.pipeline.reading import Reader

# Suspects and other work take turns: as long as there is both, suspects have so long of a turn, the others a batch.
TURN_SECONDS = 1.0
# While there is other work, a drain looks so often whether there are suspects.
LOOK_SECONDS = 1.0


class Claimer:
    """Claims for one drain.

    Suspects, tasks that were in hand at a worker's death, are worked with nothing else in hand, so that the next death
    singles them out.
    """

    def __init__(self, worker: str, hand: Hand, reader: Reader, on_backlog: Callable[[], object] | None) -> None:
        """`on_backlog` is called once when a claim came back full."""
        self._worker = worker
        self._hand = hand
        self._reader = reader
        self._on_backlog = on_backlog
        self._has_suspects = False
        self._looked_at = float("-inf")
        # When the turn of the suspects is over; infinite until it begins.
        self._turn_ends = float("inf")

    def claim(self, lanes: Sequence[str]) -> int:
        """Take the next tasks of these providers in hand; returns how many."""
        if self._hand:
            return 0 if self._look_for_suspects(lanes) else self._claim_batches(lanes)
        if time.monotonic() < self._turn_ends and (claimed := self._claim_suspects(lanes)):
            return claimed
        self._turn_ends = float("inf")
        return self._claim_batches(lanes) or self._claim_suspects(lanes)

    def _look_for_suspects(self, lanes: Sequence[str]) -> bool:
        """Whether what is in hand is to be finished first, because suspects have the next turn, or have it now."""
        if not self._has_suspects and time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            databases = conf.current().databases
            self._has_suspects = any(ledger.has_suspects(lanes, using=using) for using in databases)
        return self._has_suspects

    def _claim_suspects(self, lanes: Sequence[str]) -> int:
        claims, using = selection.suspects(lanes, worker=self._worker)
        self._has_suspects = bool(claims)
        if claims:
            self._turn_ends = min(self._turn_ends, time.monotonic() + TURN_SECONDS)
            self._reader.read(claims, using)
        return len(claims)

    def _claim_batches(self, lanes: Sequence[str]) -> int:
        claimed = 0
        for claims, using in selection.next_batches(lanes, worker=self._worker):
            claimed += len(claims)
            if claims and len(claims) == selection.limit(claims[0].provider) and self._on_backlog:
                self._on_backlog()
                self._on_backlog = None
            self._reader.read(claims, using)
        return claimed
