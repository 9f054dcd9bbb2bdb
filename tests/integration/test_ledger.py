"""Transitions and constraints of the ledger."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

import embeddings
from embeddings import ledger, pipeline
from embeddings.failure import Failure
from embeddings.ledger import Claim, Completion, Request, sweeps
from embeddings.models import OPEN, EmbeddingBatch, EmbeddingTask, ProviderState, Status, WorkerStatus
from embeddings.providers.dummy import DummyProvider
from tests.integration import sessions
from tests.ledger_rows import make_task
from tests.testapp.models import Post

Draining = Callable[[], pipeline.Outcome]
TaskOf = Callable[..., EmbeddingTask]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

FAILURE = Failure("transient", "TransientError", "It broke.")
TOKEN = uuid.uuid4()


@pytest.fixture(autouse=True)
def _count_from_zero() -> None:
    DummyProvider.reset()


def tasks() -> Any:
    return EmbeddingTask.objects.all()


def row(task: EmbeddingTask) -> dict[str, Any]:
    return tasks().values().get(pk=task.pk)


def claim_of(task: EmbeddingTask) -> Claim:
    """What a worker remembers of a task; of one that it does not hold, what it might have remembered."""
    return Claim(
        token=task.lease_token or TOKEN,
        id=task.pk,
        content_type_id=task.content_type_id,
        object_id=task.object_id,
        field=task.field,
        fingerprint=task.fingerprint,
        version=task.version,
        attempts=task.attempts,
        crashes=task.crashes,
        sort_key=task.sort_key,
        provider=task.provider,
    )


def request_of(task: EmbeddingTask, **options: Any) -> Request:
    given = {"provider": "default", "priority": "normal", **options}
    return Request(task.content_type_id, task.object_id, task.field, **given)


def request_for(object_id: int | str, **options: Any) -> Request:
    content_type = ContentType.objects.get_for_model(Post)
    given = {"provider": "default", "priority": "normal", **options}
    return Request(content_type.pk, str(object_id), "embedding", **given)


# Which statuses each transition moves, and to where; it leaves all others alone, to the last column.

EVERY = {status: status for status in Status.values}


def _complete(task: EmbeddingTask) -> None:
    done = Completion(task.pk, "completed", "c" * 64, tokens_estimated=1, tokens=1, truncated=False)
    ledger.complete([done], model_id="m", dimensions=2, token=claim_of(task).token, using="default")


def _empty(task: EmbeddingTask) -> None:
    done = Completion(task.pk, "empty", "e" * 64, tokens_estimated=0, tokens=None, truncated=False)
    ledger.complete([done], model_id="m", dimensions=2, token=claim_of(task).token, using="default")


TRANSITIONS: dict[str, tuple[Callable[[EmbeddingTask], Any], dict[str, str]]] = {
    "request": (
        lambda task: ledger.request([request_of(task, fingerprint="new")]),
        {**EVERY, **dict.fromkeys(["scheduled", "completed", "empty", "failed", "cancelled"], "pending")},
    ),
    "request without a fingerprint": (
        lambda task: ledger.request([request_of(task)]),
        {**EVERY, **dict.fromkeys(["scheduled", "completed", "empty", "failed", "cancelled"], "pending")},
    ),
    "request with a delay": (
        lambda task: ledger.request([request_of(task, delay_seconds=5)]),
        {**EVERY, **dict.fromkeys(["completed", "empty", "failed", "cancelled"], "scheduled")},
    ),
    "claim": (lambda task: ledger.claim("default", 9, worker="w"), {"pending": "processing"}),
    "claim_ids": (
        lambda task: ledger.claim_ids([task.pk], ["default"], worker="w"),
        {"pending": "processing", "scheduled": "processing"},
    ),
    "promote_due, due": (
        lambda task: (
            tasks().filter(available_at__isnull=False).update(available_at=Now()),
            ledger.promote_due(),
        ),
        {"scheduled": "pending", "rate_limited": "pending"},
    ),
    "promote_due, not due": (lambda task: ledger.promote_due(), {}),
    "rescue, expired": (
        lambda task: (
            tasks().filter(lease_until__isnull=False).update(lease_until=Now()),
            ledger.rescue(),
        ),
        {"processing": "pending"},
    ),
    "rescue, not expired": (lambda task: ledger.rescue(), {}),
    "rescue, worker dead": (lambda task: ledger.rescue(worker="host.1"), {"processing": "pending"}),
    "rescue, other worker dead": (lambda task: ledger.rescue(worker="host.2"), {}),
    "retry": (
        lambda task: ledger.retry(tasks()),
        dict.fromkeys(["failed", "cancelled", "scheduled", "rate_limited"], "pending"),
    ),
    "cancel": (
        lambda task: ledger.cancel(tasks()),
        dict.fromkeys(["pending", "scheduled", "rate_limited", "processing"], "cancelled"),
    ),
    "complete": (_complete, {"processing": "completed"}),
    "complete as empty": (_empty, {"processing": "empty"}),
    "fail": (lambda task: ledger.fail([claim_of(task)], FAILURE, is_final=False), {"processing": "scheduled"}),
    "fail for good": (lambda task: ledger.fail([claim_of(task)], FAILURE, is_final=True), {"processing": "failed"}),
    "defer": (
        lambda task: ledger.defer([claim_of(task)], timezone.now(), FAILURE),
        {"processing": "rate_limited"},
    ),
    "release": (lambda task: ledger.release([claim_of(task)]), {"processing": "pending"}),
    "discard": (lambda task: ledger.discard([claim_of(task)]), {"processing": "gone"}),
}


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_transitions__move_exactly_these(name: str, status: str) -> None:
    transition, moves = TRANSITIONS[name]
    task = make_task(status)
    before = row(task)

    transition(task)

    after = tasks().values().filter(pk=task.pk).first() or {**before, "status": "gone"}
    assert after["status"] == moves.get(status, status)
    if status not in moves:
        unchanged = {**before, "available_at": after["available_at"], "lease_until": after["lease_until"]}
        assert after == unchanged


@pytest.mark.parametrize(
    ("transition", "statuses"),
    [
        (lambda: ledger.retry(tasks()), 4),
        (lambda: ledger.cancel(tasks()), 4),
        (lambda: (tasks().filter(available_at__isnull=False).update(available_at=Now()), ledger.promote_due())[1], 2),
        (lambda: ledger.rescue(worker="host.1"), 1),
        (lambda: ledger.release(map(claim_of, tasks())), 1),
        (lambda: ledger.defer(map(claim_of, tasks()), timezone.now(), FAILURE), 1),
        (lambda: ledger.discard(map(claim_of, tasks())), 1),
        (lambda: ledger.fail(list(map(claim_of, tasks().filter(status="processing"))), FAILURE, is_final=True), 1),
        (lambda: ledger.fail(list(map(claim_of, tasks().filter(status="processing"))), FAILURE, is_final=False), 0),
        (lambda: ledger.renew({task.lease_token for task in tasks() if task.lease_token}), 1),
    ],
)
def test_transitions__return_how_many_they_moved(transition: Callable[[], int], statuses: int) -> None:
    for status in Status.values:
        make_task(status)

    assert transition() == statuses


@pytest.mark.parametrize("status", ["completed", "empty"])
def test_request__of_the_text_that_is_done_leaves_the_row_alone(status: str) -> None:
    task = make_task(status, fingerprint="f" * 64)
    before = row(task)

    ids = ledger.request([request_of(task, fingerprint="f" * 64)])

    assert ids == []
    assert row(task) == before


@pytest.mark.parametrize("status", ["completed", "empty"])
def test_request__for_another_provider_opens_the_task(status: str) -> None:
    task = make_task(status, fingerprint="f" * 64)

    ids = ledger.request([request_of(task, fingerprint="f" * 64, provider="second")])

    assert ids == [task.pk]
    assert (row(task)["status"], row(task)["provider"]) == ("pending", "second")


@pytest.mark.parametrize("status", ["pending", "failed", "cancelled", "processing"])
def test_request__of_the_columns_text_opens_a_task_that_is_not_done(status: str) -> None:
    task = make_task(status, fingerprint="f" * 64)

    ids = ledger.request([request_of(task, fingerprint="f" * 64)])

    assert ids == [task.pk]
    assert row(task)["version"] == task.version + 1


@pytest.mark.parametrize("status", Status.values)
def test_request__starts_the_count_of_attempts_again(status: str) -> None:
    task = make_task(status, attempts=2, crashes=2, error_kind="input", error_class="E", error_message="m")

    ledger.request([request_of(task)])

    after = row(task)
    assert (after["version"], after["attempts"], after["crashes"]) == (task.version + 1, 0, 0)
    assert (after["error_kind"], after["error_class"], after["error_message"]) == ("", "", "")
    assert after["fingerprint"] == task.fingerprint  # Still that of the column's vector.


def test_request__of_an_overwritten_column_forgets_its_text() -> None:
    task = make_task("completed")

    ledger.request([request_of(task)], is_overwritten=True)

    assert row(task)["fingerprint"] == ""


@pytest.mark.parametrize("options", [{}, {"priority": "high"}, {"priority": "low", "delay_seconds": 60.0}])
def test_request__of_an_inserted_object_opens_the_same_task_as_any_other(
    options: dict[str, Any], django_assert_num_queries: Any
) -> None:
    with transaction.atomic():  # All of one time.
        (any_other,) = ledger.request([request_for(1, **options)])
        with django_assert_num_queries(1):
            (inserted,) = ledger.request([request_for(2, **options)], is_overwritten=True)

    names = {field.attname for field in EmbeddingTask._meta.fields} - {"id", "object_id"}
    assert tasks().values(*names).get(pk=inserted) == tasks().values(*names).get(pk=any_other)


def test_request__new_target_and_an_earlier_one_in_one_statement(django_assert_num_queries: Any) -> None:
    done, fresh = make_task("completed", fingerprint="f" * 64), make_task("completed")
    requests = [
        request_of(done, fingerprint="f" * 64),
        request_of(fresh),
        request_for(1),
        request_for(1, priority="low"),
    ]

    with django_assert_num_queries(1):
        ids = ledger.request(requests)

    new = tasks().get(object_id="1")
    assert set(ids) == {fresh.pk, new.pk}
    assert (new.status, new.priority, new.version) == ("pending", "low", 1)


def test_request__of_nothing_asks_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert ledger.request([]) == []


def make_batches() -> tuple[EmbeddingBatch, EmbeddingBatch]:
    return EmbeddingBatch.objects.create(name="1"), EmbeddingBatch.objects.create(name="2")


def test_request__belongs_to_the_latest_batch() -> None:
    first, second = make_batches()

    ledger.request([request_for(1)], batch_id=first.pk)
    ledger.request([request_for(1)], batch_id=second.pk)

    task = tasks().get()
    assert (task.batch_id, task.is_shared) == (second.pk, True)  # the first wants it still


@pytest.mark.parametrize("status", [s for s in Status if s not in {Status.COMPLETED, Status.EMPTY}])
def test_request__without_a_batch_leaves_a_task_in_its_own_until_it_is_done(status: Status) -> None:
    batch, _ = make_batches()
    make_task(status, object_id="1", batch=batch)

    ledger.request([request_for(1)])

    task = tasks().get()
    assert (task.batch_id, task.is_shared) == (batch.pk, True)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.EMPTY])
def test_request__without_a_batch_takes_a_task_that_is_done_out_of_its_own(status: Status) -> None:
    batch, _ = make_batches()
    make_task(status, object_id="1", batch=batch, is_shared=True)

    ledger.request([request_for(1)])

    task = tasks().get()
    assert (task.batch_id, task.is_shared) == (None, False)


@pytest.mark.parametrize("status", list(Status))
def test_request__a_batch_shares_what_was_open_before(status: Status) -> None:
    batch, _ = make_batches()
    make_task(status, object_id="1")

    ledger.request([request_for(1)], batch_id=batch.pk)

    task = tasks().get()
    assert (task.batch_id, task.is_shared) == (batch.pk, status in OPEN)


def test_request__a_batch_that_asks_twice_shares_with_nobody() -> None:
    batch, _ = make_batches()

    ledger.request([request_for(1)], batch_id=batch.pk)
    ledger.request([request_for(1)], batch_id=batch.pk)
    assert not tasks().get().is_shared

    ledger.request([request_for(1)])
    ledger.request([request_for(1)], batch_id=batch.pk)
    assert tasks().get().is_shared


def test_request__counts_in_its_batch_what_is_new_to_it() -> None:
    first, second = make_batches()

    ledger.request([request_for(1), request_for(2)], batch_id=first.pk)
    ledger.request([request_for(2), request_for(3)], batch_id=first.pk)
    ledger.request([request_for(3), request_for(3)], batch_id=second.pk)
    ledger.request([request_for(4)])

    assert list(EmbeddingBatch.objects.order_by("pk").values_list("total", flat=True)) == [3, 1]


def test_request__delay_that_runs_is_not_prolonged() -> None:
    ledger.request([request_for(1, delay_seconds=5)])
    first = tasks().get().available_at

    ledger.request([request_for(1, delay_seconds=50)])

    assert tasks().get().available_at == first


def test_request__shorter_delay_replaces_a_longer_one() -> None:
    ledger.request([request_for(1, delay_seconds=50)])

    ledger.request([request_for(1, delay_seconds=5)])

    assert tasks().get().available_at < timezone.now() + timedelta(seconds=6)


def test_request__without_delay_ends_a_delay() -> None:
    ledger.request([request_for(1, delay_seconds=50)])

    ledger.request([request_for(1)])

    assert tasks().get().status == "pending"


def test_request__from_two_sessions_in_opposite_orders_neither_fails_nor_doubles() -> None:
    both = threading.Barrier(2)

    def save(object_ids: list[int]) -> None:
        for _ in range(15):
            both.wait(10)
            ledger.request([request_for(object_id) for object_id in object_ids])

    first = sessions.in_thread(lambda: save(list(range(200))))
    second = sessions.in_thread(lambda: save(list(reversed(range(200)))))
    first()
    second()

    assert tasks().count() == 200
    assert set(tasks().values_list("version", flat=True)) == {30}


# The order of claims.


def claimed_in_order(count: int) -> list[str]:
    return [claim.object_id for _ in range(count) for claim in ledger.claim("default", 1, worker="w")]


def test_claim__prefers_by_priority() -> None:
    for priority in ("low", "normal", "high"):
        ledger.request([request_for(priority, priority=priority)])

    assert claimed_in_order(3) == ["high", "normal", "low"]


def test_claim__is_first_come_first_served_within_a_priority() -> None:
    for object_id in range(5):
        ledger.request([request_for(object_id)])

    claims = ledger.claim("default", 10, worker="w")

    assert [claim.object_id for claim in claims] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(("hours", "order"), [(0.9, ["high", "low"]), (1.1, ["low", "high"])])
def test_claim__low_priority_ages(hours: float, order: list[str]) -> None:
    ledger.request([request_for("low", priority="low")])
    tasks().update(sort_key=F("sort_key") - timedelta(hours=hours))
    ledger.request([request_for("high", priority="high")])

    assert claimed_in_order(2) == order


def test_claim__request_of_higher_priority_moves_a_waiting_task_forward() -> None:
    ledger.request([request_for("a", priority="low")])
    ledger.request([request_for("b", priority="normal")])

    ledger.request([request_for("a", priority="high")])

    assert tasks().get(object_id="a").priority == "high"
    assert claimed_in_order(2) == ["a", "b"]


def test_claim__request_of_lower_priority_does_not_move_a_waiting_task_back() -> None:
    ledger.request([request_for("a", priority="high")])
    ledger.request([request_for("b", priority="normal")])

    ledger.request([request_for("a", priority="low")])

    assert tasks().get(object_id="a").priority == "high"
    assert claimed_in_order(2) == ["a", "b"]


def test_claim__edits_do_not_lose_their_place() -> None:
    ledger.request([request_for("a")])
    ledger.request([request_for("b")])

    ledger.request([request_for("a")])

    assert claimed_in_order(2) == ["a", "b"]


def test_claim__done_task_requested_again_queues_at_the_end() -> None:
    task = make_task("completed", sort_key=timezone.now() - timedelta(days=9), priority="high")
    ledger.request([request_for("b")])

    ledger.request([request_of(task)])

    assert claimed_in_order(2) == ["b", task.object_id]
    assert row(task)["priority"] == "normal"


def test_claim__takes_suspects_apart() -> None:
    innocent, suspect = make_task("pending"), make_task("pending", crashes=1)

    assert [claim.id for claim in ledger.claim("default", 10, worker="w")] == [innocent.pk]
    assert [claim.id for claim in ledger.claim("default", 10, worker="w", crashes=1)] == [suspect.pk]


def test_claim__takes_one_providers_tasks() -> None:
    make_task("pending", provider="second")

    assert ledger.claim("default", 10, worker="w") == []
    assert ledger.has_claimable(["second"])
    assert not ledger.has_claimable(["default"])


def test_claim__takes_no_more_than_asked() -> None:
    for _ in range(5):
        make_task("pending")

    assert len(ledger.claim("default", 3, worker="w")) == 3
    assert tasks().filter(status="processing").count() == 3


def test_claim__records_who_and_for_how_long(settings: Any) -> None:
    settings.EMBEDDINGS = {"LEASE_SECONDS": 7}
    task = make_task("pending")

    [claim] = ledger.claim("default", 3, worker="host.9")

    after = tasks().get()
    assert (after.worker, after.attempts, after.lease_token) == ("host.9", 1, claim.token)
    assert (after.lease_until - after.claimed_at).total_seconds() == pytest.approx(7, abs=0.1)
    assert (claim.id, claim.attempts, claim.version) == (task.pk, 1, 1)


def test_claim__passes_over_what_others_hold() -> None:
    held, free = make_task("pending"), make_task("pending")
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")

    with sessions.session() as other, other.transaction():
        other.execute("SELECT FROM embeddings_embeddingtask WHERE id = %s FOR UPDATE", [held.pk])
        claims = ledger.claim("default", 10, worker="w")
        stopped = ledger.cancel(tasks())

    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")
    assert [claim.id for claim in claims] == [free.pk]
    assert stopped == 1
    assert row(held)["status"] == "pending"


def test_claim__concurrent_claimers_share_no_task() -> None:
    ledger.request([request_for(object_id) for object_id in range(300)])
    together = threading.Barrier(4)

    def work() -> list[int]:
        together.wait(10)
        mine: list[int] = []
        while claims := ledger.claim("default", 7, worker=threading.current_thread().name):
            mine += [claim.id for claim in claims]
        return mine

    waiting = [sessions.in_thread(work) for _ in range(4)]
    taken = [task_id for wait in waiting for task_id in wait()]

    assert len(taken) == len(set(taken)) == 300
    assert set(tasks().values_list("attempts", flat=True)) == {1}


# Attempts.


def test_drain__rate_limit_charges_no_attempt(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="[[rate-limit]]")

    drain()

    task = task_of(post)
    assert (task.status, task.attempts, task.error_kind) == ("rate_limited", 0, "rate_limit")
    assert task.available_at is not None


def test_drain__rate_limit_ends(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="[[rate-limit]]")
    drain()
    Post.objects.update(title="fine")
    assert task_of(post).status == "rate_limited"

    tasks().update(available_at=Now())
    ProviderState.objects.update(blocked_until=Now())
    drain()

    assert task_of(post).status == "completed"


def test_drain__transient_failures_charge_one_attempt_each_and_then_fail(
    settings: Any, drain: Draining, task_of: TaskOf
) -> None:
    settings.EMBEDDINGS = {"MAX_ATTEMPTS": 3, "CIRCUIT_FAILURES": 100, "BACKOFF_BASE_SECONDS": 2.0}
    post = Post.objects.create(title="[[transient]]")
    seen: list[tuple[str, int]] = []
    delays: list[float] = []

    for _ in range(3):
        drain()
        task = task_of(post)
        seen.append((task.status, task.attempts))
        if task.available_at:
            delays.append((task.available_at - task.updated_at).total_seconds())
            tasks().update(available_at=Now())

    assert seen == [("scheduled", 1), ("scheduled", 2), ("failed", 3)]
    assert 2 <= delays[0] <= 3 < 4 <= delays[1] <= 6
    assert drain().claimed == 0
    assert DummyProvider.calls == 6  # Each with a ping, which was answered.


def test_drain__rejected_text_fails_at_once_and_alone(drain: Draining, task_of: TaskOf) -> None:
    posts = Post.objects.bulk_create([Post(title=str(n)) for n in range(7)])
    bad = Post.objects.create(title="[[reject]]")

    drain()

    assert (task_of(bad).status, task_of(bad).attempts, task_of(bad).error_kind) == ("failed", 1, "input")
    assert all(task_of(post).status == "completed" for post in posts)


def test_rescue__counts_crashes_apart_from_attempts_and_then_fails(settings: Any) -> None:
    settings.EMBEDDINGS = {"MAX_CRASHES": 3}
    task = make_task("pending")
    seen = []

    for crashes in range(3):
        ledger.claim("default", 1, worker="w", crashes=crashes)
        ledger.rescue(worker="w")
        seen.append((row(task)["status"], row(task)["crashes"], row(task)["attempts"]))

    assert seen == [("pending", 1, 0), ("pending", 2, 0), ("failed", 3, 0)]
    assert (row(task)["error_kind"], row(task)["error_class"]) == ("crash", "WorkerDied")
    assert "3 times in a row" in row(task)["error_message"]


@pytest.mark.parametrize(
    ("started", "beaten", "crashes"),
    [
        # It was there before the claim and is heard of after the lease: it only let go of the task.
        (-60, -1, 0),
        # It was heard of early in the lease, and then no more.
        (-60, -30, 1),
        # So late that it should have renewed it if it had held the task still.
        (-60, -20, 0),
        # Another one has its name.
        (-20, -1, 1),
    ],
)
def test_rescue__counts_a_crash_only_if_the_worker_is_not_known_to_live(
    started: int, beaten: int, crashes: int
) -> None:
    now = timezone.now()
    task = make_task(
        "processing", worker="w", claimed_at=now - timedelta(seconds=30), lease_until=now - timedelta(seconds=5)
    )
    WorkerStatus.objects.create(
        name="w", started_at=now + timedelta(seconds=started), heartbeat_at=now + timedelta(seconds=beaten)
    )

    assert ledger.rescue() == 1

    after = row(task)
    assert (after["status"], after["crashes"], after["error_kind"]) == ("pending", crashes, "crash" * crashes)


@pytest.mark.parametrize(("stopped", "crashes"), [(-29, 0), (-31, 1)])
def test_rescue__counts_no_crash_for_a_worker_that_ended_in_order(stopped: int, crashes: int) -> None:
    now = timezone.now()
    task = make_task(
        "processing", worker="w", claimed_at=now - timedelta(seconds=30), lease_until=now - timedelta(seconds=1)
    )
    WorkerStatus.objects.create(
        name="w",
        state="stopped",
        started_at=now - timedelta(seconds=60),
        heartbeat_at=now + timedelta(seconds=stopped),
        stopped_at=now + timedelta(seconds=stopped),
    )

    ledger.rescue()

    assert row(task)["crashes"] == crashes


def test_rescue__of_a_worker_that_was_made_to_end_counts_no_crash(settings: Any) -> None:
    settings.EMBEDDINGS = {"MAX_CRASHES": 1}
    task = make_task("processing", worker="w", attempts=1)

    assert ledger.rescue(worker="w", is_crash=False) == 1

    after = row(task)
    assert (after["status"], after["crashes"], after["attempts"], after["error_kind"]) == ("pending", 0, 0, "")


def test_complete__forgets_crashes_and_errors() -> None:
    task = make_task("processing", crashes=2, error_kind="crash", error_message="m", error_signature="s")

    _complete(task)

    after = row(task)
    assert (after["crashes"], after["error_kind"], after["error_message"], after["error_signature"]) == (0, "", "", "")
    assert (after["lease_token"], after["lease_until"]) == (None, None)


def test_fail__of_a_text_edited_meanwhile_says_nothing_about_the_new_one() -> None:
    task = make_task("processing", attempts=3)
    claim = claim_of(task)
    ledger.request([request_of(task)])

    failed = ledger.fail([claim], FAILURE, is_final=True)

    after = row(task)
    assert failed == 0
    assert (after["status"], after["attempts"], after["available_at"]) == ("pending", 0, None)


def test_fail__records_what_happened() -> None:
    task = make_task("processing")
    failure = Failure("input", "InputRejected", "Text 17 is bad.", status=400)

    ledger.fail([claim_of(task)], failure, is_final=True)

    after = row(task)
    assert (after["error_kind"], after["error_class"], after["error_message"]) == (
        "input",
        "InputRejected",
        "Text 17 is bad.",
    )
    assert (after["error_signature"], after["error_status"]) == (failure.signature, 400)


def test_fail__of_no_answer_over_http_has_no_status() -> None:
    task = make_task("processing", error_status=500)

    ledger.fail([claim_of(task)], FAILURE, is_final=True)

    assert row(task)["error_status"] is None


@pytest.mark.parametrize(
    ("status", "move"),
    [
        ("processing", lambda task: _complete(task)),
        ("failed", lambda task: ledger.request([request_of(task)])),
        ("failed", lambda task: ledger.retry(EmbeddingTask.objects.filter(pk=task.pk))),
        ("processing", lambda task: ledger.rescue(worker=task.worker)),
    ],
    ids=["complete", "request", "retry", "rescue"],
)
def test_any__that_forgets_an_error_forgets_its_status(status: str, move: Callable[[EmbeddingTask], object]) -> None:
    task = make_task(status, error_kind="transient", error_status=500)

    move(task)

    assert row(task)["error_status"] is None


def test_release__gives_back_the_attempt_and_never_less_than_none() -> None:
    claimed, edited = make_task("processing", attempts=2), make_task("processing", attempts=0)

    ledger.release([claim_of(claimed), claim_of(edited)])

    assert row(claimed)["attempts"] == 1
    assert row(edited)["attempts"] == 0


def test_defer__keeps_tasks_together() -> None:
    until = timezone.now() + timedelta(seconds=9)
    together = [make_task("processing") for _ in range(3)]

    ledger.defer(map(claim_of, together), until, FAILURE)

    assert set(tasks().values_list("available_at", "status")) == {(until, "rate_limited")}


def test_retry__puts_all_attempts_ahead() -> None:
    task = make_task("failed", attempts=3, crashes=3)

    ledger.retry(tasks())

    after = row(task)
    assert (after["attempts"], after["crashes"], after["error_kind"], after["version"]) == (0, 0, "", task.version + 1)


def test_renew__prolongs_only_what_is_held(settings: Any) -> None:
    mine, other = make_task("processing"), make_task("processing")
    settings.EMBEDDINGS = {"LEASE_SECONDS": 9_000}

    ledger.renew({mine.lease_token})

    assert row(mine)["lease_until"] > timezone.now() + timedelta(seconds=8_000)
    assert row(other)["lease_until"] == other.lease_until


def test_lock__tells_versions_of_what_is_held_and_free() -> None:
    held, lost, locked = make_task("processing", version=4), make_task("pending"), make_task("processing")
    claims = [claim_of(task) for task in (held, lost, locked)]

    with sessions.session() as other, other.transaction():
        other.execute("SELECT FROM embeddings_embeddingtask WHERE id = %s FOR UPDATE", [locked.pk])
        with transaction.atomic():
            versions = ledger.lock(claims, using="default")
        still_held = ledger.held(claims, using="default")

    assert versions == {held.pk: 4}
    assert still_held == {held.pk, locked.pk}


def test_forget__deletes_all_fields_of_these_objects() -> None:
    first, second = make_task("processing"), make_task("completed")

    assert ledger.forget(first.content_type_id, [first.object_id]) == 1
    assert ledger.forget(first.content_type_id, []) == 0

    assert list(tasks()) == [second]


def test_sweep__moves_at_most_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "SWEEP_LIMIT", 2)
    for _ in range(3):
        make_task("scheduled", available_at=timezone.now())
        make_task("processing", lease_until=timezone.now())

    assert [ledger.promote_due(), ledger.promote_due(), ledger.promote_due()] == [2, 1, 0]
    assert [ledger.rescue(), ledger.rescue(), ledger.rescue()] == [2, 1, 0]


# Constraints.

MOMENT = datetime(2026, 1, 1, tzinfo=timezone.get_default_timezone())


@pytest.mark.parametrize(
    ("status", "values", "constraint"),
    [
        ("pending", {"status": "done"}, "embeddings_task_status"),
        ("pending", {"priority": "urgent"}, "embeddings_task_priority"),
        ("pending", {"lease_token": TOKEN}, "embeddings_task_lease_if_processing"),
        ("pending", {"lease_until": MOMENT}, "embeddings_task_lease_if_processing"),
        ("pending", {"lease_token": TOKEN, "lease_until": MOMENT}, "embeddings_task_lease_if_processing"),
        ("processing", {"lease_token": None}, "embeddings_task_lease_if_processing"),
        ("processing", {"lease_until": None}, "embeddings_task_lease_if_processing"),
        ("processing", {"status": "pending"}, "embeddings_task_lease_if_processing"),
        ("completed", {"completed_at": None}, "embeddings_task_time_if_completed"),
        ("pending", {"completed_at": MOMENT}, "embeddings_task_time_if_completed"),
        ("empty", {"completed_at": MOMENT}, "embeddings_task_time_if_completed"),
        ("scheduled", {"available_at": None}, "embeddings_task_time_if_waiting_for_it"),
        ("rate_limited", {"available_at": None}, "embeddings_task_time_if_waiting_for_it"),
        ("pending", {"available_at": MOMENT}, "embeddings_task_time_if_waiting_for_it"),
        ("failed", {"available_at": MOMENT}, "embeddings_task_time_if_waiting_for_it"),
        ("completed", {"fingerprint": ""}, "embeddings_task_vector_if_completed"),
        ("completed", {"model_id": ""}, "embeddings_task_vector_if_completed"),
        ("completed", {"dimensions": None}, "embeddings_task_vector_if_completed"),
        ("pending", {"attempts": -1}, "embeddings_embeddingtask_attempts_check"),
        ("pending", {"crashes": -1}, "embeddings_embeddingtask_crashes_check"),
    ],
)
def test_constraints__refuse(status: str, values: dict[str, Any], constraint: str) -> None:
    make_task(status)

    assignments = ", ".join(f"{column} = %s" for column in values)

    with sessions.session() as other, pytest.raises(psycopg.errors.CheckViolation) as refused:
        other.execute(f"UPDATE embeddings_embeddingtask SET {assignments}", list(values.values()))

    assert refused.value.diag.constraint_name == constraint


def test_constraints__one_task_a_target() -> None:
    task = make_task("pending")

    with pytest.raises(IntegrityError, match="embeddings_task_target"):
        make_task("pending", object_id=task.object_id)

    make_task("pending", object_id=task.object_id, field="another")
    assert tasks().count() == 2


# The statements' files.

PACKAGE = Path(embeddings.__file__).parent
STATEMENTS = sorted((PACKAGE / "sql").glob("*.sql"))


def test_sql__is_found() -> None:
    assert len(STATEMENTS) >= 7


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)
def test_sql__says_what_it_is_for_and_is_used(path: Path) -> None:
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join(module.read_text(encoding="utf-8") for module in PACKAGE.rglob("*.py"))

    assert first.startswith("-- ")
    assert first.endswith(".") or rest[0].startswith("-- ")
    assert f'"{path.stem}"' in code
