"""How many requests to a provider one drain keeps in flight: between 1 and CONCURRENCY, learned from its answers.

As TCP finds its speed (RFC 5681): one request at first, then one more with each answer; after a refusal half as many,
and from there on one more with each round of answers. Answers that take much longer than that to a request alone say
that what is sent beside it only waits: then there are to be fewer, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from embeddings import conf, limiter
from embeddings.exceptions import RateLimited
from embeddings.pipeline.calling import Answer

# Answers may take so many times as long as alone before there are fewer requests, and as few as this share of them.
TOLERANCE = 2.0
FEWER = 0.75
# What is quicker is taken for as long as this: below it, the differences are this machine's.
LEAST_SECONDS = 0.05
# The part that the latest answer has in an average.
WEIGHT = 0.3


@dataclass(slots=True)
class InFlight:
    """Of one provider. Times are of the monotonic clock."""

    # From here on there is one more with each round only.
    threshold: float = math.inf
    _limit: float = 1.0
    # Seconds that an answer takes if nothing else is in flight, by the size of its request (the bits of its tokens).
    _alone: dict[int, float] = field(default_factory=dict)
    # How many times as long answers take now, on average.
    _slowness: float = 1.0
    _lowered_at: float = -math.inf

    @property
    def limit(self) -> int:
        """How many there may be."""
        return max(1, min(int(self._limit), conf.current().concurrency))

    def answered(self, tokens: int, seconds: float, in_flight: int) -> None:
        """Learn from an answer; `in_flight` requests, this one too, waited for one until now."""
        size = tokens.bit_length()
        alone = self._alone.setdefault(size, seconds)
        if in_flight == 1:
            self._alone[size] = alone = alone + WEIGHT * (seconds - alone)
        ratio = max(seconds, LEAST_SECONDS) / max(alone, LEAST_SECONDS)
        self._slowness += WEIGHT * (ratio - self._slowness)
        if self._slowness > TOLERANCE:
            self._lower(FEWER, seconds)
        elif in_flight >= self.limit:
            more = self._limit + (1.0 if self._limit < self.threshold else 1.0 / self._limit)
            self._limit = min(more, float(conf.current().concurrency))

    def refused(self, seconds: float) -> None:
        """Learn from a refusal to a request that was sent so many seconds ago."""
        self._lower(0.5, seconds)

    def _lower(self, share: float, seconds: float) -> None:
        """Once for all that was sent before."""
        if time.monotonic() - seconds < self._lowered_at:
            return
        self._lowered_at = time.monotonic()
        self._limit = self.threshold = max(1.0, share * min(self._limit, float(conf.current().concurrency)))
        self._slowness = 1.0


class InFlightLimits:
    """Those of one drain. What refusals have taught one is remembered for the next, of any worker."""

    def __init__(self, in_flight: Callable[[str], int]) -> None:
        """`in_flight` tells how many requests to a provider, by its alias, have no answer yet."""
        self._in_flight = in_flight
        self._of: dict[str, InFlight] = {}

    def has_room(self, alias: str) -> bool:
        """Whether one more may be sent to the provider."""
        return self._in_flight(alias) < self._get(alias).limit

    def learn(self, answer: Answer) -> None:
        """Learn from what a provider has answered, before the request is counted as answered."""
        alias = answer.request.provider.alias
        mine = self._get(alias)
        if answer.embedded is not None:
            mine.answered(answer.request.tokens, answer.seconds, self._in_flight(alias))
        elif isinstance(answer.error, RateLimited) or (answer.pong and answer.pong.error):
            mine.refused(answer.seconds)
            limiter.remember_in_flight(alias, int(mine.threshold))

    def _get(self, alias: str) -> InFlight:
        if alias not in self._of:
            self._of[alias] = InFlight(limiter.remembered_in_flight(alias) or math.inf)
        return self._of[alias]
