"""Receivers hear of what has happened, at least once each, in signed messages."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.db.models import F
from django.utils import timezone

import embeddings
from embeddings import alerts, audit, boxes, broker, events, ledger, operations, webhooks
from embeddings.failure import Failure
from embeddings.models import (
    Alert,
    AuditEvent,
    EmbeddingBatch,
    EmbeddingTask,
    Status,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from embeddings.webhooks import Deliverer, collecting, deliveries, delivering, endpoints, sending
from tests.integration import sessions
from tests.integration.conftest import child_of, wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import Parcel, Post, Word
from tests.webhook_receiver import Receiver, receiving

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

Kind = WebhookEvent.Kind
State = WebhookDelivery.State
SETTINGS = {"WEBHOOK_PRIVATE_ADDRESSES": True, "WEBHOOK_COLLAPSE_SECONDS": 0, "WEBHOOK_TIMEOUT_SECONDS": 2}


@pytest.fixture(autouse=True)
def _without_flush() -> Iterator[None]:
    yield from sessions.without_flush()


@pytest.fixture(autouse=True)
def _settings(settings) -> None:
    settings.EMBEDDINGS = SETTINGS


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def endpoint_of(receiver: Receiver, *kinds: str, **values: Any) -> WebhookEndpoint:
    """An endpoint at the receiver, which gets its secret; without kinds, of all."""
    secret = endpoints.new_secret()
    receiver.secrets.append(secret)
    given = {"name": f"receiver {WebhookEndpoint.objects.count()}", "url": receiver.url, "secret": secret}
    wanted = list(kinds) or [kind for kind in Kind.values if kind != Kind.TEST]
    made = WebhookEndpoint.objects.create(**{**given, "events": wanted, **values})
    events.forget()
    return made


def deliver() -> int:
    return Deliverer("test").run()


def hasten() -> None:
    """As if the delays of what waits were over."""
    WebhookDelivery.objects.filter(state=State.WAITING).update(available_at=timezone.now() - timedelta(seconds=1))


def only_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def message(endpoint: WebhookEndpoint, number: int = 0, **values: Any) -> WebhookDelivery:
    """A delivery that waits."""
    payload = {"type": "webhook.test", "timestamp": timezone.now().isoformat(), "data": {"number": number}}
    given = {"kind": Kind.TEST, "message_id": f"msg_{endpoint.pk}_{number}", "payload": payload}
    return WebhookDelivery.objects.create(endpoint=endpoint, **{**given, **values})


class TestTasks:
    def test_completed__are_told_signed(self, receiver, drain):
        endpoint_of(receiver, Kind.TASK_COMPLETED)
        post = Post.objects.create(title="a", body="b")
        drain()

        deliver()

        (received,) = receiver.messages
        (task,) = received.payload["data"]["tasks"]
        row = EmbeddingTask.objects.get()
        assert received.payload["type"] == "task.completed"
        assert task == {
            "id": row.pk,
            "model": "testapp.post",
            "objectId": str(post.pk),
            "field": "embedding",
            "status": "completed",
            "batch": None,
        }
        assert abs(datetime.fromisoformat(received.payload["timestamp"]) - row.completed_at) < timedelta(seconds=1)
        assert received.headers["user-agent"] == sending.USER_AGENT
        assert receiver.forged == 0
        assert only_delivery().state == State.DELIVERED
        assert not WebhookEvent.objects.exists()

    def test_completed__two_thousand_are_few_messages(self, receiver, drain, settings):
        settings.EMBEDDINGS = {**SETTINGS, "WEBHOOK_COLLAPSE_SECONDS": 60}
        endpoint_of(receiver, Kind.TASK_COMPLETED)
        Post.objects.bulk_create(Post(title=f"{number}", body="b") for number in range(2_000))
        drain()
        early = deliver()
        WebhookEvent.objects.update(created_at=F("created_at") - timedelta(seconds=60))

        deliver()

        assert early == 0
        assert len(receiver.messages) <= 4
        assert sorted(task["id"] for task in receiver.tasks()) == sorted(
            EmbeddingTask.objects.values_list("pk", flat=True)
        )
        assert all(len(one.payload["data"]["tasks"]) <= 1_000 for one in receiver.messages)

    def test_failed__are_told_with_their_error_but_no_text(self, receiver, drain):
        endpoint_of(receiver, Kind.TASK_FAILED)
        Post.objects.create(title="[[reject]] secret words", body="b")
        drain()

        deliver()

        (task,) = receiver.tasks()
        assert receiver.kinds() == ["task.failed"]
        assert task["status"] == "failed"
        assert task["error"]["kind"] == "input"
        assert "secret words" not in str(receiver.messages[0].payload)

    def test_failed__an_attempt_that_is_not_the_last_is_not_told(self, receiver):
        endpoint_of(receiver, Kind.TASK_FAILED)
        make_task()
        (claim,) = ledger.claim("default", 1, worker="w")

        ledger.fail([claim], Failure.of(ValueError("no")), is_final=False)

        assert not WebhookEvent.objects.exists()

    def test_failed__by_deaths_of_workers_are_told(self, receiver, settings):
        settings.EMBEDDINGS = {**SETTINGS, "MAX_CRASHES": 1}
        endpoint_of(receiver, Kind.TASK_FAILED)
        task = make_task(Status.PROCESSING, worker="dead")
        ledger.rescue(worker="dead")

        deliver()

        assert [(one["id"], one["error"]["class"]) for one in receiver.tasks()] == [(task.pk, "WorkerDied")]

    def test_targets__only_those_that_an_endpoint_wants(self, receiver, drain):
        endpoint_of(receiver, Kind.TASK_COMPLETED, targets=["testapp.word.embedding"])
        Post.objects.create(title="a", body="b")
        word = Word.objects.create(word="w", meaning="m")
        drain()

        deliver()

        assert [(one["model"], one["objectId"]) for one in receiver.tasks()] == [("testapp.word", word.pk)]

    def test_settle__that_is_rolled_back_tells_nothing(self, receiver):
        endpoint_of(receiver)
        make_task()
        (claim,) = ledger.claim("default", 1, worker="w")

        with transaction.atomic():
            ledger.fail([claim], Failure.of(ValueError("no")), is_final=True)
            transaction.set_rollback(True)

        assert not WebhookEvent.objects.exists()

    def test_settle__without_subscribers_writes_nothing(self, receiver, drain):
        endpoint_of(receiver, is_enabled=False)
        Post.objects.create(title="a", body="b")

        drain()

        assert not WebhookEvent.objects.exists()

    def test_settle__costs_no_statement_more_with_subscribers(self, receiver, django_assert_num_queries):
        endpoint_of(receiver)
        make_task(batch=EmbeddingBatch.objects.create(name="b"))
        (claim,) = ledger.claim("default", 1, worker="w")
        assert events.is_wanted(Kind.TASK_FAILED)

        with django_assert_num_queries(1):
            ledger.fail([claim], Failure.of(ValueError("no")), is_final=True)

        assert set(WebhookEvent.objects.values_list("kind", flat=True)) == {"task.failed", "batch.finished"}

    def test_two_databases__both_are_told(self, receiver, drain, settings):
        settings.EMBEDDINGS = {**SETTINGS, "DATABASES": ["default", "other"]}
        endpoint_of(receiver, Kind.TASK_COMPLETED)
        Post.objects.using("other").create(title="a", body="b")
        Post.objects.create(title="a", body="b")
        drain()

        deliver()

        assert len(receiver.tasks()) == 2
        assert not WebhookEvent.objects.using("other").exists()

    def test_two_databases__whoever_dies_between_them_doubles_nothing(self, receiver, drain, settings, monkeypatch):
        settings.EMBEDDINGS = {**SETTINGS, "DATABASES": ["default", "other"]}
        endpoint_of(receiver, Kind.TASK_COMPLETED)
        Post.objects.using("other").create(title="a", body="b")
        drain()

        class DiedError(Exception):
            pass

        def die(*args: object, **kwargs: object) -> None:
            raise DiedError

        with monkeypatch.context() as patch, pytest.raises(DiedError):
            patch.setattr(events, "touch_batches", die)
            collecting.collect("other")
        written = WebhookDelivery.objects.count()
        Post.objects.using("other").create(title="c", body="d")
        drain()
        deliver()
        deliver()

        assert written == 1
        assert len(receiver.tasks()) == 2
        assert len(receiver.messages) == len({one.id for one in receiver.messages}) == 2


class TestBatches:
    def test_finished__when_no_task_is_open(self, receiver, drain):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        with embeddings.batch("upload") as batch:
            Post.objects.create(title="a", body="b")
            Post.objects.create(title="c", body="d")
        late = EmbeddingTask.objects.order_by("-pk").first()
        EmbeddingTask.objects.filter(pk=late.pk).update(status=Status.SCHEDULED, available_at="2999-01-01T00:00Z")
        drain()
        deliver()
        before = receiver.kinds()
        EmbeddingTask.objects.filter(pk=late.pk).update(status=Status.PENDING, available_at=None)
        drain()

        deliver()

        (received,) = receiver.messages
        data = received.payload["data"]
        assert before == []
        assert (data["name"], data["total"], data["done"], data["failed"]) == ("upload", 2, 2, 0)
        assert data["id"] == batch.pk

    def test_finished__is_told_once(self, receiver, drain):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        with embeddings.batch("upload"):
            Post.objects.create(title="a", body="b")
        drain()
        deliver()
        events.touch_batches(list(EmbeddingBatch.objects.values_list("pk", flat=True)), using="default")

        deliver()

        assert receiver.kinds() == ["batch.finished"]

    def test_finished__is_told_again_when_it_was_worked_on_again(self, receiver, drain):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        with embeddings.batch("upload") as batch:
            Post.objects.create(title="a", body="b")
        drain()
        deliver()
        EmbeddingTask.objects.update(status=Status.FAILED, completed_at=None)
        operations.retry(EmbeddingTask.objects.filter(batch=batch))
        drain()

        deliver()

        assert receiver.kinds() == ["batch.finished"] * 2

    @pytest.mark.parametrize("how", ["cancel", "delete", "clean up"])
    def test_finished__by_what_takes_the_last_task_away(self, receiver, how):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        with embeddings.batch("upload"):
            post = Post.objects.create(title="a", body="b")
        if how == "cancel":
            operations.cancel(EmbeddingTask.objects.all())
        elif how == "delete":
            post.delete()
        else:
            ledger.forget_orphans(EmbeddingTask.objects.filter(object_id=str(post.pk)))

        deliver()

        assert receiver.kinds() == ["batch.finished"]

    def test_finished__by_a_box_that_is_thrown_away(self, receiver):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        with embeddings.batch("upload"):
            boxed = Parcel.objects.create_boxed(slug="a", text="b")
        boxes.discard(boxed.task_id)

        deliver()

        assert receiver.kinds() == ["batch.finished"]

    def test_finished__is_not_told_of_an_old_batch_whose_objects_go(self, receiver, drain):
        with embeddings.batch("upload"):
            post = Post.objects.create(title="a", body="b")
        drain()
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        post.delete()

        deliver()

        assert receiver.messages == []

    def test_finished__by_another_batch_that_takes_the_last_task_over(self, receiver):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        with embeddings.batch("first"):
            post = Post.objects.create(title="a", body="b")
        with embeddings.batch("second"):
            post.save()

        deliver()

        assert [message.payload["data"]["name"] for message in receiver.messages] == ["first"]

    def test_finished__is_not_told_of_an_old_batch_whose_tasks_are_done(self, receiver, drain):
        with embeddings.batch("first"):
            post = Post.objects.create(title="a", body="b")
        drain()
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        post.title = "c"
        with embeddings.batch("second"):
            post.save()

        deliver()

        assert receiver.messages == []

    def test_finished__not_while_its_operation_reads_on(self, receiver, drain):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        Word.objects.create(word="w", meaning="m")
        drain()
        operation = operations.regenerate(Word)
        task = EmbeddingTask.objects.get()
        EmbeddingTask.objects.filter(pk=task.pk).update(batch=operation.batch)
        events.touch_batches([operation.batch_id], using="default")
        deliver()
        before = receiver.kinds()
        operations.stop(operation)

        deliver()

        assert before == []
        assert receiver.kinds() == ["batch.finished"]

    def test_finished__a_batch_that_somebody_adds_to_is_asked_about_later(self, receiver):
        endpoint_of(receiver, Kind.BATCH_FINISHED)
        batch = EmbeddingBatch.objects.create(name="upload")
        events.touch_batches([batch.pk], using="default")
        with sessions.session() as other, other.transaction():
            other.execute("UPDATE embeddings_embeddingbatch SET total = 1")
            deliver()
            before = receiver.kinds()

        deliver()

        assert before == []
        assert receiver.kinds() == ["batch.finished"]


class TestAlerts:
    def test_alerts__are_told_when_raised_and_over(self, receiver, settings):
        settings.EMBEDDINGS = {**SETTINGS, "ALERT_FAILED": 1, "ALERT_EMAILS": False}
        endpoint_of(receiver, Kind.QUEUE_UNHEALTHY, Kind.QUEUE_RECOVERED)
        task = make_task(Status.FAILED)
        alerts.watch([Alert.Kind.FAILED])
        deliver()
        task.delete()
        Alert.objects.update(seen_at=timezone.now() - timedelta(seconds=90))
        alerts.watch([Alert.Kind.FAILED])

        deliver()
        alerts.finish()

        assert receiver.kinds() == ["queue.unhealthy", "queue.recovered"]
        raised, over = (one.payload["data"] for one in receiver.messages)
        assert raised["alert"] == "failed"
        assert "1 task has failed" in raised["message"]
        assert (raised["overAt"], bool(over["overAt"])) == (None, True)


class TestAttempts:
    def test_deliver__again_until_it_is_taken_with_the_same_id(self, receiver):
        endpoint = endpoint_of(receiver)
        message(endpoint)
        receiver.answer(500, 503, body=b"not now")
        for _ in range(3):
            deliver()
            hasten()

        one = only_delivery()
        endpoint.refresh_from_db()
        assert len(receiver.messages) == 3
        assert len({each.id for each in receiver.messages}) == 1
        assert (one.state, one.attempts, one.status_code) == (State.DELIVERED, 3, 204)
        assert [entry["status"] for entry in one.history] == [500, 503, 204]
        assert one.history[0]["error"] == "Answered 500: not now"
        assert endpoint.failing_since is None
        assert endpoint.last_delivered_at is not None

    def test_deliver__waits_by_the_schedule_and_gives_up_after_it(self, receiver):
        endpoint = endpoint_of(receiver)
        message(endpoint)
        receiver.answer(*[500] * 8)
        delays = []
        for _ in range(8):
            deliver()
            delays.append((only_delivery().available_at - timezone.now()).total_seconds())
            hasten()

        for seconds, planned in zip(delays[:7], deliveries.DELAYS_SECONDS, strict=True):
            assert planned - 2 < seconds <= planned * 1.1
        assert only_delivery().state == State.FAILED
        assert deliver() == 0

    @pytest.mark.parametrize(
        ("status", "asked", "least", "most"), [(429, "100", 98, 111), (503, "1", 4, 6), (500, "100", 4, 6)]
    )
    def test_deliver__honours_retry_after(self, receiver, status, asked, least, most):
        message(endpoint_of(receiver))
        receiver.answer(status, headers={"retry-after": asked})

        deliver()

        assert least < (only_delivery().available_at - timezone.now()).total_seconds() < most

    def test_deliver__does_not_follow_redirects(self, receiver):
        message(endpoint_of(receiver))
        receiver.answer(302, headers={"location": f"{receiver.url}/elsewhere"})

        deliver()

        assert [one.path for one in receiver.messages] == ["/hooks"]
        assert "redirects are not followed" in only_delivery().error_message

    def test_deliver__gives_a_slow_receiver_up_in_time(self, receiver, settings):
        settings.EMBEDDINGS = {**SETTINGS, "WEBHOOK_TIMEOUT_SECONDS": 0.2}
        message(endpoint_of(receiver))
        receiver.delay = 1.0

        deliver()

        assert only_delivery().error_message == "No answer within 0.2 s."
        assert only_delivery().history[0]["seconds"] < 0.6

    def test_deliver__reads_little_of_a_long_answer(self, receiver):
        message(endpoint_of(receiver))
        receiver.answer(500, body=b"x" * 1_000_000)

        deliver()

        assert only_delivery().error_message == f"Answered 500: {'x' * 200}"

    def test_deliver__a_taken_message_does_not_wait_for_the_rest_of_the_answer(self, receiver, settings):
        settings.EMBEDDINGS = {**SETTINGS, "WEBHOOK_TIMEOUT_SECONDS": 0.5}
        message(endpoint_of(receiver))
        receiver.answer(200, headers={"transfer-encoding": "chunked"})  # and no chunk ever comes

        deliver()

        assert (only_delivery().state, only_delivery().error_message) == (State.DELIVERED, "")

    def test_deliver__nobody_there(self, receiver):
        message(endpoint_of(receiver, url="http://127.0.0.1:1/"))

        deliver()

        assert only_delivery().state == State.WAITING
        assert only_delivery().error_message.startswith("No connection, or it broke")

    def test_deliver__at_most_three_at_once_to_one_endpoint(self, receiver):
        endpoint = endpoint_of(receiver)
        for number in range(8):
            message(endpoint, number)
        receiver.delay = 0.1

        deliver()

        assert len(receiver.messages) == 8
        assert receiver.most == 3

    def test_deliver__a_slow_endpoint_does_not_hold_up_others(self, receiver):
        slow = endpoint_of(receiver)
        for number in range(5):
            message(slow, number)
        with receiving() as quick:
            receiver.delay = 0.5
            message(endpoint_of(quick))
            Deliverer("test", seconds=0.1).run()

            assert len(quick.messages) == 1

    def test_claim__what_waits_for_a_failing_endpoint_does_not_hide_what_is_due_to_others(self, receiver):
        failing = endpoint_of(receiver, failing_since=timezone.now())
        for number in range(25):
            message(failing, number, available_at=timezone.now() - timedelta(hours=1))
        other = message(endpoint_of(receiver))
        (under_way,) = deliveries.claim(2, worker="a")

        (claimed,) = deliveries.claim(2, worker="b")

        assert (under_way.endpoint, claimed.delivery) == (failing, other)

    def test_deliver__stops_in_time_and_gives_back(self, receiver):
        endpoint = endpoint_of(receiver)
        message(endpoint)
        receiver.delay = 1.0

        Deliverer("test", hurry=lambda: True).run()

        assert (only_delivery().state, only_delivery().attempts) == (State.WAITING, 0)

    def test_deliver__holds_no_transaction_while_it_sends(self, receiver):
        message(endpoint_of(receiver))
        receiver.delay = 0.5
        join = sessions.in_thread(deliver)
        wait_until(lambda: receiver.present)

        with sessions.session() as other:
            open_ones = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state LIKE 'idle in transaction%'"
            ).fetchone()

        join()
        assert open_ones == (0,)


class TestEndpoints:
    def test_gone__disables_at_once(self, receiver, settings):
        settings.ADMINS = [("Operator", "operator@example.com")]
        endpoint = endpoint_of(receiver)
        message(endpoint)
        waiting = message(endpoint, 1, available_at=timezone.now() + timedelta(hours=1))
        receiver.answer(410)

        deliver()

        endpoint.refresh_from_db()
        waiting.refresh_from_db()
        assert not endpoint.is_enabled
        assert "410 Gone" in endpoint.disabled_reason
        assert waiting.state == State.CANCELLED
        assert len(mail.outbox) == 1
        assert "410 Gone" in mail.outbox[0].body
        assert AuditEvent.objects.filter(kind=audit.Kind.WEBHOOK, message__contains="disabled").count() == 1
        assert not events.is_wanted(Kind.TASK_COMPLETED)

    @pytest.mark.parametrize(("days", "is_enabled"), [(4, True), (6, False)])
    def test_failing__disables_after_five_days(self, receiver, days, is_enabled):
        endpoint = endpoint_of(receiver, failing_since=timezone.now() - timedelta(days=days))
        message(endpoint)
        receiver.answer(500)

        deliver()

        endpoint.refresh_from_db()
        assert endpoint.is_enabled == is_enabled

    def test_rotate__both_secrets_are_valid_for_a_day(self, receiver):
        endpoint = endpoint_of(receiver)
        endpoints.rotate(endpoint, by="bob")
        message(endpoint)
        deliver()
        WebhookEndpoint.objects.update(former_secret_until=timezone.now())
        message(endpoint, 1)

        deliver()

        assert [one.payload["data"]["number"] for one in receiver.messages] == [0]
        assert len(receiver.messages[0].headers["webhook-signature"].split()) == 2
        assert receiver.forged == 1

    def test_rotate__the_new_secret_signs(self, receiver):
        endpoint = endpoint_of(receiver)
        receiver.secrets[:] = [endpoints.rotate(endpoint, by="bob")]
        message(endpoint)

        deliver()

        assert len(receiver.messages) == 1
        assert not any(secret in str(AuditEvent.objects.values()) for secret in receiver.secrets)

    def test_replay__what_has_ended_with_its_id(self, receiver):
        endpoint = endpoint_of(receiver)
        message(endpoint)
        message(endpoint, 1, state=State.FAILED, attempts=8)
        message(endpoint, 2, state=State.CANCELLED)
        deliver()

        replayed = deliveries.replay(WebhookDelivery.objects.all())
        deliver()

        assert replayed == 3
        assert [one.payload["data"]["number"] for one in receiver.messages].count(0) == 2
        assert len(receiver.messages) == 4
        assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {State.DELIVERED}

    def test_replay__not_to_a_disabled_endpoint(self, receiver):
        endpoint = endpoint_of(receiver, is_enabled=False)
        message(endpoint, state=State.FAILED)

        assert deliveries.replay(WebhookDelivery.objects.all()) == 0


class TestWorkers:
    @pytest.mark.parametrize("queue", ["embeddings", "webhooks"])
    def test_worker__delivers_and_redis_may_forget(self, receiver, workers, redis_client, queue):
        endpoint_of(receiver, Kind.TASK_COMPLETED, Kind.BATCH_FINISHED)
        options = {**SETTINGS, "SWEEP_SECONDS": 1, "WEBHOOK_COLLAPSE_SECONDS": 0.5}
        if queue == "webhooks":
            options["WEBHOOK_QUEUE"] = queue
            workers.start_on(queue, embeddings=options, DJANGO_SETTINGS_MODULE="tests.integration.webhook_settings")
        extra = {"DJANGO_SETTINGS_MODULE": "tests.integration.webhook_settings"} if queue == "webhooks" else {}
        workers.started(embeddings=options, **extra)
        with embeddings.batch("upload"):
            Post.objects.create(title="a", body="b")
        wait_until(lambda: EmbeddingTask.objects.filter(status=Status.COMPLETED).exists())
        redis_client.flushdb()

        assert wait_until(lambda: set(receiver.kinds()) == {"task.completed", "batch.finished"})

    def test_job__that_can_do_nothing_does_not_call_itself_again(self, receiver, redis_client):
        failing = endpoint_of(receiver, failing_since=timezone.now())
        for number in range(2):
            message(failing, number)
        deliveries.claim(1, worker="another")

        webhooks.deliver()

        assert webhooks.are_due()
        assert broker.queue(1.0, "embeddings").count == 0

    def test_job__that_leaves_something_calls_itself_again(self, receiver, redis_client, monkeypatch):
        monkeypatch.setattr(delivering, "SECONDS", 0.1)
        receiver.delay = 0.2
        endpoint = endpoint_of(receiver)
        for number in range(4):
            message(endpoint, number)

        webhooks.deliver()

        assert broker.queue(1.0, "embeddings").count == 1

    def test_worker__that_is_killed_while_it_sends_is_replaced(self, receiver, workers):
        message(endpoint_of(receiver))
        receiver.delay = 30.0
        process = workers.started(embeddings={**SETTINGS, "SWEEP_SECONDS": 1, "WEBHOOK_TIMEOUT_SECONDS": 20})
        wait_until(lambda: receiver.present)
        child = child_of(process)
        receiver.delay = 0.0
        assert child is not None

        os.kill(child, signal.SIGKILL)

        wait_until(lambda: only_delivery().state == State.DELIVERED)
        assert only_delivery().history[0]["error"] == "The worker died while it was sending."

    def test_lease__that_ran_out_is_taken_by_another(self, receiver):
        message(endpoint_of(receiver))
        (claim,) = deliveries.claim(1, worker="dead")
        WebhookDelivery.objects.update(lease_until=datetime(2020, 1, 1, tzinfo=UTC))

        deliver()

        assert only_delivery().state == State.DELIVERED
        assert not deliveries.settle(claim, sending.Result(1.0, 500, "Answered 500."))
        assert only_delivery().state == State.DELIVERED
