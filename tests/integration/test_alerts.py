"""Operators are told once of what needs them, whoever notices it, and hear when it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import alerts, audit, census, heartbeats, jobs, stats
from embeddings.alerts import saving, telling
from embeddings.models import Alert, AuditEvent, EmbeddingTask, Pause, ProviderState, Status, WorkerStatus
from tests.integration import sessions
from tests.integration.conftest import wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

Kind = Alert.Kind
Events = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _without_flush() -> Iterator[None]:
    yield from sessions.without_flush()


@pytest.fixture(autouse=True)
def _operators(settings) -> None:
    settings.ADMINS = [("Operator", "operator@example.com")]
    settings.EMBEDDINGS = {"ALERT_FAILED": 2, "ALERT_WAITING_SECONDS": 3600}


@pytest.fixture
def heard() -> Iterator[Events]:
    """What the signals said: (which, the alert's kind)."""
    events: Events = []

    def raised(alert: Alert, **kwargs: object) -> None:
        events.append(("raised", alert.kind))

    def over(alert: Alert, **kwargs: object) -> None:
        events.append(("over", alert.kind))

    alerts.alert_raised.connect(raised)
    alerts.alert_over.connect(over)
    yield events
    alerts.alert_raised.disconnect(raised)
    alerts.alert_over.disconnect(over)


def watch() -> None:
    """Look, and wait until all is told."""
    alerts.watch()
    wait_for_telling()


def wait_for_telling() -> None:
    for thread in threading.enumerate():
        if thread.name == telling.THREAD:
            thread.join(timeout=10)


def kinds() -> list[str]:
    return [alert.kind for alert in stats.open_alerts()]


def pass_time(seconds: float) -> None:
    """As if the alerts had been seen so long ago."""
    Alert.objects.update(seen_at=Now() - timedelta(seconds=seconds))


class TestTelling:
    def test_alert__is_told_once_while_it_lasts(self, heard):
        make_task(Status.FAILED)
        make_task(Status.FAILED)

        watch()
        make_task(Status.FAILED)
        watch()

        (alert,) = stats.open_alerts()
        assert alert.kind == Kind.FAILED
        assert alert.message.startswith("3 tasks have failed. See the failures by group")
        assert heard == [("raised", "failed")]
        (letter,) = mail.outbox
        assert letter.to == ["operator@example.com"]
        assert letter.subject == "[Django] Embeddings: many failed tasks"
        assert letter.body.startswith("2 tasks have failed. See the failures by group")
        (event,) = AuditEvent.objects.all()
        assert (event.kind, event.message[:19]) == ("alert", "2 tasks have failed")

    def test_alert__is_over_when_it_has_been_quiet_for_a_minute(self, heard):
        make_task(Status.FAILED)
        failed = make_task(Status.FAILED)
        watch()
        failed.delete()

        watch()
        assert kinds() == ["failed"]
        pass_time(61)
        watch()

        assert kinds() == []
        assert Alert.objects.get().over_at is not None
        assert heard == [("raised", "failed"), ("over", "failed")]
        assert mail.outbox[1].subject == "[Django] Embeddings: over: many failed tasks"
        assert AuditEvent.objects.latest("pk").kind == "alert_over"

    def test_alert__that_comes_again_is_another(self, heard):
        make_task(Status.FAILED)
        make_task(Status.FAILED)
        watch()
        Alert.objects.update(over_at=Now())

        watch()

        assert Alert.objects.count() == 2
        assert heard == [("raised", "failed")] * 2

    def test_alert__of_two_watchers_at_once_is_told_once(self, heard):
        make_task(Status.FAILED)
        make_task(Status.FAILED)

        for join in [sessions.in_thread(alerts.watch) for _ in range(4)]:
            join()
        wait_for_telling()

        assert Alert.objects.count() == AuditEvent.objects.count() == len(mail.outbox) == len(heard) == 1

    def test_alert__survives_receivers_that_raise(self, heard, caplog):
        def broken(**kwargs: object) -> None:
            raise RuntimeError("The pager is broken.")

        alerts.alert_raised.connect(broken)
        try:
            make_task(Status.FAILED)
            make_task(Status.FAILED)
            watch()
        finally:
            alerts.alert_raised.disconnect(broken)

        (letter,) = mail.outbox
        assert letter.subject.startswith("[Django] Embeddings:")
        assert "The pager is broken." in caplog.text
        assert len(heard) == 1
        assert kinds() == ["failed"]

    def test_alert__survives_a_mail_server_that_is_away(self, heard, settings, caplog):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        make_task(Status.FAILED)
        make_task(Status.FAILED)

        watch()

        assert "An alert could not be mailed" in caplog.text
        assert heard == [("raised", "failed")]

    def test_alert__nobody_waits_for_it_to_be_told(self):
        is_told = threading.Event()

        def slow(**kwargs: object) -> None:
            is_told.wait(timeout=10)

        alerts.alert_raised.connect(slow)
        try:
            make_task(Status.FAILED)
            make_task(Status.FAILED)
            alerts.watch()  # would take 10 s

            assert kinds() == ["failed"]
            assert any(thread.name == telling.THREAD for thread in threading.enumerate())
        finally:
            is_told.set()
            wait_for_telling()
            alerts.alert_raised.disconnect(slow)

    def test_alert__without_mail_is_a_signal(self, heard, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ALERT_EMAILS": False}
        make_task(Status.FAILED)
        make_task(Status.FAILED)

        watch()

        assert mail.outbox == []
        assert heard == [("raised", "failed")]

    def test_alert__without_admins_is_no_mail(self, heard, settings):
        settings.ADMINS = []
        make_task(Status.FAILED)
        make_task(Status.FAILED)

        watch()

        assert mail.outbox == []
        assert heard == [("raised", "failed")]


class TestFailed:
    def test_failed__fewer_than_the_setting_are_none(self):
        make_task(Status.FAILED)
        watch()
        assert kinds() == []

    def test_failed__of_all_databases_together(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
        task = make_task(Status.FAILED)
        task.pk = None
        ContentType.objects.clear_cache()
        task.content_type_id = ContentType.objects.db_manager("other").get_for_model(Post).pk
        task.save(using="other")

        watch()

        assert kinds() == ["failed"]

    def test_failed__none_where_the_setting_is_zero(self, settings):
        settings.EMBEDDINGS = {"ALERT_FAILED": 0}
        make_task(Status.FAILED)
        watch()
        assert kinds() == []


def wait_for_hours(hours: float, status: str = Status.PENDING, **values: object) -> EmbeddingTask:
    return make_task(status, requested_at=timezone.now() - timedelta(hours=hours), **values)


class TestWaiting:
    @pytest.fixture(autouse=True)
    def _worker(self) -> None:
        heartbeats.born("alive")

    def test_waiting__longer_than_the_setting(self):
        wait_for_hours(3)

        watch()

        (alert,) = stats.open_alerts()
        assert alert.kind == Kind.WAITING
        assert alert.message.startswith("A task has been waiting for 3 h. See whether enough workers run")

    def test_waiting__by_a_census_too(self):
        wait_for_hours(3)
        census.take_if_due("default")

        watch()

        assert kinds() == ["waiting"]

    @pytest.mark.parametrize("status", [Status.SCHEDULED, Status.FAILED, Status.COMPLETED, Status.PROCESSING])
    def test_waiting__is_not_what_has_its_time_or_its_end(self, status):
        wait_for_hours(3, status)
        watch()
        assert kinds() == []

    def test_waiting__is_what_the_provider_does_not_take(self):
        wait_for_hours(3, Status.RATE_LIMITED)
        watch()
        assert kinds() == ["waiting"]

    def test_waiting__not_as_long_as_the_setting(self):
        wait_for_hours(0.9)
        watch()
        assert kinds() == []

    @pytest.mark.parametrize(
        ("kind", "name"), [("everything", ""), ("provider", "default"), ("target", "testapp.post.embedding")]
    )
    def test_waiting__is_not_what_is_paused(self, kind, name):
        wait_for_hours(3)
        pause = Pause.objects.create(kind=kind, name=name, reason="a move")

        watch()
        assert kinds() == []

        Pause.objects.filter(pk=pause.pk).update(ends_at=Now() - timedelta(seconds=1))
        watch()
        assert kinds() == ["waiting"]

    def test_waiting__beside_what_is_paused(self):
        wait_for_hours(3)
        Pause.objects.create(kind="provider", name="another", reason="a move")

        watch()

        assert kinds() == ["waiting"]


class TestNoWorker:
    def test_no_worker__and_tasks_that_wait(self):
        wait_for_hours(0.1)

        watch()

        (alert,) = stats.open_alerts()
        assert alert.message == "Tasks wait, and no worker is alive. Start one: manage.py rqworker embeddings"

    def test_no_worker__is_over_at_once_when_one_is_there(self, heard):
        wait_for_hours(0.1)
        watch()
        heartbeats.born("new")

        watch()

        assert heard == [("raised", "no_worker"), ("over", "no_worker")]

    @pytest.mark.parametrize("state", ["idle", "active", "error"])
    def test_no_worker__one_that_lives_is_enough(self, state):
        wait_for_hours(0.1)
        heartbeats.born("alive")
        WorkerStatus.objects.update(state=state)

        watch()

        assert kinds() == []

    def test_no_worker__one_that_stopped_or_fell_silent_is_none(self):
        wait_for_hours(0.1)
        heartbeats.born("stopped")
        heartbeats.stopped("stopped")
        heartbeats.born("silent")
        WorkerStatus.objects.filter(name="silent").update(heartbeat_at=Now() - timedelta(seconds=31))

        watch()

        assert kinds() == ["no_worker"]

    def test_no_worker__tasks_whose_time_came_and_went(self):
        task = make_task(Status.SCHEDULED)
        watch()
        assert kinds() == []

        EmbeddingTask.objects.filter(pk=task.pk).update(available_at=Now() - timedelta(seconds=31))
        watch()
        assert kinds() == ["no_worker"]

    @pytest.mark.parametrize("waited", [0.0, 0.005])
    def test_no_worker__is_given_half_a_minute(self, waited):
        wait_for_hours(waited)
        watch()
        assert kinds() == []

    def test_no_worker__is_needed_without_a_queue(self, settings):
        settings.EMBEDDINGS = {"QUEUE_ENABLED": False}
        wait_for_hours(0.1)
        watch()
        assert kinds() == []


class TestProvider:
    def blocked(self, reason: str, alias: str = "default") -> None:
        ProviderState.objects.create(
            alias=alias, blocked_reason=reason, blocked_until=timezone.now(), last_error="The key\nis wrong."
        )

    @pytest.mark.parametrize(
        ("reason", "sentence"), [("circuit", "fails again and again"), ("configuration", "refuses every request")]
    )
    def test_provider__that_is_blocked(self, reason, sentence):
        self.blocked(reason)

        watch()

        (alert,) = stats.open_alerts()
        assert alert.subject == "default"
        assert alert.message.startswith(f"The provider 'default' {sentence}")
        assert alert.message.endswith("It said: The key is wrong.")
        assert AuditEvent.objects.get().subject == "provider default"

    def test_provider__only_after_a_probe(self, settings):
        self.blocked("circuit")
        audit.record(audit.Kind.BLOCKED, "Its circuit is open.", subject="provider default")
        watch()
        assert kinds() == []

        AuditEvent.objects.update(created_at=Now() - timedelta(seconds=31))
        watch()
        assert kinds() == ["provider"]

    def test_provider__that_rests_for_its_quota_is_well(self):
        self.blocked("rate_limit")
        watch()
        assert kinds() == []

    def test_provider__that_is_gone_or_paused_is_none(self):
        self.blocked("circuit", "gone")
        self.blocked("circuit")
        Pause.objects.create(kind="provider", name="default", reason="a move")
        watch()
        assert kinds() == []


class TestSaving:
    @pytest.fixture(autouse=True)
    def _at_its_first_look(self, monkeypatch, redis_client) -> None:
        monkeypatch.setattr(saving, "_looked_at", float("-inf"))

    def test_save__notices_that_no_worker_lives(self):
        wait_for_hours(0.1)

        Post.objects.create(title="saved")
        wait_for_telling()

        assert kinds() == ["no_worker"]
        assert len(mail.outbox) == 1

    def test_save__looks_once_a_minute(self):
        Post.objects.create(title="saved")
        wait_for_hours(0.1)

        Post.objects.create(title="saved again")

        assert kinds() == []

    def test_save__looks_for_nothing_else(self):
        make_task(Status.FAILED)
        make_task(Status.FAILED)
        Post.objects.create(title="saved")
        assert kinds() == []

    def test_look__costs_two_statements(self, django_assert_num_queries):
        heartbeats.born("alive")
        with django_assert_num_queries(2):
            alerts.look_for_workers()

    def test_look__not_in_somebodys_transaction(self, django_assert_num_queries):
        with transaction.atomic(), django_assert_num_queries(0):
            alerts.look_for_workers()

    @pytest.fixture
    def broken(self) -> Iterator[Callable[[], object]]:
        with sessions.session() as other:
            other.execute("ALTER TABLE embeddings_workerstatus RENAME TO away")
            yield
            other.execute("ALTER TABLE away RENAME TO embeddings_workerstatus")

    def test_save__succeeds_if_nothing_can_be_seen(self, broken, caplog):
        post = Post.objects.create(title="saved")

        assert Post.objects.filter(pk=post.pk).exists()
        assert "It could not be seen whether a worker lives." in caplog.text


class TestWorker:
    def test_drain__ends_when_all_is_told(self):
        told: list[str] = []

        def slow(alert: Alert, **kwargs: object) -> None:
            time.sleep(0.3)
            told.append(alert.kind)

        alerts.alert_raised.connect(slow)
        try:
            make_task(Status.FAILED)
            make_task(Status.FAILED)
            jobs.drain()  # its last beat counts the ledger
        finally:
            alerts.alert_raised.disconnect(slow)

        assert told == ["failed"]

    def test_worker__raises_and_ends_alerts(self, workers):
        failed = [make_task(Status.FAILED) for _ in range(2)]
        wait_for_hours(0.1)
        alerts.watch([Kind.NO_WORKER])
        workers.started(embeddings={"ALERT_FAILED": 2})

        wait_until(lambda: kinds() == ["failed"])
        EmbeddingTask.objects.filter(pk__in=[task.pk for task in failed]).delete()
        pass_time(61)

        wait_until(lambda: not kinds())
