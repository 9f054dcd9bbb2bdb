"""The ledger against a plain model of its rules: anything in any order, the whole table compared after every step.

For more than the part of it in `make test`, and to have a failure that was found made short:

    LEDGER_STEPS=100000 make test ARGS=tests/integration/test_ledger_machine.py
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import hypothesis
import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from embeddings import heartbeats, ledger
from embeddings.failure import Failure
from embeddings.ledger import Claim, Completion, Request
from embeddings.models import CANCELLABLE, DONE, OPEN, RETRYABLE, EmbeddingTask, TaskAttempt
from embeddings.pipeline import selection
from tests.integration import sessions
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

STEPS = int(os.environ.get("LEDGER_STEPS", 2_000))
STEPS_AN_EXAMPLE = 60
# Hypothesis is asked anew after so many: it varies what it has seen, more and more.
EXAMPLES = 15
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
if "LEDGER_STEPS" in os.environ:
    PHASES.append(Phase.shrink)  # which takes minutes

# Time passes in whole hours, and everything else takes between a quarter and three quarters of an hour more than whole
# ones: so the seconds that a test really takes never decide what is due.
HOUR = 3600
HALF = HOUR // 2
LEASE = 2 * HOUR + HALF
HEAD_STARTS = {"high": 5 * HOUR + HALF, "normal": 2 * HOUR + HOUR // 4, "low": 0}
TOLERANCE = HOUR // 5
# Up to half of it again is added by chance.
DELAY = HALF * 1.25

ALIASES = ["default", "second"]
WORKERS = ["ann", "bob"]
KEYS = ["1", "2", "3", "4"]
EXACTLY = [
    *("id", "provider", "status", "priority", "version", "attempts", "crashes"),
    *("fingerprint", "error_kind", "worker", "lease_token"),
]
TIMES = ["sort_key", "available_at", "lease_until", "claimed_at", "requested_at"]
NOTHING = "nothing"
FAILURE = Failure("transient", "TransientError", "It broke.")
QUOTA = Failure("rate_limit", "RateLimited", "Slow down.")


def status_when_done(text: str) -> str:
    return "empty" if text.startswith(NOTHING) else "completed"


@dataclass
class Row:
    """A task, as it ought to be. Times are seconds on the model's clock."""

    provider: str
    status: str
    priority: str
    sort_key: float
    available_at: float | None = None
    version: int = 1
    attempts: int = 0
    crashes: int = 0
    # Of the text whose vector the column holds, and of the text that was requested with each version.
    fingerprint: str = ""
    texts: dict[int, str] = field(default_factory=dict)
    error_kind: str = ""
    worker: str = ""
    token: UUID | None = None
    lease_until: float | None = None
    claimed_at: float | None = None
    # Since when the vector is asked for.
    requested_at: float = 0.0
    id: int | None = None

    def put(self, status: str, *, available_at: float | None = None, error: str | None = None) -> None:
        """Into a state in which nobody holds it; what is known of an error stays unless another is given."""
        self.status, self.available_at = status, available_at
        self.token = self.lease_until = None
        self.error_kind = self.error_kind if error is None else error


Attempt = tuple[int | None, str, bool, int, int]


@dataclass
class Living:
    """A worker, as its heartbeats show it."""

    started_at: float
    beaten_at: float
    stopped_at: float | None = None


