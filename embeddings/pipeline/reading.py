"""Read the texts of claimed tasks, whatever the database and the project's own code say of some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import connections

from embeddings import ledger, timeouts
from embeddings.batching import halve
from embeddings.failure import Failure
from embeddings.ledger import Claim
from embeddings.pipeline import intake
from embeddings.pipeline.finishing import Finisher
from embeddings.pipeline.hand import Hand, Outcome
from embeddings.pipeline.splitting import Splitter


class Reader:
    """Reads for one drain: what needs no provider is finished or split, the rest becomes requests in its hand."""

    def __init__(
        self,
        hand: Hand,
        outcome: Outcome,
        finisher: Finisher,
        splitter: Splitter,
        keep_alive: Callable[[], object],
    ) -> None:
        """`keep_alive` is called between slow statements and texts, so that leases outlast them."""
        self._hand = hand
        self._outcome = outcome
        self._finisher = finisher
        self._splitter = splitter
        self._keep_alive = keep_alive

    def read(self, claims: Sequence[Claim], using: str) -> None:
        """Take tasks of one claim in hand."""
        self._outcome.claimed += len(claims)
        self._hand.reading = (using, claims)
        self._read(claims, using)
        self._hand.reading = ("", ())

    def _read(self, claims: Sequence[Claim], using: str) -> None:
        """An error that only some of the tasks cause fails only those."""
        if not claims:
            return
        try:
            taken = intake.take(claims, using, self._keep_alive)
        except Exception as exc:
            self._split(claims, using, exc)
            return
        self._finisher.settle(taken.settlements)
        for postponed, failure in taken.postponed:
            ledger.postpone(postponed, failure, using=using)
        for claim, failure in taken.failures:
            self._outcome.failed += ledger.fail([claim], failure, is_final=True, using=using)
        self._hand.ready.extend(taken.requests)
        self._splitter.split(taken.long_rows, using)

    def _split(self, claims: Sequence[Claim], using: str, exc: Exception) -> None:
        """What could not be read in one piece, in halves; a table that somebody has locked is left for later."""
        if not connections[using].is_usable():
            raise exc
        if timeouts.is_lock_timeout(exc):
            ledger.postpone(claims, Failure.of(exc), using=using)
        elif len(claims) == 1:
            self._finisher.fail(claims[0], exc, using)
        else:
            for half in halve(claims):
                self._keep_alive()
                self._read(half, using)
