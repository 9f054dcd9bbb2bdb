from __future__ import annotations

import getpass
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from embeddings import heartbeats, limiter, metrics, pauses, tally
from embeddings.models import AuditEvent, EmbeddingTask, Pause, ProviderCall, Status, TargetTotal, TaskAttempt
from embeddings.providers.dummy import DummyProvider
from tests.integration.command_line import Terminal, run
from tests.integration.conftest import counts, dummy
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

NAME = f"command line ({getpass.getuser()})"


def paused() -> set[tuple[str, str]]:
    return set(Pause.objects.values_list("kind", "name"))


# pause and resume


def test_pause__everything_with_an_end():
    Post.objects.create(title="a")

    ran = run("pause", "--yes", "--reason", "lunch", "--for", "2h")

    assert ran.code == 0
    assert "Everything: 1 task waits now" in ran.out
    begun = Pause.objects.get()
    assert (begun.kind, begun.reason, begun.by) == ("everything", "lunch", NAME)
    assert begun.ends_at is not None
    assert timedelta(minutes=119) < begun.ends_at - timezone.now() <= timedelta(hours=2)


def test_pause__everything_asks_first(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))

    ran = run("pause", "--reason", "lunch")

    assert ran.code == 1
    assert "Pause everything? [y/N]" in ran.error
    assert not paused()


def test_pause__everything_needs_yes_without_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)

    assert run("pause", "--reason", "lunch").code == 2
    assert run("pause", "--reason", "lunch", "--dry-run").code == 0
    assert not paused()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--provider", "default"], ("provider", "default")),
        (["--target", "testapp.Post"], ("target", "testapp.post.embedding")),
        (["--target", "content.article.embedding"], ("target", "content.article.embedding")),
    ],
)
def test_pause_and_resume__one_thing(arguments, expected):
    begun = run("pause", *arguments, "--reason", "why", "--json")
    was_paused = paused()
    ended = run("resume", *arguments, "--json")

    assert begun.data["paused"] is True
    assert was_paused == {expected}
    assert [(one["kind"], one["name"]) for one in ended.data["lifted"]] == [expected]
    assert not paused()
    assert set(AuditEvent.objects.values_list("by", flat=True)) == {NAME}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pause", "--yes"], "Give a --reason"),
        (["pause", "--yes", "--reason", " "], "Give a --reason"),
        (["pause", "--yes", "--reason", "x", "--until", "tomorrow"], "must be a time such as"),
        (["pause", "--yes", "--reason", "x", "--until", "9999-12-31T23:59-05:00"], "must be a time such as"),
        (["pause", "--yes", "--reason", "x", "--until", "2001-01-01T10:00"], "must lie in the future"),
        (["pause", "--yes", "--reason", "x", "--for", "2"], "must be a time such as"),
        (["pause", "--yes", "--reason", "x", "--for", "0h"], "must be a time such as"),
        (["pause", "--yes", "--reason", "x", "--for", "999999999d"], "too long"),
        (["pause", "--yes", "--reason", "x", "--for", "2h", "--until", "18:00"], "not allowed with"),
        (["pause", "--provider", "nobody", "--reason", "x"], "has no 'nobody'"),
        (["resume", "--target", "no.such"], "Nothing is embedded under"),
    ],
)
def test_pause__bad_input(arguments, sentence):
    ran = run(*arguments)

    assert ran.code == 2
    assert sentence in ran.error
    assert not paused()


def test_resume__nothing_to_do_says_what_else_is_paused():
    pauses.pause(Pause.Kind.PROVIDER, "default", reason="x", by="anna")

    ran = run("resume")

    assert ran.code == 1
    assert "Nothing was done" in ran.out
    assert "Still paused: provider default." in ran.out


def test_resume__all():
    pauses.pause(Pause.Kind.PROVIDER, "default", reason="x", by="anna")
    pauses.pause(Pause.Kind.EVERYTHING, reason="x", by="anna")

    ran = run("resume", "--all")

    assert ran.code == 0
    assert not paused()


