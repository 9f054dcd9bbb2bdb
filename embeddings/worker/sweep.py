"""What a worker does between its jobs: signs of life, due tasks, expired leases, lost pokes, counts, old records."""

from __future__ import annotations

import time

from embeddings import (
    alerts,
    cleanup,
    conf,
    heartbeats,
    jobs,
    ledger,
    limiter,
    live,
    metrics,
    pauses,
    registry,
    timeouts,
    webhooks,
)
from embeddings.pipeline import selection
from embeddings.worker.databases import errors_logged
from embeddings.worker.patience import ANSWER_SECONDS

HEARTBEAT_SECONDS = 5.0
NEVER = float("-inf")


class Sweep:
    """The sweep of one worker process. Times are of the monotonic clock; leases are judged by the database's."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._is_born = self._may_have_leftovers = False
        self._swept_at = self._beaten_at = self._cleaned_at = self._rescues_from = NEVER

    def is_due(self) -> bool:
        return self._may_have_leftovers or time.monotonic() - self._swept_at >= conf.current().sweep_seconds

    def job_ended(self) -> None:
        """The worker has nothing in hand now. What its job could not give back, without a database, is left over."""
        self._may_have_leftovers = True

    def run(self, *, is_coalesced: bool = True) -> None:
        """Make due tasks claimable, free those of dead workers, and poke if anything can be claimed."""
        self._swept_at = time.monotonic()
        with errors_logged(self._database_failed), timeouts.bounded(conf.current().databases):
            self._beat()  # First: who looks for the dead has shown that it lives.
            live.refresh(max_age_seconds=0)
            self._free()
            metrics.hand_over()
            pauses.end_due()
            self._poke(is_coalesced=is_coalesced)
            self._poke_operator(is_coalesced=is_coalesced)
            self._poke_deliverer(is_coalesced=is_coalesced)
            alerts.keep_watch()
            self._clean_up()

    def _beat(self) -> None:
        if not self._is_born:
            heartbeats.born(self.worker)
            _adopt_strays()
            self._is_born = True
        elif self._may_have_leftovers or time.monotonic() - self._beaten_at >= HEARTBEAT_SECONDS:
            heartbeats.idle(self.worker)
        else:
            return
        self._beaten_at = time.monotonic()

    def _free(self) -> None:
        databases = conf.current().databases
        for using in databases:
            ledger.promote_due(using=using)
        if time.monotonic() < self._rescues_from:
            return
        for using in databases:
            if self._may_have_leftovers:
                ledger.rescue(worker=self.worker, is_crash=False, using=using)
            ledger.rescue(using=using)
        self._may_have_leftovers = False

    def _database_failed(self) -> None:
        """After an outage of the database all leases look expired, although their workers live and will soon say so."""
        self._rescues_from = time.monotonic() + 2 * HEARTBEAT_SECONDS
        self._may_have_leftovers = True

    def _poke(self, *, is_coalesced: bool) -> None:
        aliases = conf.provider_aliases()
        lanes = selection.lanes_with([*limiter.open_lanes(aliases), *limiter.due_probes(aliases)])
        if any(ledger.has_claimable(lanes, using=using) for using in conf.current().databases):
            jobs.poke(is_coalesced=is_coalesced, patience_seconds=ANSWER_SECONDS)

    def _poke_operator(self, *, is_coalesced: bool) -> None:
        settings = conf.current()
        if settings.enabled and any(pauses.open_operations(using).exists() for using in settings.databases):
            jobs.poke_operator(is_coalesced=is_coalesced, patience_seconds=ANSWER_SECONDS)

    def _poke_deliverer(self, *, is_coalesced: bool) -> None:
        if webhooks.are_due():
            jobs.poke_deliverer(is_coalesced=is_coalesced, patience_seconds=ANSWER_SECONDS)

    def _clean_up(self) -> None:
        if time.monotonic() - self._cleaned_at >= conf.current().cleanup_interval_hours * 3600:
            self._cleaned_at = time.monotonic()
            if cleanup.clean_up() >= cleanup.MOST:
                self._cleaned_at = NEVER  # There is more: it goes on with the next sweep.


def _adopt_strays() -> None:
    """The settings may name another provider for a field than when its tasks were requested."""
    for using in conf.current().databases:
        for target in registry.all_derived():
            ledger.adopt(target.content_type_id(using), target.field, target.provider, using=using)
