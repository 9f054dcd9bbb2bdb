"""Requests and tokens a minute, as token buckets, with OpenAI's headers; and who came back too early."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.openai_server.protocol import Refused


@dataclass
class Bucket:
    """Fills at `per_minute` / 60 a second up to `capacity`."""

    per_minute: float
    capacity: float
    level: float
    filled_at: float

    def fill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.filled_at) * self.per_minute / 60)
        self.filled_at = now

    def wait_seconds(self, amount: float) -> float:
        """How long until `amount` can be taken; infinite if it never can."""
        if amount > self.capacity:
            return math.inf
        return max(0.0, (amount - self.level) * 60 / self.per_minute)


@dataclass(frozen=True)
class Violation:
    """A request that came `early_seconds` before the wait it was given was over, `after_seconds` into that wait."""

    after_seconds: float
    early_seconds: float


class Quotas:
    """`burst_seconds` is how much of a minute's quota may be used at once: OpenAI allows all 60.

    A request that was on its way when another was refused is not a violation: `grace_seconds` after it.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        *,
        burst_seconds: float = 60.0,
        grace_seconds: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        now = clock()
        given = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._buckets = {
            name: Bucket(per_minute, capacity := max(1.0, per_minute * burst_seconds / 60), capacity, now)
            for name, per_minute in given.items()
            if per_minute is not None
        }
        self._refused_at = self._blocked_until = -math.inf
        self.violations: list[Violation] = []

    def arrive(self) -> None:
        """A request came: was it told to wait?"""
        with self._lock:
            now = self._clock()
            if self._refused_at + self._grace_seconds < now < self._blocked_until:
                self.violations.append(Violation(now - self._refused_at, self._blocked_until - now))

    def told_to_wait(self, seconds: float) -> None:
        """An answer said: not before so many seconds."""
        with self._lock:
            self._block(seconds)

    def take(self, tokens: int) -> dict[str, str]:
        """Use one request and `tokens`; returns the headers that tell what is left. Raises Refused (429)."""
        with self._lock:
            now = self._clock()
            amounts = {name: 1 if name == "requests" else tokens for name in self._buckets}
            for name, bucket in self._buckets.items():
                bucket.fill(now)
                if wait := bucket.wait_seconds(amounts[name]):
                    raise self._refusal(name, bucket, amounts[name], wait)
            for name, bucket in self._buckets.items():
                bucket.level -= amounts[name]
            return self._headers()

    def _block(self, seconds: float) -> None:
        now = self._clock()
        if now >= self._blocked_until:
            self._refused_at = now
        self._blocked_until = max(self._blocked_until, now + seconds)

    def _refusal(self, name: str, bucket: Bucket, amount: float, wait: float) -> Refused:
        quota = f"on {name} per min: Limit {bucket.per_minute:g}, Requested {amount:g}"
        if math.isinf(wait):
            message = f"Request too large {quota}. The input or output tokens must be reduced in order to run."
            return Refused(429, message, kind=name, code="rate_limit_exceeded", headers=self._headers())
        self._block(wait)
        milliseconds = math.ceil(wait * 1000)
        waits = {"retry-after-ms": str(milliseconds), "retry-after": str(math.ceil(wait))}
        message = f"Rate limit reached {quota}. Please try again in {milliseconds}ms."
        return Refused(429, message, kind=name, code="rate_limit_exceeded", headers={**self._headers(), **waits})

    def _headers(self) -> dict[str, str]:
        headers = {}
        for name, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{name}"] = f"{bucket.per_minute:g}"
            headers[f"x-ratelimit-remaining-{name}"] = str(int(bucket.level))
            headers[f"x-ratelimit-reset-{name}"] = f"{math.ceil(bucket.wait_seconds(bucket.capacity) * 1000)}ms"
        return headers