def test_resume__a_provider_that_workers_leave_alone():
    limiter.misconfigured("default", "a wrong key")

    ran = run("resume", "--provider", "default", "--json")

    assert ran.data["unblocked"] == ["default"]
    assert limiter.open_lanes(["default"]) == ["default"]


# stuck and reset-stuck


def silent_worker(name: str) -> None:
    heartbeats.born(name)
    heartbeats._workers().filter(name=name).update(heartbeat_at=timezone.now() - timedelta(minutes=5))


def in_hand(worker: str, lease_seconds: float) -> EmbeddingTask:
    until = timezone.now() + timedelta(seconds=lease_seconds)
    return make_task(Status.PROCESSING, worker=worker, lease_until=until, claimed_at=timezone.now())


def test_stuck__expired_leases_and_silent_workers():
    heartbeats.born("alive")
    silent_worker("silent")
    expired, left = in_hand("unknown", -10), in_hand("silent", 30)
    in_hand("alive", 30)

    as_text, as_json = run("stuck"), run("stuck", "--json")

    assert as_text.code == as_json.code == 1
    assert {one["id"]: one["isExpired"] for one in as_json.data["tasks"]} == {expired.pk: True, left.pk: False}
    assert "its lease ran out 10 s ago" in as_text.out
    assert "its worker was last heard of 5 min ago" in as_text.out


def test_reset_stuck__frees_those_alone():
    heartbeats.born("alive")
    silent_worker("silent")
    in_hand("unknown", -10)
    in_hand("silent", 30)
    in_hand("alive", 30)

    dry, done, again = run("reset-stuck", "--dry-run"), run("reset-stuck", "--yes", "--json"), run("reset-stuck")

    assert "2 tasks would be free" in dry.out
    assert (dry.code, done.code, again.code) == (0, 0, 1)
    assert done.data["freed"] == 2
    assert counts() == {"pending": 2, "processing": 1}
    assert AuditEvent.objects.filter(by=NAME, kind="rescued").exists()


def test_reset_stuck__needs_yes(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    in_hand("unknown", -10)

    ran = run("reset-stuck")

    assert ran.code == 2
    assert counts() == {"processing": 1}


def test_reset_stuck__what_a_worker_that_ended_in_order_left_counts_no_death():
    heartbeats.born("ended")
    heartbeats.stopped("ended")
    task = in_hand("ended", 30)

    run("reset-stuck", "--yes")

    task.refresh_from_db()
    assert (task.status, task.crashes) == ("pending", 0)


def test_reset_stuck__counts_deaths_among_what_was_ever_done():
    metrics.hand_over(is_last=True)
    before = sum(TargetTotal.objects.values_list("attempts_failed", flat=True))
    silent_worker("silent")
    in_hand("silent", 30)

    run("reset-stuck", "--yes")

    assert not tally.take()
    assert sum(TargetTotal.objects.values_list("attempts_failed", flat=True)) == before + 1


# cleanup


def old_records() -> None:
    task = make_task(Status.COMPLETED)
    long_ago = timezone.now() - timedelta(days=40)
    for _ in range(3):
        TaskAttempt.objects.create(task=task, outcome="completed", number=1, version=1, ended_at=long_ago)
    TaskAttempt.objects.create(task=task, outcome="completed", number=1, version=1, ended_at=timezone.now())
    ProviderCall.objects.create(provider="default", model_id="m", inputs=1, latency_ms=1, outcome="ok")
    ProviderCall.objects.update(created_at=long_ago)


def test_cleanup__counts_then_deletes():
    old_records()

    dry = run("cleanup", "--dry-run", "--json")
    kept = TaskAttempt.objects.count()
    done = run("cleanup", "--days", 30, "--yes", "--json")

    assert {one["records"]: one["count"] for one in dry.data["old"]} == {"attempts": 3, "provider requests": 1}
    assert (kept, dry.data["deleted"]) == (4, 0)
    assert done.data["deleted"] == 4
    assert TaskAttempt.objects.count() == 1
    assert EmbeddingTask.objects.count() == 1


def test_cleanup__needs_yes(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    old_records()

    ran = run("cleanup")

    assert ran.code == 2
    assert "provider requests" in ran.out
    assert ProviderCall.objects.exists()


def test_cleanup__younger_than_days_stays():
    old_records()

    run("cleanup", "--days", 60, "--yes")

    assert ProviderCall.objects.exists()


def test_cleanup__nothing_is_well():
    ran = run("cleanup", "--yes")

    assert ran.code == 0
    assert "Nothing is older" in ran.out


# check and ping


def test_check__all_is_well():
    as_text, as_json = run("check"), run("check", "--json")

    assert as_text.code == as_json.code == 0
    assert "pgvector 0." in as_text.out
    assert "Redis answers" in as_text.out
    assert {one["level"] for one in as_json.data["findings"]} == {"ok"}


def test_check__what_is_wrong_with_what_to_do(settings):
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "DIMENSIONS": 12}}
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LEASE_SECONDS": 5}

    ran = run("check", "--json")

    found = {one["id"]: one for one in ran.data["findings"]}
    assert ran.code == 2
    assert found["embeddings.E006"]["level"] == "error"
    assert found["embeddings.W016"]["level"] == "warning"
    assert found["embeddings.E006"]["hint"]
    assert ran.data["errors"] and ran.data["warnings"]


