"""Bring settlements to an end, whatever the database says of them: each is written, tried again, or charged alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import DataError, IntegrityError, connections

from embeddings import ledger, payload, registry, timeouts
from embeddings.batching import halve
from embeddings.exceptions import BoxError, RowLocked
from embeddings.failure import Failure
from embeddings.ledger import Claim
from embeddings.pipeline import settlement, storing
from embeddings.pipeline.hand import Hand, Outcome
from embeddings.pipeline.intake import Settlement
from embeddings.pipeline.storing import Stored

logger = logging.getLogger(__name__)


class Finisher:
    """Settles for one drain. What cannot be settled now for a lock goes back into its hand."""

    def __init__(self, hand: Hand, outcome: Outcome, keep_alive: Callable[[], object]) -> None:
        """`keep_alive` is called between slow statements, so that leases outlast them."""
        self._hand = hand
        self._outcome = outcome
        self._keep_alive = keep_alive

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write vectors; an error that only some rows cause (a trigger, a constraint) fails only their tasks."""
        for boxed in [s for s in settlements if s.item.claim.is_boxed]:
            self._keep_alive()
            self._store(boxed)
        self._settle([s for s in settlements if not s.item.claim.is_boxed])

    def _store(self, boxed: Settlement) -> None:
        """Each box is a transaction of its own: it is a save, with all that the project's code does at one."""
        try:
            stored = storing.store(boxed)
        except Exception as exc:
            self._split([boxed], exc)
            return
        if stored is Stored.DONE:
            self._outcome.completed += 1
        elif stored is Stored.BUSY:
            self._hand.unsettled.append(boxed)

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        try:
            settled = settlement.settle(settlements)
        except Exception as exc:
            self._split(settlements, exc)
            return
        self._outcome.completed += settled.completed
        self._hand.unsettled += settled.busy
        logger.debug("Settled tasks.", extra={"tasks": len(settlements), "completed": settled.completed})

    def _split(self, settlements: Sequence[Settlement], exc: Exception) -> None:
        """What a transaction refused in one piece, in halves; a table that somebody has locked is waited for."""
        if not all(connections[using].is_usable() for using in {s.item.using for s in settlements}):
            raise exc
        if timeouts.is_lock_timeout(exc):
            self._hand.unsettled += settlements
            return
        if len(settlements) == 1:
            item = settlements[0].item
            self.fail(item.claim, exc, item.using, private=[item.text.text])
            return
        for half in halve(settlements):
            self._keep_alive()
            self.settle(half)

    def settle_again(self) -> None:
        """Try once more what others had locked."""
        self.settle(self._hand.take_unsettled())

    def give_up(self) -> None:
        """Leave what others keep locked for later."""
        for locked in self._hand.take_unsettled():
            self.fail(locked.item.claim, RowLocked(), locked.item.using)

    def fail(self, claim: Claim, exc: Exception, using: str, *, private: Sequence[str] = ()) -> None:
        """Charge an attempt for an error that is not a provider's; what the database refuses, it will refuse again.

        `private` are texts that receivers, triggers and the database may quote.
        """
        about = registry.name_of(claim.content_type_id, claim.object_id, using)
        boxed = payload.words(claim.payload) if claim.payload else []
        failure = Failure.of(exc, about=about, private=[*boxed, *private])
        if isinstance(exc, RowLocked) or timeouts.is_lock_timeout(exc):
            ledger.postpone([claim], failure, using=using)
            return
        is_final = isinstance(exc, IntegrityError | DataError | BoxError)
        self._outcome.failed += ledger.fail([claim], failure, is_final=is_final, using=using)