@dataclass
class Model:
    """The rules of the ledger, said once more without a database."""

    max_attempts: int = 3
    max_crashes: int = 3
    hours: int = 0
    # Orders what happens within an hour.
    ticks: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    workers: dict[str, Living] = field(default_factory=dict)
    # Attempts that have ended: (task, outcome, whether the task ended with it, number, version).
    history: Counter[Attempt] = field(default_factory=Counter)
    # Rows that a user's open transaction has locked: who must not wait passes them over.
    locked: set[str] = field(default_factory=set)

    @property
    def now(self) -> float:
        return self.hours * HOUR + self.ticks / 1000

    def free(self, keys: Iterable[str] | None = None) -> list[Row]:
        """The rows that nobody has locked."""
        wanted = self.rows if keys is None else keys
        return [row for key, row in self.rows.items() if key in wanted and key not in self.locked]

    def held(self, claims: Iterable[Claim]) -> list[tuple[Claim, Row]]:
        """The claims whose token is still good, and their rows."""
        pairs = ((claim, self.rows.get(claim.object_id)) for claim in claims)
        return [(claim, row) for claim, row in pairs if row and row.id == claim.id and row.token == claim.token]

    def held_free(self, claims: Iterable[Claim]) -> list[tuple[Claim, Row]]:
        return [(claim, row) for claim, row in self.held(claims) if claim.object_id not in self.locked]

    def is_due(self, row: Row) -> bool:
        return row.available_at is not None and row.available_at <= self.now

    def may_be_taken(self, row: Row) -> bool:
        """By somebody who asks for it by its id: not before a quota is free again, but before a delay is over."""
        return row.status in {"pending", "scheduled"} or (row.status == "rate_limited" and self.is_due(row))

    def request(self, wish: Request, text: str, *, is_overwritten: bool) -> Row | None:
        """The row that has work to do now; None where its vector is known to be that of the wished text."""
        status, available_at = "pending", None
        if wish.delay_seconds:
            status, available_at = "scheduled", self.now + wish.delay_seconds
        new = Row(wish.provider, status, wish.priority, self.now - HEAD_STARTS[wish.priority], available_at)
        new.requested_at = self.now
        row = self.rows.setdefault(wish.object_id, new)
        if row is not new:
            is_known = wish.fingerprint != ""
            if is_known and row.status in DONE and (row.provider, row.fingerprint) == (wish.provider, wish.fingerprint):
                return None
            self._ask_again(row, new, is_overwritten=is_overwritten)
        row.texts[row.version] = text
        return row

    def _ask_again(self, row: Row, new: Row, *, is_overwritten: bool) -> None:
        """An open task keeps its place or improves it; an ended one queues at the end; all attempts are ahead."""
        if row.status not in OPEN:
            row.requested_at = new.requested_at
        if row.status not in OPEN or new.sort_key < row.sort_key:
            row.priority, row.sort_key = new.priority, new.sort_key
        if row.status == "scheduled" and new.available_at is not None:
            assert row.available_at is not None
            row.available_at = min(row.available_at, new.available_at)
        elif row.status == "scheduled" or row.status not in OPEN:
            row.status, row.available_at = new.status, new.available_at
        row.provider = new.provider
        row.version += 1
        row.attempts = row.crashes = 0
        row.error_kind = ""
        row.fingerprint = "" if is_overwritten else row.fingerprint

    def claim(self, row: Row, worker: str, token: UUID) -> None:
        row.put("processing")
        row.token, row.worker, row.claimed_at, row.lease_until = token, worker, self.now, self.now + LEASE
        row.attempts += 1

    def give_back(self, row: Row, status: str, available_at: float | None = None, error: str | None = None) -> None:
        """Without a charge."""
        row.put(status, available_at=available_at, error=error)
        row.attempts = max(row.attempts - 1, 0)

    def keep(self, row: Row, outcome: str, *, is_final: bool = True) -> None:
        self.history[row.id, outcome, is_final, max(row.attempts, 1), row.version] += 1

    def complete(self, row: Row) -> None:
        self.keep(row, "completed")
        row.fingerprint = row.texts[row.version]
        row.put(status_when_done(row.fingerprint), error="")
        row.crashes = 0

    def fail(self, claim: Claim, row: Row, *, is_final: bool) -> bool:
        """Whether it is failed for good. The failure of a text that was edited meanwhile says nothing of the new."""
        if row.version != claim.version:
            row.put("pending")
            return False
        is_last = is_final or row.attempts >= self.max_attempts
        self.keep(row, "failed", is_final=is_last)
        row.put("failed" if is_last else "scheduled", error=FAILURE.kind)
        row.available_at = None if is_last else self.now + DELAY
        return is_last

    def rescue(self, worker: str | None, *, is_crash: bool) -> int:
        lost = [
            row
            for row in self.free()
            if row.lease_until is not None and (row.lease_until < self.now if worker is None else row.worker == worker)
        ]
        for row in lost:
            is_charged = is_crash and (worker is not None or not self._has_outlived(row))
            row.crashes += is_charged
            is_poison = is_charged and row.crashes >= self.max_crashes
            if is_charged:
                self.keep(row, "crashed", is_final=is_poison)
            self.give_back(row, "failed" if is_poison else "pending", error="crash" if is_charged else None)
        return len(lost)

    def _has_outlived(self, row: Row) -> bool:
        """Whether its worker was there before the claim, and was heard of late in the lease or ended in order."""
        worker = self.workers.get(row.worker)
        if worker is None or worker.started_at > row.claimed_at:
            return False
        assert row.lease_until is not None
        is_late = worker.beaten_at > row.lease_until - LEASE / 2
        return is_late or (worker.stopped_at is not None and worker.stopped_at >= row.claimed_at)


