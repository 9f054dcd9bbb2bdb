"""From the ledger to the columns: claim tasks, ask providers for vectors, settle.

Provider calls run on threads, up to `concurrency` at once; all database work is done by the calling thread on its one
connection, and no transaction is open while a call is awaited. The next batch is claimed and read while calls are in
flight.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from django.db import DatabaseError

from embeddings import conf, heartbeats, intake, ledger, limiter, metrics, settlement
from embeddings.batching import halve
from embeddings.calling import Answer, call
from embeddings.exceptions import (
    ConfigurationError,
    InputRejected,
    InputTooLong,
    ProviderMisconfigured,
    RateLimited,
)
from embeddings.failure import Failure
from embeddings.intake import Effect, ProviderRequest, Settlement
from embeddings.ledger import Claim
from embeddings.providers import get_provider

# Tasks that were in hand at one, two, … deaths of workers are taken in batches smaller by this factor each time, so
# that three deaths single out one task of 256.
SUSPECT_FACTOR = 16
# A text that a provider finds too long is halved at most so often before it counts as refused.
MAX_CUTS = 4
HEARTBEAT_SECONDS = 2.0
# How soon rows that somebody else had locked are tried again.
BUSY_SECONDS = 0.05


@dataclass(slots=True)
class Outcome:
    """What a drain did, in tasks."""

    claimed: int = 0
    completed: int = 0
    failed: int = 0
    rate_limited: int = 0


class Drain:
    """Works the ledger until nothing is claimable, its time is over, or it is stopped."""

    def __init__(
        self,
        worker: str,
        *,
        seconds: float = 0.0,
        stop: threading.Event | None = None,
        on_backlog: Callable[[], object] | None = None,
        has_heartbeat: bool = True,
    ) -> None:
        """`on_backlog` is called once when a claim came back full, so that idle workers can be called in."""
        self.worker = worker
        self.settings = conf.current()
        self.outcome = Outcome()
        self._deadline = time.monotonic() + seconds
        self._stop = stop or threading.Event()
        self._on_backlog = on_backlog
        self._has_heartbeat = has_heartbeat
        self._ready: deque[ProviderRequest] = deque()
        self._in_flight: dict[Future[Answer], ProviderRequest] = {}
        self._unsettled: list[Settlement] = []
        self._reported = Outcome()
        self._renewed_at = self._beaten_at = time.monotonic()

    def run(self) -> Outcome:
        """Claim and work until there is nothing left to do."""
        return self._work(self._claim)

    def run_tasks(self, ids: Collection[int], using: str) -> Outcome:
        """Work exactly these tasks."""
        claims = ledger.claim_ids(ids, worker=self.worker, using=using)
        self._take(claims, using)
        return self._work(lambda: 0)

    def _work(self, claim_more: Callable[[], int]) -> Outcome:
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="embed") as pool:
            try:
                while True:
                    self._submit(pool)
                    claimed = 0 if self._ready else claim_more()
                    self._submit(pool)
                    if not claimed and not self._in_hand():
                        break
                    self._collect()
                    self._settle_again()
                    self._keep_alive()
            except Exception:
                self._abandon()
                raise
        self._beat()
        return self.outcome

    def _in_hand(self) -> bool:
        return bool(self._ready or self._in_flight or self._unsettled)

    # Claiming.

    def _claim(self) -> int:
        """Claim from every open lane of every database; returns the number of tasks."""
        if self._stop.is_set() or time.monotonic() >= self._deadline:
            return 0
        if any(claim.crashes for request in self._in_flight.values() for claim in request.claims):
            return 0  # suspects are worked alone
        lanes = limiter.open_lanes(self._working_providers())
        if not lanes:
            return 0
        claimed = 0
        for using in self.settings.databases:
            ledger.promote_due(using=using)
            for lane in lanes:
                claimed += self._claim_lane(lane, using)
        return claimed

    def _working_providers(self) -> list[str]:
        """The configured providers that can be made at all; the others are paused."""
        working = []
        for alias in conf.provider_aliases():
            try:
                get_provider(alias)
            except ConfigurationError as exc:
                limiter.misconfigured(alias, str(exc))
            else:
                working.append(alias)
        return working

    def _claim_lane(self, lane: limiter.Lane, using: str) -> int:
        if lane.is_probe and self._in_hand():
            return 0
        claims = [] if self._in_hand() else self._claim_suspects(lane, using)
        if not claims:
            limit = 1 if lane.is_probe else self.settings.batch_size
            claims = ledger.claim(lane.alias, limit, worker=self.worker, using=using)
            if len(claims) == self.settings.batch_size and self._on_backlog:
                self._on_backlog()
                self._on_backlog = None
        self._take(claims, using)
        return len(claims)

    def _claim_suspects(self, lane: limiter.Lane, using: str) -> list[Claim]:
        for crashes in range(1, self.settings.max_crashes):
            limit = 1 if lane.is_probe else max(1, self.settings.batch_size // SUSPECT_FACTOR**crashes)
            claims = ledger.claim(lane.alias, limit, worker=self.worker, crashes=crashes, using=using)
            if claims:
                return claims
        return []

    def _take(self, claims: list[Claim], using: str) -> None:
        if not claims:
            return
        self.outcome.claimed += len(claims)
        taken = intake.take(claims, using)
        self._settle(taken.settlements)
        for claim, failure in taken.failures:
            self.outcome.failed += ledger.fail([claim], failure, is_final=True, using=using)
        self._ready.extend(taken.requests)

    # Calling.

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        if self._stop.is_set():
            given_back, self._ready = self._ready, deque()
            self._release(given_back)
        while self._ready and len(self._in_flight) < self.settings.concurrency:
            request = self._ready.popleft()
            self._in_flight[pool.submit(call, request)] = request

    def _collect(self) -> None:
        """Wait for the next answers, at most until something else is due."""
        if not self._in_flight:
            time.sleep(BUSY_SECONDS if self._unsettled else 0)
            return
        timeout = BUSY_SECONDS if self._unsettled else min(1.0, self.settings.lease_seconds / 4)
        done, _ = wait(self._in_flight, timeout, FIRST_COMPLETED)
        for future in done:
            del self._in_flight[future]
            self._handle(future.result())

    def _handle(self, answer: Answer) -> None:
        self._record(answer)
        alias = answer.request.provider.alias
        match answer.error:
            case None:
                limiter.succeeded(alias)
                self._settle(_settlements(answer))
            case RateLimited() as error:
                self._defer(answer.request, error)
            case InputRejected() as error:
                limiter.succeeded(alias)
                self._isolate(answer.request, error)
            case ProviderMisconfigured() as error:
                limiter.misconfigured(alias, str(error))
                self._release([answer.request, *self._ready_for(alias)])
            case error:
                self._retry_later(answer.request, error)

    def _record(self, answer: Answer) -> None:
        metrics.record_call(
            answer.request.provider,
            inputs=len(answer.request.texts),
            tokens=answer.embedded.tokens if answer.embedded else None,
            seconds=answer.seconds,
            outcome="ok" if answer.error is None else Failure.of(answer.error).kind,
            worker=self.worker,
        )

    # What becomes of a request that did not give vectors.

    def _defer(self, request: ProviderRequest, error: RateLimited) -> None:
        """The whole provider cools down; what is ready for it waits together and in order."""
        until = limiter.rate_limited(request.provider.alias, error.retry_after, str(error))
        for deferred in [request, *self._ready_for(request.provider.alias)]:
            count = ledger.defer(deferred.claims, until, Failure.of(error), using=deferred.using)
            self.outcome.rate_limited += count

    def _isolate(self, request: ProviderRequest, error: InputRejected) -> None:
        """Halve the request down to the guilty text; only that one fails, at once."""
        if len(request.texts) > 1:
            first, _ = halve(request.texts)
            self._ready.appendleft(request.part(len(first), len(request.texts)))
            self._ready.appendleft(request.part(0, len(first)))
        elif isinstance(error, InputTooLong) and request.cuts < MAX_CUTS:
            cut = request.texts[0][: len(request.texts[0]) // 2]
            self._ready.appendleft(
                ProviderRequest(request.provider, request.using, (cut,), request.items, request.cuts + 1)
            )
        else:
            self._fail(request, Failure.of(error), is_final=True)

    def _retry_later(self, request: ProviderRequest, error: Exception) -> None:
        if limiter.transient_failure(request.provider.alias, str(error)):
            self._release([request, *self._ready_for(request.provider.alias)])
        else:
            self._fail(request, Failure.of(error), is_final=False)

    def _fail(self, request: ProviderRequest, failure: Failure, *, is_final: bool) -> None:
        self.outcome.failed += ledger.fail(request.claims, failure, is_final=is_final, using=request.using)

    def _release(self, requests: Iterable[ProviderRequest]) -> None:
        for request in requests:
            ledger.release(request.claims, using=request.using)

    def _abandon(self) -> None:
        """Give back what is in hand before an error ends the drain; where that fails too, the leases run out."""
        with contextlib.suppress(DatabaseError):
            for using, claims in self._held().items():
                ledger.release(claims, using=using)

    def _ready_for(self, alias: str) -> list[ProviderRequest]:
        """Remove and return the requests that are ready for one provider."""
        mine = [request for request in self._ready if request.provider.alias == alias]
        self._ready = deque(request for request in self._ready if request.provider.alias != alias)
        return mine

    # Settling.

    def _settle(self, settlements: list[Settlement]) -> None:
        if settlements:
            settled = settlement.settle(settlements)
            self.outcome.completed += settled.completed
            self._unsettled += settled.busy

    def _settle_again(self) -> None:
        waiting, self._unsettled = self._unsettled, []
        if waiting and self._stop.is_set():
            for one in waiting:
                ledger.release([one.item.claim], using=one.item.using)
        else:
            self._settle(waiting)

    # Signs of life.

    def _keep_alive(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at > self.settings.lease_seconds / 4:
            self._renewed_at = now
            self._renew()
        if now - self._beaten_at > HEARTBEAT_SECONDS:
            self._beaten_at = now
            self._beat()

    def _renew(self) -> None:
        for using, claims in self._held().items():
            ledger.renew({claim.token for claim in claims}, using=using)

    def _held(self) -> dict[str, list[Claim]]:
        """All tasks in hand, by database."""
        held: dict[str, list[Claim]] = defaultdict(list)
        for request in [*self._ready, *self._in_flight.values()]:
            held[request.using] += request.claims
        for waiting in self._unsettled:
            held[waiting.item.using].append(waiting.item.claim)
        return held

    def _beat(self) -> None:
        if not self._has_heartbeat:
            return
        done, reported = self.outcome, self._reported
        heartbeats.beat(
            self.worker,
            claimed=sum(len(claims) for claims in self._held().values()),
            completed=done.completed - reported.completed,
            failed=done.failed - reported.failed,
            rate_limited=done.rate_limited - reported.rate_limited,
        )
        self._reported = Outcome(done.claimed, done.completed, done.failed, done.rate_limited)


def _settlements(answer: Answer) -> list[Settlement]:
    """One settlement an item; the tokens that were paid are shared out by estimate, equal texts paid for once."""
    request, embedded = answer.request, answer.embedded
    assert embedded is not None
    estimated = sum(same[0].text.tokens for same in request.items)
    settlements = []
    for same, vector in zip(request.items, embedded.vectors, strict=True):
        for copy, item in enumerate(same):
            paid = None if embedded.tokens is None else round(embedded.tokens * item.text.tokens / estimated)
            settlements.append(
                Settlement(item, Effect.WRITE, vector, 0 if copy and paid else paid, truncated=request.cuts > 0)
            )
    return settlements
