from __future__ import annotations

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.utils import timezone

from embeddings import ledger, stats
from embeddings.failure import Failure
from embeddings.models import EmbeddingTask, TaskAttempt
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db


def test_timeline__has_attempts_and_what_people_did(drain, settings, task_of, admin_user):
    settings.EMBEDDINGS = {"MAX_ATTEMPTS": 1}
    post = Post.objects.create(title="[[transient]]")
    drain()
    LogEntry.objects.log_actions(admin_user.pk, [task_of(post)], CHANGE, "Retried.")
    ledger.retry(EmbeddingTask.objects.all())
    Post.objects.filter(pk=post.pk).update(title="fine")
    drain()

    last, retried, first = stats.timeline(task_of(post))

    assert (last.what, last.outcome, last.worker, last.number, last.error) == (
        "attempt 1",
        "completed",
        "test",
        1,
        "",
    )
    assert last.seconds >= 0
    assert last.tokens > 0
    assert (retried.what, retried.by, retried.outcome) == ("Retried.", admin_user.username, "")
    assert (first.outcome, first.error != "") == ("failed", True)
    assert last.at > retried.at > first.at


def test_timeline__begins_with_what_is_in_hand():
    task = make_task()
    failure = Failure("transient", "TransientError", "It broke.")
    ledger.fail(ledger.claim("default", 1, worker="host.1"), failure, is_final=False)
    EmbeddingTask.objects.update(status="pending", available_at=None)
    ledger.claim("default", 1, worker="host.2")
    task.refresh_from_db()

    now, before = stats.timeline(task)

    assert (now.what, now.outcome, now.worker, now.number) == ("in hand", "processing", "host.2", 2)
    assert before.outcome == "failed, to be tried again"


def test_timeline__is_bounded_and_by_an_index(django_assert_num_queries):
    task, other = make_task(), make_task()
    attempt = {"outcome": "failed", "number": 1, "version": 1, "ended_at": timezone.now()}
    TaskAttempt.objects.bulk_create(
        TaskAttempt(task_id=(task if number < 150 else other).pk, **attempt) for number in range(3_000)
    )

    ContentType.objects.get_for_model(EmbeddingTask)

    with django_assert_num_queries(2):
        entries = stats.timeline(task)

    assert len(entries) == 100
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE embeddings_taskattempt")
        plan = TaskAttempt.objects.filter(task_id=task.pk).order_by("-pk")[:100].explain()
    assert "embeddings_attempt_task" in plan