keys = st.sets(st.sampled_from(KEYS), min_size=1, max_size=3)
# Mostly one whose token is still good.
hands = st.sampled_from([0, 0, 0, 1, 2])
# As bits, which claims of a hand.
parts = st.sampled_from([15, 1, 2, 6])
wishes = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from(["a", "a", "b", NOTHING]),
    st.booleans(),
    st.sampled_from(["default", "default", "default", "second"]),
    st.sampled_from(list(HEAD_STARTS)),
    st.sampled_from([0, 0, 0, HALF, HOUR + HALF]),
)


@dataclass(frozen=True, repr=False)
class Move:
    """What can happen in a step, with what, and when it makes sense."""

    name: str
    given: st.SearchStrategy[dict[str, Any]]
    needs: Callable[[Any], object]

    def __repr__(self) -> str:
        return self.name


MOVES: list[Move] = []


def move(weight: int, *, needs: Callable[[Any], object] = lambda machine: True, **given: Any) -> Callable[..., Any]:
    """Hypothesis chooses rules too unevenly to get far in: it gets one, and these are chosen by weight."""

    def register(method: Any) -> Any:
        MOVES.extend([Move(method.__name__, st.fixed_dictionaries(given), needs)] * weight)
        return method

    return register


def is_holding(machine: Any) -> object:
    """Mostly with a token that is still good: with another nothing may happen, which is soon told."""
    is_good = any(machine.model.held(claims) for claims in machine.hands)
    return machine.hands and (is_good or machine.model.ticks % 5 == 0)


def any_is(*statuses: str) -> Callable[[Any], object]:
    return lambda machine: any(row.status in statuses for row in machine.model.rows.values())