def test_check__a_warning_alone(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LEASE_SECONDS": 5}

    assert run("check").code == 1


def test_check__a_column_of_other_dimensions():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_essay ALTER embedding TYPE vector(7)")

    ran = run("check")

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_essay ALTER embedding TYPE vector(256)")
    assert ran.code == 2
    assert "has 7 dimensions" in ran.out
    assert "embeddings.E013" in ran.out


def test_check__settings_that_cannot_be_read(settings):
    settings.EMBEDDINGS = {"BATCHSIZE": 3}

    ran = run("check", "--json")

    assert ran.code == 2
    assert [one["id"] for one in ran.data["findings"]] == ["embeddings.E001"]


def test_check__redis_away(settings):
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:1/0"}}

    ran = run("check")

    assert ran.code == 2
    assert "Redis cannot be reached" in ran.out


def test_ping__each_provider(settings):
    settings.EMBEDDING_PROVIDERS = {
        **dummy(),
        "wrong": {"BACKEND": "no.such.Backend", "MODEL": "m", "DIMENSIONS": 3},
        "limited": {**dummy()["default"], "REQUESTS_PER_MINUTE": 60},
    }

    as_json, as_text = run("ping", "--json"), run("ping")

    found = {one["provider"]: one for one in as_json.data["providers"]}
    assert as_json.code == as_text.code == 1
    assert found["default"]["isAnswering"] and found["default"]["dimensions"] == 256
    assert found["limited"]["quota"] == {"requests": {"used": 1, "limit": 60}}
    assert "cannot be imported" in found["wrong"]["error"]
    assert "2 of 60 requests" in as_text.out


def test_ping__exit_codes(settings):
    settings.EMBEDDING_PROVIDERS = {
        **dummy(),
        "wrong": {"BACKEND": "no.such.Backend", "MODEL": "m", "DIMENSIONS": 3},
    }

    codes = [run("ping", "--provider", alias).code for alias in ("default", "wrong", "nobody")]

    assert codes == [0, 2, 2]
    assert DummyProvider.calls == 1


def test_ping__without_providers(settings):
    settings.EMBEDDING_PROVIDERS = {}

    ran = run("ping")

    assert ran.code == 2
    assert "has no provider yet" in ran.error


def test_output__has_no_text_no_payload_no_key(drain, settings):
    secret = f"secret-{uuid.uuid4()}"
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"]}}
    Post.objects.create(title=secret)
    drain()
    make_task(Status.FAILED, payload={"title": secret})

    printed = "".join(
        run(name, *options).out
        for name in ("status", "stats", "recent", "failed", "check", "ping", "workers")
        for options in ([], ["--json"])
    )
    printed += run("failed", "--details", "--json").out

    assert printed
    assert secret not in printed
