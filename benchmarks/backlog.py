"""Tasks that wait, by the million, and what a worker does with them, each step timed alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy
from django.db import connections, transaction

from benchmarks import indexes
from benchmarks.models import DIMENSIONS, EmbeddedPage
from benchmarks.rounds import seconds_of
from embeddings import bulk, ledger, registry
from embeddings.ledger import Claim, Completion
from embeddings.models import EmbeddingTask, Status
from embeddings.pipeline import intake, settlement
from embeddings.pipeline.intake import Effect, Settlement

BATCH = 500
SQL = Path(__file__).with_suffix(".sql").read_text()
# Of new objects, above those of `fill`.
FIRST_KEY = 100_000_000


class Backlog:
    """Our ledger in the database `using`."""

    def __init__(self, using: str) -> None:
        self._using = using
        (self._target,) = registry.targets_for(EmbeddedPage)
        self._keys = itertools.count(FIRST_KEY)

    def fill(self, tasks: int, *, pages: int) -> None:
        """Tasks of EmbeddedPage that wait, in an empty ledger; the first `pages` have their rows."""
        content_type = self._target.content_type_id(self._using)
        with connections[self._using].cursor() as cursor:
            with indexes.dropped(cursor, EmbeddingTask._meta.db_table):
                cursor.execute(SQL, {"tasks": tasks, "pages": pages, "content_type": content_type})
            # The statistics that autovacuum would have.
            cursor.execute("VACUUM (ANALYZE)")

    def claim_seconds(self) -> float:
        """Of one claim; as much comes to the end of the line."""
        claims: list[Claim] = []
        seconds = seconds_of(lambda: claims.extend(self._claim()))
        self._end(claims)
        self._request(BATCH)
        return seconds

    def end_seconds(self) -> float:
        """Of ending the tasks of one claim in the ledger: locks, statuses, attempts."""
        claims = self._claim()
        seconds = seconds_of(lambda: self._end(claims))
        self._request(BATCH)
        return seconds

    def request_seconds(self, times: int = 100) -> float:
        """Of the ledger's statement in the save of a new object, on average."""
        return seconds_of(lambda: [self._request(1) for _ in range(times)]) / times

    def settle_seconds(self) -> float:
        """Of settling one claim: rows and tasks locked, vectors written, statuses, attempts."""
        settlements = self._settlements(self._claim())
        return seconds_of(lambda: settlement.settle(settlements))

    def turn(self, batches: int) -> None:
        """Claim and end so many batches: the ledger alone, without texts, provider or vectors."""
        for _ in range(batches):
            self._end(self._claim())

    def _claim(self) -> Sequence[Claim]:
        claims = ledger.claim("default", BATCH, worker="benchmark", using=self._using)
        assert len(claims) == BATCH, f"{len(claims)} tasks were claimed."
        return claims

    def _end(self, claims: Sequence[Claim]) -> None:
        with transaction.atomic(using=self._using):
            held = ledger.lock(claims, using=self._using)
            ledger.complete(
                [Completion(key, Status.COMPLETED, "f" * 64, 25, 25, False) for key in held],
                model_id="l2_supercat_256",
                dimensions=DIMENSIONS,
                token=claims[0].token,
                using=self._using,
            )

    def _request(self, count: int) -> None:
        """Open the tasks of so many new objects in one statement."""
        keys = itertools.islice(self._keys, count)
        ledger.request([bulk.request_of(self._target, str(key), self._using) for key in keys], using=self._using)

    def _settlements(self, claims: Sequence[Claim]) -> list[Settlement]:
        requests = intake.take(claims, self._using).requests
        items = [item for request in requests for same in request.items for item in same]
        assert len(items) == len(claims), "Some claimed tasks have no row."
        return [
            Settlement(item, Effect.WRITE, vector, 25) for item, vector in zip(items, vectors(len(items)), strict=True)
        ]


@cache
def vectors(count: int) -> list[Any]:
    """As the local provider makes them: float32 arrays."""
    return list(numpy.random.default_rng(1).normal(size=(count, DIMENSIONS)).astype("float32"))