class LedgerMachine(RuleBasedStateMachine):
    """Saves, two workers, sweeps, operators and the clock take turns at five objects."""

    steps: ClassVar[int] = 0
    # A user's session beside the ledger's.
    user: ClassVar[psycopg.Connection[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        # What workers believe to have in hand, rightly or no longer.
        self.hands: list[list[Claim]] = []
        self.content_type_id = ContentType.objects.get_for_model(Post).pk
        self.settings: Any = None
        self.configure(max_attempts=2, max_crashes=4)
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (self.began_at,) = cursor.fetchone()
        for worker in WORKERS:
            self.show_life(worker, "born")

    @rule(data=st.data())
    def step(self, data: Any) -> None:
        made = data.draw(st.sampled_from([one for one in MOVES if one.needs(self)]))
        given = data.draw(made.given)
        getattr(self, made.name)(**given)

    # Saves and deletes.

    @initialize(given=st.lists(wishes, min_size=3, max_size=6))
    def begin(self, given: list[Any]) -> None:
        self.request(given, is_overwritten=False)

    @move(3, given=st.lists(wishes, min_size=1, max_size=3), is_overwritten=st.booleans())
    def request(self, given: list[Any], is_overwritten: bool) -> None:
        self.wait_for_user({key for key, *_ in given})
        requests, texts = [], {}
        for key, letter, is_known, alias, priority, delay in given:
            # A fingerprint holds the provider's model, too.
            text = f"{letter} by {alias}"
            known = text if is_known and not is_overwritten else ""
            requests.append(Request(self.content_type_id, key, "embedding", alias, priority, delay, known))
            texts[key] = text

        ids = ledger.request(requests, is_overwritten=is_overwritten)

        latest = {wish.object_id: wish for wish in requests}.values()
        opened = [self.model.request(w, texts[w.object_id], is_overwritten=is_overwritten) for w in latest]
        self.learn_ids()
        assert sorted(ids) == sorted(row.id for row in opened if row)

    @move(2, needs=is_holding, hand=hands, wish=wishes)
    def edit_in_hand(self, hand: int, wish: Any) -> None:
        keys_in_hand = {claim.object_id for claim in self.hand(hand)}
        self.request([(key, *wish[1:]) for key in sorted(keys_in_hand)], is_overwritten=False)

    @move(1, gone=keys)
    def forget(self, gone: set[str]) -> None:
        self.wait_for_user(gone)

        count = ledger.forget(self.content_type_id, gone)

        assert count == len([self.model.rows.pop(key) for key in gone if key in self.model.rows])

    @move(3, needs=lambda machine: machine.model.rows and not machine.model.locked, wanted=keys)
    def lock(self, wanted: set[str]) -> None:
        """A user's transaction has written these tasks and goes on."""
        self.model.locked = wanted & set(self.model.rows)
        self.hold_locks()

    @move(1, needs=lambda machine: machine.model.locked)
    def end_users_transaction(self) -> None:
        self.release_locks()
        self.model.locked = set()

    # Workers.

    @move(
        6,
        needs=any_is("pending"),
        is_fruitful=st.sampled_from([True, True, True, False]),
        limit=st.integers(1, 4),
        crashes=st.sampled_from([0, 0, 0, 1, 2]),
        or_more=st.sampled_from([True, True, False]),
        worker=st.sampled_from(WORKERS),
    )
    def claim(self, is_fruitful: bool, limit: int, crashes: int, or_more: bool, worker: str) -> None:
        waiting = [row.provider for row in self.model.rows.values() if row.status == "pending"] or ALIASES
        alias = max(ALIASES, key=lambda one: (one in waiting) == is_fruitful)
        fit = [row for row in self.model.free() if (row.status, row.provider) == ("pending", alias)]
        fit = [row for row in fit if row.crashes == crashes or (or_more and row.crashes > crashes)]
        order = sorted((row.crashes, row.sort_key) for row in fit)

        claims = ledger.claim(alias, limit, worker=worker, crashes=crashes, or_more=or_more)

        assert sorted((c.crashes, self.model.rows[c.object_id].sort_key) for c in claims) == order[:limit]
        assert {c.id for c in claims} <= {row.id for row in fit}
        self.take_in_hand(claims, worker)

    @move(1, wanted=keys, aliases=st.sets(st.sampled_from(ALIASES)), worker=st.sampled_from(WORKERS))
    def claim_ids(self, wanted: set[str], aliases: set[str], worker: str) -> None:
        fit = [row for row in self.model.free(wanted) if row.provider in aliases and self.model.may_be_taken(row)]
        ids = [row.id for row in map(self.model.rows.get, wanted) if row]

        claims = ledger.claim_ids(ids, aliases, worker=worker)

        assert {c.id for c in claims} == {row.id for row in fit}
        self.take_in_hand(claims, worker)

    @move(3, needs=is_holding, hand=hands)
    def renew(self, hand: int) -> None:
        claims = self.hand(hand)

        count = ledger.renew({claim.token for claim in claims})

        renewed = self.model.held_free(claims)
        for _, row in renewed:
            row.lease_until = self.model.now + LEASE
        assert count == len(renewed)

    @move(4, needs=is_holding, hand=hands, part=parts)
    def settle(self, hand: int, part: int) -> None:
        """As settlement does: complete what is held and has not moved, give back what has moved."""
        claims = self.hand(hand, part)
        fit = self.model.held_free(claims)
        with transaction.atomic():
            versions = ledger.lock(claims, using="default")
            assert versions == {row.id: row.version for _, row in fit}
            still = [claim for claim in claims if versions.get(claim.id) == claim.version]
            moved = [claim for claim in claims if claim.id in versions and claim not in still]
            done = [self.completion(claim) for claim in still]
            ledger.complete(done, model_id="m", dimensions=2, token=claims[0].token, using="default")
            assert ledger.release(moved) == len(moved)
        for claim, row in fit:
            if row.version == claim.version:
                self.model.complete(row)
            else:
                self.model.give_back(row, "pending")

    @move(2, needs=is_holding, hand=hands, part=parts, is_final=st.sampled_from([False, False, True]))
    def fail(self, hand: int, part: int, is_final: bool) -> None:
        claims = self.hand(hand, part)

        count = ledger.fail(claims, FAILURE, is_final=is_final)

        failed = [self.model.fail(claim, row, is_final=is_final) for claim, row in self.model.held_free(claims)]
        assert count == sum(failed)

    @move(
        2,
        needs=is_holding,
        hand=hands,
        part=parts,
        seconds=st.sampled_from([HALF, HOUR + HALF]),
        is_quota=st.booleans(),
    )
    def put_off(self, hand: int, part: int, seconds: int, is_quota: bool) -> None:
        claims = self.hand(hand, part)

        if is_quota:
            status, error = "rate_limited", QUOTA
            count = ledger.defer(claims, timezone.now() + timedelta(seconds=seconds), error)
        else:
            status, error = "scheduled", FAILURE
            count = ledger.postpone(claims, error, seconds=seconds)

        waiting = self.model.held_free(claims)
        for _, row in waiting:
            self.model.give_back(row, status, self.model.now + seconds, error.kind)
        assert count == len(waiting)

    @move(1, needs=is_holding, hand=hands, part=parts)
    def release(self, hand: int, part: int) -> None:
        claims = self.hand(hand, part)

        count = ledger.release(claims)

        freed = self.model.held_free(claims)
        for _, row in freed:
            self.model.give_back(row, "pending")
        assert count == len(freed)

    @move(1, needs=is_holding, hand=hands, part=parts)
    def discard(self, hand: int, part: int) -> None:
        claims = self.hand(hand, part)

        count = ledger.discard(claims)

        gone = 0
        for claim, row in self.model.held_free(claims):
            if row.version == claim.version:
                del self.model.rows[claim.object_id]
                gone += 1
            else:
                self.model.give_back(row, "pending")
        assert count == gone

    @move(1, worker=st.sampled_from(WORKERS), sign=st.sampled_from(["born", "beat", "beat", "stopped"]))
    def show_life(self, worker: str, sign: str) -> None:
        getattr(heartbeats, sign)(worker)

        now = self.model.now
        living = self.model.workers.get(worker)
        if sign == "born" or (living is None and sign == "beat"):
            self.model.workers[worker] = Living(now, now)
        elif living:
            living.beaten_at = now
            if sign == "stopped":
                living.stopped_at = now

    # Sweeps.

    @move(2, needs=any_is("scheduled", "rate_limited"))
    def promote_due(self) -> None:
        count = ledger.promote_due()

        due = [row for row in self.model.free() if self.model.is_due(row)]
        for row in due:
            row.put("pending")
        assert count == len(due)

    @move(2, worker=st.sampled_from([None, *WORKERS]), is_crash=st.sampled_from([True, True, False]))
    def rescue(self, worker: str | None, is_crash: bool) -> None:
        count = ledger.rescue(worker=worker, is_crash=is_crash)

        assert count == self.model.rescue(worker, is_crash=is_crash)

    @move(3, needs=any_is("processing"), sign=st.sampled_from([None, None, "beat", "born"]))
    def outlast_leases(self, sign: str | None) -> None:
        """All workers are silent, go on, or have started anew."""
        self.pass_time(hours=3)
        for worker in WORKERS if sign else []:
            self.show_life(worker, sign)
            self.model.ticks += 1
        self.rescue(worker=None, is_crash=True)

    @move(2, needs=any_is("pending"), worker=st.sampled_from(WORKERS))
    def die_again(self, worker: str) -> None:
        """With a task in hand that was in hand at other deaths, if there is one."""
        deaths = max(row.crashes for row in self.model.rows.values() if row.status == "pending")
        self.claim(is_fruitful=True, limit=1, crashes=deaths, or_more=False, worker=worker)
        self.outlast_leases(sign=None)

    @move(1, aliases=st.sets(st.sampled_from(ALIASES)))
    def has_claimable(self, aliases: set[str]) -> None:
        found = ledger.has_claimable(aliases)

        assert found == any(row.status == "pending" and row.provider in aliases for row in self.model.free())

    @move(3, needs=any_is("pending"))
    def look_who_would_be_claimed(self) -> None:
        """A drain that went on would take everything that is pending, whatever has become of it."""
        taken: set[int] = set()
        with transaction.atomic():
            while claims := self.next_claims():
                taken |= {claim.id for claim in claims}
            transaction.set_rollback(True)
        assert taken == {row.id for row in self.model.free() if row.status == "pending"}

    # Operators.

    @move(3, needs=any_is(*RETRYABLE), wanted=keys)
    def retry(self, wanted: set[str]) -> None:
        count = ledger.retry(EmbeddingTask.objects.filter(object_id__in=wanted))

        stopped = [row for row in self.model.free(wanted) if row.status in RETRYABLE]
        for row in stopped:
            if row.status not in OPEN:
                row.requested_at = self.model.now
            row.put("pending", error="")
            row.attempts = row.crashes = 0
            row.texts[row.version + 1] = row.texts[row.version]
            row.version += 1
        assert count == len(stopped)

    @move(1, needs=any_is(*CANCELLABLE), wanted=keys)
    def cancel(self, wanted: set[str]) -> None:
        count = ledger.cancel(EmbeddingTask.objects.filter(object_id__in=wanted))

        unfinished = [row for row in self.model.free(wanted) if row.status in CANCELLABLE]
        for row in unfinished:
            row.put("cancelled")
        assert count == len(unfinished)

    @move(1, max_attempts=st.integers(1, 3), max_crashes=st.sampled_from([1, 2, 4, 4]))
    def configure(self, max_attempts: int, max_crashes: int) -> None:
        self.restore_settings()
        self.settings = override_settings(
            EMBEDDINGS={
                "LEASE_SECONDS": LEASE,
                "HEAD_START_SECONDS": HEAD_STARTS,
                # The same after each attempt.
                "BACKOFF_BASE_SECONDS": HALF,
                "BACKOFF_CAP_SECONDS": HALF,
                "MAX_ATTEMPTS": max_attempts,
                "MAX_CRASHES": max_crashes,
            }
        )
        self.settings.enable()
        self.model.max_attempts, self.model.max_crashes = max_attempts, max_crashes

    # Time.

    @move(2, hours=st.integers(1, 3))
    def pass_time(self, hours: int) -> None:
        """What is stored moves into the past; the clock of the database cannot be moved."""
        self.release_locks()
        passed = [f"{name} = {name} - interval '{hours} hours'" for name in TIMES]
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE embeddings_embeddingtask SET {', '.join(passed)}")
            cursor.execute(
                "UPDATE embeddings_workerstatus SET started_at = started_at - %s, heartbeat_at = heartbeat_at - %s,"
                " stopped_at = stopped_at - %s",
                [timedelta(hours=hours)] * 3,
            )
        self.model.hours += hours
        self.hold_locks()

    # What is always true.

    @invariant()
    def look(self) -> None:
        """The table is as the model says; nothing is in two hands; what is done is the text of its version; each
        attempt that came to its end is kept, once."""
        LedgerMachine.steps += self.model.ticks > 0
        self.model.ticks += 1
        stored = self.read()
        assert stored == {key: self.expected(row) for key, row in self.model.rows.items()}
        assert self.kept() == self.model.history
        in_hand = [claim.id for hand in self.hands for claim in hand if stored_token(stored, claim) == claim.token]
        assert len(in_hand) == len(set(in_hand))
        for key, values in stored.items():
            if values["status"] in DONE:
                assert values["fingerprint"] == self.model.rows[key].texts[values["version"]]

    def teardown(self) -> None:
        """Whatever has happened, nothing is stuck: in time, everything open comes into a worker's hand."""
        self.end_users_transaction()
        self.pass_time(hours=3)
        ledger.promote_due()
        ledger.rescue(is_crash=False)
        while claims := self.next_claims():
            ledger.fail(claims, FAILURE, is_final=True)
        left = set(EmbeddingTask.objects.values_list("status", flat=True))
        self.restore_settings()
        sessions.empty("default")
        assert left.isdisjoint(OPEN)

    # How the two are compared.

    def read(self) -> dict[str, dict[str, Any]]:
        """The table, times as seconds on the model's clock."""
        table = {}
        for values in EmbeddingTask.objects.values(*EXACTLY, *TIMES, "object_id", "completed_at"):
            values |= {name: self.seconds(values[name]) for name in TIMES}
            values["completed_at"] = values["completed_at"] is not None
            table[values.pop("object_id")] = values
        return table

    def kept(self) -> Counter[Attempt]:
        return Counter(TaskAttempt.objects.values_list("task_id", "outcome", "is_final", "number", "version"))

    def expected(self, row: Row) -> dict[str, Any]:
        values = {name: getattr(row, name) for name in [*EXACTLY, *TIMES] if name != "lease_token"}
        about = {name: pytest.approx(values[name], abs=TOLERANCE) for name in TIMES if values[name] is not None}
        return {**values, **about, "lease_token": row.token, "completed_at": row.status == "completed"}

    def seconds(self, time: datetime | None) -> float | None:
        return time and (time - self.began_at).total_seconds() + self.model.hours * HOUR

    # What the rules have in common.

    def learn_ids(self) -> None:
        for key, task_id in EmbeddingTask.objects.values_list("object_id", "id"):
            row = self.model.rows[key]
            row.id = row.id or task_id

    def take_in_hand(self, claims: list[Claim], worker: str) -> None:
        assert [claim.sort_key for claim in claims] == sorted(claim.sort_key for claim in claims)
        for claim in claims:
            row = self.model.rows[claim.object_id]
            self.model.claim(row, worker, claim.token)
            assert (claim.version, claim.attempts, claim.crashes) == (row.version, row.attempts, row.crashes)
            assert (claim.id, claim.fingerprint) == (row.id, row.fingerprint)
        if claims:
            assert len({claim.token for claim in claims}) == 1
            assert claims[0].token not in {hand[0].token for hand in self.hands}
            self.hands = [*self.hands[-2:], claims]

    def hand(self, which: int, part: int = 15) -> list[Claim]:
        """Some of the claims of one hand; at least one."""
        best_first = sorted(self.hands, key=lambda claims: not self.model.held(claims))
        claims = best_first[which % len(best_first)]
        return [claim for number, claim in enumerate(claims) if part >> number & 1] or claims

    def completion(self, claim: Claim) -> Completion:
        text = self.model.rows[claim.object_id].texts[claim.version]
        return Completion(claim.id, status_when_done(text), text, 1, 1, truncated=False)

    def next_claims(self) -> list[Claim]:
        """What a drain takes next."""
        claims, _ = selection.suspects(ALIASES, worker="ann")
        batches = (batch for batch, _ in selection.next_batches(ALIASES, worker="ann") if batch)
        return claims or next(batches, [])

    def wait_for_user(self, wanted: set[str]) -> None:
        """Users wait for each other."""
        if not wanted.isdisjoint(self.model.locked):
            self.end_users_transaction()

    def hold_locks(self) -> None:
        if self.model.locked:
            self.user.execute("BEGIN")
            self.user.execute(
                "SELECT FROM embeddings_embeddingtask WHERE object_id = ANY(%s) FOR NO KEY UPDATE",
                [list(self.model.locked)],
            )

    def release_locks(self) -> None:
        if self.model.locked:
            self.user.execute("ROLLBACK")

    def restore_settings(self) -> None:
        if self.settings:
            self.settings.disable()
            self.settings = None


def stored_token(table: dict[str, dict[str, Any]], claim: Claim) -> UUID | None:
    values = table.get(claim.object_id, {})
    return values["lease_token"] if values.get("id") == claim.id else None


@pytest.mark.timeout(300 + STEPS // 10)
def test_ledger__any_history(capsys: pytest.CaptureFixture[str]) -> None:
    machine = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS_AN_EXAMPLE,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=PHASES,
    )
    with sessions.session() as LedgerMachine.user, connection.cursor() as cursor:
        # A transition that waits for the user's lock fails here.
        cursor.execute("SET lock_timeout = '500ms'")
        try:
            while LedgerMachine.steps < STEPS:
                run_state_machine_as_test(LedgerMachine, settings=machine)
        finally:
            cursor.execute("RESET lock_timeout")

    with capsys.disabled():
        sys.stdout.write(f" {LedgerMachine.steps} steps ")
    assert LedgerMachine.steps >= 2_000
