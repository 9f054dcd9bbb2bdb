"""The loop of one job.

Provider calls run on threads, up to `concurrency` at once; all database work is done by the calling thread on its one
connection, and no transaction is open while a call is awaited. The next batch is claimed and read while calls are in
flight.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection

from django.db import DatabaseError

from embeddings import conf, heartbeats, ledger, limiter, live, logs, metrics, quotas, timeouts
from embeddings.failure import Failure
from embeddings.pipeline import remedies, selection
from embeddings.pipeline.calling import Answer, Calls, Pong
from embeddings.pipeline.claiming import Claimer
from embeddings.pipeline.finishing import Finisher
from embeddings.pipeline.hand import Hand, Outcome
from embeddings.pipeline.reading import Reader
from embeddings.pipeline.sending import Sender
from embeddings.pipeline.splitting import Splitter
from embeddings.providers import Provider, get_provider

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
# How soon rows that somebody else had locked are tried again.
BUSY_SECONDS = 0.05
# A drain that was asked to stop looks so often whether it has to hurry.
HURRY_SECONDS = 0.1


def _never() -> bool:
    return False


class Drain:
    """Works the ledger until nothing is claimable, its time is over, or it is stopped."""

    def __init__(
        self,
        worker: str,
        *,
        seconds: float = 0.0,
        stop: Callable[[], bool] = _never,
        hurry: Callable[[], bool] = _never,
        on_backlog: Callable[[], object] | None = None,
        has_heartbeat: bool = True,
    ) -> None:
        """`stop` says that nothing new is to be begun, `hurry` that nothing in flight is to be waited for.

        `on_backlog` is called once when a claim came back full, so that idle workers can be called in.
        """
        self.worker = worker
        self.settings = conf.current()
        self.outcome = Outcome()
        self._deadline = time.monotonic() + seconds
        self._stop = stop
        self._hurry = hurry
        self._stopped_at: float | None = None
        self._has_heartbeat = has_heartbeat
        self._hand = Hand(Calls())
        self._finisher = Finisher(self._hand, self.outcome, self._keep_alive)
        self._splitter = Splitter(self._hand, self.outcome, self._finisher, self._keep_alive, self._is_over)
        self._reader = Reader(self._hand, self.outcome, self._finisher, self._splitter, self._keep_alive)
        self._claimer = Claimer(worker, self._hand, self._reader, on_backlog)
        self._sender = Sender(self._hand, self.outcome)
        self._reported = Outcome()
        self._renewed_at = self._beaten_at = time.monotonic()

    def run(self) -> Outcome:
        """Claim and work until there is nothing left to do."""
        return self._work(self._claim)

    def run_tasks(self, ids: Collection[int], using: str) -> Outcome:
        """Work exactly these tasks, and those of chunks that come of them, as far as their providers may be called."""
        waiting = list(ids)

        def claim_once() -> int:
            waiting.extend(self._splitter.take_requested())
            if self._is_over() or not waiting or self._hand.ready:  # A provider that is busy now is so for a moment.
                return 0
            lanes = self._lanes()
            if self._hand.calls.pinged:
                return 0
            claims = ledger.claim_ids(waiting, lanes, worker=self.worker, using=using)
            waiting.clear()
            self._reader.read(claims, using)
            return len(claims)

        return self._work(claim_once)

    def _work(self, claim_more: Callable[[], int]) -> Outcome:
        try:
            with logs.bound(worker=self.worker), timeouts.bounded(self.settings.databases):
                while self._goes_on(claim_more):
                    pass
                self._beat()
                metrics.hand_over(is_last=True)
        except BaseException:
            with contextlib.suppress(DatabaseError):  # The leases run out.
                self._let_go()
            raise
        finally:
            self._hand.calls.end()
        return self.outcome

    def _goes_on(self, claim_more: Callable[[], int]) -> bool:
        """A step; a statement that took too long, or waited too long for a lock, does not end the drain."""
        try:
            return self._step(claim_more)
        except DatabaseError as exc:
            if not timeouts.is_timeout(exc):
                raise
            logger.warning("Worker %s tries again: %s", self.worker, Failure.of(exc).message)
            self._leave_unread()
            self._keep_alive()
            if self._is_grace_over():
                raise
            return True

    def _leave_unread(self) -> None:
        """Give back the tasks whose reading broke off."""
        (using, claims), self._hand.reading = self._hand.reading, ("", ())
        kept = {claim.id for claim in self._hand.claims().get(using, ())}
        if unread := [claim for claim in claims if claim.id not in kept]:
            with contextlib.suppress(DatabaseError):  # Their leases run out.
                ledger.release(unread, using=using)

    def _step(self, claim_more: Callable[[], int]) -> bool:
        """One turn of the loop; returns whether there is to be another."""
        self._send()
        claimed = 0 if self._sender.has_request() else claim_more()
        self._send()
        if not claimed and not self._hand and (self._is_over() or not self._hand.calls):
            return False  # Who pings a provider that hangs waits no longer for it than for work.
        if self._is_grace_over():
            self._let_go()
            return False
        self._collect(0.0 if claimed and self._hand.calls.has_room else self._patience())
        self._settle_again()
        self._keep_alive()
        return True

    # Claiming.

    def _claim(self) -> int:
        """Claim from every open lane of every database; returns the number of tasks."""
        if self._is_over():
            return 0
        lanes = self._lanes()
        if not lanes:
            return 0
        for using in self.settings.databases:
            ledger.promote_due(using=using)
        return self._claimer.claim(lanes)

    def _is_over(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._stop() or time.monotonic() >= self._deadline

    def _lanes(self) -> list[str]:
        """The lanes to claim from now. Providers whose circuit is open are pinged when it is time to."""
        working = selection.working_providers()
        for alias in limiter.due_probes(working):
            if alias not in self._hand.calls.pinged and limiter.take_probe(alias):
                self._hand.calls.ping(get_provider(alias))
        return selection.lanes_with(filter(self._sender.wants, limiter.open_lanes(working)))

    # Calling.

    def _send(self) -> None:
        self._sender.release_blocked()
        if self._stop():
            self._sender.release_all()
        self._sender.send()

    def _patience(self) -> float:
        """Seconds until something else is due than the next answer."""
        patience = min(1.0, self.settings.lease_seconds / 4, self._sender.rest_seconds())
        if self._stop():
            patience = min(patience, HURRY_SECONDS)
        return min(patience, BUSY_SECONDS) if self._hand.is_waiting else patience

    def _collect(self, seconds: float) -> None:
        """Wait for the next answers, at most so long; handle all there are."""
        if not self._hand.calls:
            time.sleep(seconds if self._hand else 0)
            return
        for answer in self._hand.calls.wait(seconds):
            if isinstance(answer, Pong):
                self._record_ping(answer)
                remedies.learn(answer)
            else:
                with logs.bound(provider=answer.request.provider.alias, request=answer.request.number):
                    self._handle(answer)
                self._sender.limits.learn(answer)

    def _handle(self, answer: Answer) -> None:
        provider, embedded = answer.request.provider, answer.embedded
        tokens = embedded.tokens if embedded else None
        self._finisher.settle(answer.settlements() if embedded else [])  # Before anything that could go wrong.
        self._record(provider, len(answer.request.texts), answer.seconds, answer.error, tokens)
        if answer.pong:
            self._record_ping(answer.pong)
        if embedded is None:
            done = remedies.remedy(answer, lambda: self._hand.take_ready(provider.alias))
            self.outcome.failed += done.failed
            self.outcome.rate_limited += done.rate_limited
            self._hand.ready.extend(done.again)
            return
        limiter.succeeded(provider.alias)
        quotas.correct(provider, estimated=answer.request.tokens, actual=embedded.tokens)
        left = quotas.seconds_to_wait(embedded.requests_left, 1)
        left = max(left, quotas.seconds_to_wait(embedded.tokens_left, answer.request.tokens))
        if left:
            self._sender.let_rest(provider, left)

    def _record_ping(self, pong: Pong) -> None:
        quotas.spend(pong.provider, 1)
        self._record(pong.provider, 1, pong.seconds, pong.error, None)

    def _record(
        self, provider: Provider, inputs: int, seconds: float, error: Exception | None, tokens: int | None
    ) -> None:
        outcome = "ok" if error is None else Failure.of(error).kind
        metrics.record_call(
            provider, inputs=inputs, tokens=tokens, seconds=seconds, outcome=outcome, worker=self.worker
        )

    # Staying and leaving.

    def _settle_again(self) -> None:
        """Try once more what others had locked; when time is up, give it back or leave it for later."""
        self._finisher.settle_again()
        self._splitter.write_again()
        if self._stop():
            for waiting in self._hand.take_unsettled():
                ledger.release([waiting.item.claim], using=waiting.item.using)
            for split in self._hand.take_unwritten():
                ledger.release([split.claim], using=split.using)
        elif time.monotonic() >= self._deadline:
            self._finisher.give_up()
            self._splitter.give_up()

    def _is_grace_over(self) -> bool:
        """Whether what is in flight is not to be waited for any longer."""
        if self._hurry():
            return True
        if not self._stop():
            return False
        self._stopped_at = self._stopped_at or time.monotonic()
        return time.monotonic() - self._stopped_at >= self.settings.grace_seconds

    def _let_go(self) -> None:
        """Give back all that is in hand; answers that still come are dropped."""
        for using, claims in self._hand.claims().items():
            ledger.release(claims, using=using)

    def _keep_alive(self) -> None:
        """Renew leases and beat, when it is time to."""
        now = time.monotonic()
        try:
            if now - self._renewed_at > self.settings.lease_seconds / 4:
                self._renewed_at = now
                self._renew()
            if now - self._beaten_at > HEARTBEAT_SECONDS:
                self._beaten_at = now
                self._beat()
        except DatabaseError as exc:
            if not timeouts.is_timeout(exc):
                raise
            logger.warning("Worker %s could not report: %s", self.worker, Failure.of(exc).message)

    def _renew(self) -> None:
        for using, claims in self._hand.claims().items():
            ledger.renew({claim.token for claim in claims}, using=using)
        for using in self.settings.databases:
            ledger.rescue(using=using)  # The parent sweeps only while no job runs.

    def _beat(self) -> None:
        metrics.hand_over()
        if not self._has_heartbeat:
            return
        live.refresh()
        done, reported = self.outcome, self._reported
        heartbeats.beat(
            self.worker,
            claimed=sum(len(claims) for claims in self._hand.claims().values()),
            completed=done.completed - reported.completed,
            failed=done.failed - reported.failed,
            rate_limited=done.rate_limited - reported.rate_limited,
        )
        self._reported = Outcome(done.claimed, done.completed, done.failed, done.rate_limited)
