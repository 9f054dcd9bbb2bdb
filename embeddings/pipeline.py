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
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from django.db import DatabaseError, DataError, IntegrityError, connections

from embeddings import conf, heartbeats, intake, ledger, limiter, metrics, remedies, selection, settlement
from embeddings.batching import halve
from embeddings.calling import Answer, call
from embeddings.exceptions import RowLocked
from embeddings.failure import Failure
from embeddings.intake import ProviderRequest, Settlement
from embeddings.ledger import Claim

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
        """Work exactly these tasks, as far as their providers may be called now."""
        providers = [lane.alias for lane in selection.open_lanes()]
        claims = ledger.claim_ids(ids, providers, worker=self.worker, using=using)
        self._take(claims, using)
        return self._work(lambda: 0)

    def _work(self, claim_more: Callable[[], int]) -> Outcome:
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="embed") as pool:
            try:
                while True:
                    self._release_blocked()
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

    def _claim(self) -> int:
        """Claim from every open lane of every database; returns the number of tasks."""
        if self._stop.is_set() or time.monotonic() >= self._deadline:
            return 0
        if any(claim.crashes for request in self._in_flight.values() for claim in request.claims):
            return 0  # suspects are worked alone
        lanes = selection.open_lanes()
        if not lanes:
            return 0
        for using in self.settings.databases:
            ledger.promote_due(using=using)
        if not self._in_hand():
            claims, using = selection.suspects(lanes, worker=self.worker)
            if claims:
                self._take(claims, using)
                return len(claims)
        return self._claim_batches(lanes)

    def _claim_batches(self, lanes: list[limiter.Lane]) -> int:
        busy = {request.provider.alias for request in [*self._ready, *self._in_flight.values()]}
        claimed = 0
        for claims, using in selection.next_batches(lanes, busy=busy, worker=self.worker):
            claimed += len(claims)
            if len(claims) == self.settings.batch_size and self._on_backlog:
                self._on_backlog()
                self._on_backlog = None
            self._take(claims, using)
        return claimed

    def _take(self, claims: Sequence[Claim], using: str) -> None:
        self.outcome.claimed += len(claims)
        try:
            self._read(claims, using)
        except DatabaseError:
            ledger.release(claims, using=using)
            raise

    def _read(self, claims: Sequence[Claim], using: str) -> None:
        """Read the tasks' texts; an error that only some of them cause fails only those."""
        if not claims:
            return
        try:
            taken = intake.take(claims, using)
        except Exception as exc:
            if not connections[using].is_usable():
                raise
            if len(claims) == 1:
                self._fail(claims[0], exc, using)
                return
            for half in halve(claims):
                self._read(half, using)
            return
        self._settle(taken.settlements)
        for postponed, failure in taken.postponed:
            ledger.postpone(postponed, failure, using=using)
        for claim, failure in taken.failures:
            self.outcome.failed += ledger.fail([claim], failure, is_final=True, using=using)
        self._ready.extend(taken.requests)

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        if self._stop.is_set():
            given_back, self._ready = self._ready, deque()
            remedies.release(given_back)
        while self._ready and len(self._in_flight) < self.settings.concurrency:
            request = self._ready.popleft()
            self._in_flight[pool.submit(call, request)] = request

    def _release_blocked(self) -> None:
        """Give back what is ready for a provider that, as another worker has found, is not to be called now."""
        aliases = {request.provider.alias for request in self._ready}
        if aliases and len(self._in_flight) < self.settings.concurrency:
            for alias in aliases.difference(lane.alias for lane in limiter.open_lanes(aliases)):
                remedies.release(self._take_ready(alias))

    def _collect(self) -> None:
        """Wait for the next answers, at most until something else is due; handle all there are."""
        if not self._in_flight:
            time.sleep(BUSY_SECONDS if self._unsettled else 0)
            return
        timeout = BUSY_SECONDS if self._unsettled else min(1.0, self.settings.lease_seconds / 4)
        done, _ = wait(self._in_flight, timeout, FIRST_COMPLETED)
        while done:
            for future in done:
                self._handle(future.result())
                del self._in_flight[future]
            # One of them may say that no more requests are to be sent.
            done = {future for future in self._in_flight if future.done()}

    def _handle(self, answer: Answer) -> None:
        self._record(answer)
        alias = answer.request.provider.alias
        if answer.error is None:
            limiter.succeeded(alias)
            self._settle(answer.settlements())
        else:
            done = remedies.remedy(answer.request, answer.error, lambda: self._take_ready(alias))
            self.outcome.failed += done.failed
            self.outcome.rate_limited += done.rate_limited
            self._ready.extend(done.again)

    def _record(self, answer: Answer) -> None:
        metrics.record_call(
            answer.request.provider,
            inputs=len(answer.request.texts),
            tokens=answer.embedded.tokens if answer.embedded else None,
            seconds=answer.seconds,
            outcome="ok" if answer.error is None else Failure.of(answer.error).kind,
            worker=self.worker,
        )

    def _abandon(self) -> None:
        """Give back what is in hand before an error ends the drain; where that fails too, the leases run out."""
        with contextlib.suppress(DatabaseError):
            for using, claims in self._held().items():
                ledger.release(claims, using=using)

    def _take_ready(self, alias: str) -> list[ProviderRequest]:
        """Remove and return the requests that are ready for one provider."""
        mine = [request for request in self._ready if request.provider.alias == alias]
        self._ready = deque(request for request in self._ready if request.provider.alias != alias)
        return mine

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        """Write vectors; an error that only some rows cause (a trigger, a constraint) fails only their tasks."""
        if not settlements:
            return
        try:
            settled = settlement.settle(settlements)
        except DatabaseError as exc:
            if not all(connections[using].is_usable() for using in {s.item.using for s in settlements}):
                raise
            if len(settlements) == 1:
                item = settlements[0].item
                self._fail(item.claim, exc, item.using)
                return
            for half in halve(settlements):
                self._settle(half)
            return
        self.outcome.completed += settled.completed
        self._unsettled += settled.busy

    def _fail(self, claim: Claim, exc: Exception, using: str) -> None:
        """Charge an attempt for an error that is not a provider's; what the database refuses, it will refuse again."""
        if isinstance(exc, RowLocked):
            ledger.postpone([claim], Failure.of(exc), using=using)
            return
        is_final = isinstance(exc, IntegrityError | DataError)
        self.outcome.failed += ledger.fail([claim], Failure.of(exc), is_final=is_final, using=using)

    def _settle_again(self) -> None:
        """Try once more what others had locked; when time is up, give it back or postpone it."""
        waiting, self._unsettled = self._unsettled, []
        self._settle(waiting)
        if not self._stop.is_set() and time.monotonic() < self._deadline:
            return
        waiting, self._unsettled = self._unsettled, []
        for item in (locked.item for locked in waiting):
            if self._stop.is_set():
                ledger.release([item.claim], using=item.using)
            else:
                self._fail(item.claim, RowLocked(), item.using)

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
        for using in self.settings.databases:
            ledger.rescue(using=using)  # The parent sweeps only while no job runs.

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
