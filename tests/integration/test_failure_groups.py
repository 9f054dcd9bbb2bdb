"""Failed tasks in groups: what is counted, dated and shown of them."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.utils import timezone

from embeddings import stats
from embeddings.models import EmbeddingTask, Status
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(databases=["default", "other"])

# The package has a function of this name too.
module = import_module("embeddings.stats.failures")


def failed(signature: str, count: int = 1, **values: object) -> list[EmbeddingTask]:
    return [make_task(Status.FAILED, error_signature=signature, **values) for _ in range(count)]


def elsewhere(signature: str, key: str) -> EmbeddingTask:
    """A failed task of the other database."""
    now = timezone.now()
    return EmbeddingTask.objects.using("other").create(
        content_type_id=ContentType.objects.db_manager("other").get_for_model(Post).pk,
        object_id=key,
        field="embedding",
        provider="default",
        status=Status.FAILED,
        error_signature=signature,
        sort_key=now,
        created_at=now,
        updated_at=now,
    )


def test_failures__are_none_without_failed_tasks() -> None:
    make_task(Status.COMPLETED)
    make_task(Status.SCHEDULED, error_signature="input: E: it waits")

    assert stats.failures() == []


def test_failures__come_in_groups_the_largest_first() -> None:
    failed("b", 1)
    failed("a", 2)
    failed("c", 5)
    failed("", 1)

    groups = stats.failures()

    assert [(group.signature, group.count, group.is_at_least) for group in groups][:2] == [
        ("c", 5, False),
        ("a", 2, False),
    ]
    assert {group.signature for group in groups} == {"", "a", "b", "c"}


def test_failures__say_what_and_since_when() -> None:
    now = timezone.now()
    for hours in (1, 3, 2):
        failed("a", updated_at=now - timedelta(hours=hours), error_status=429, error_message="Slow down.")

    (group,) = stats.failures()

    assert (group.first_seen, group.last_seen) == (now - timedelta(hours=3), now - timedelta(hours=1))
    assert (group.error_kind, group.error_class, group.error_status) == ("input", "InputRejected", 429)
    assert (group.error_message, group.using) == ("Slow down.", "default")


def test_failures__show_the_latest_tasks_without_what_is_boxed() -> None:
    tasks = failed("a", 5)

    (group,) = stats.failures()

    assert group.examples == [tasks[4], tasks[3], tasks[2]]
    assert "payload" in group.examples[0].get_deferred_fields()


def test_failures__stop_counting_at_a_limit(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_COUNTED", 3)
    failed("a", 4)
    failed("b", 2)

    assert [(group.count, group.is_at_least) for group in stats.failures()] == [(3, True), (2, False)]


def test_failures__show_the_largest_of_many_groups(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_GROUPS", 2)
    failed("a")
    failed("b", 2)
    failed("c", 3)

    assert [group.signature for group in stats.failures()] == ["c", "b"]


def test_failures__are_those_of_all_databases(settings) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
    for key in ("1", "2"):
        elsewhere("a", key)
    failed("a")

    assert [(group.using, group.count) for group in stats.failures()] == [("other", 2), ("default", 1)]


def test_failures__of_a_table_that_is_slow_to_count_are_counted_in_part(monkeypatch) -> None:
    (task,) = failed("a")
    columns = [field.column for field in EmbeddingTask._meta.concrete_fields if field.column not in {"id", "object_id"}]
    copied = ", ".join(columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO embeddings_embeddingtask ({copied}, object_id) "
            f"SELECT {copied}, 'copy' || n FROM embeddings_embeddingtask, generate_series(1, 20000) n WHERE id = %s",
            [task.pk],
        )
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.001)

    (group,) = stats.failures()

    assert (group.count, group.is_at_least) == (module.COUNTED_IN_HASTE, True)


def test_failures__leave_the_callers_transaction_its_time() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', '1234', true)")

        stats.failures()

        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1234ms",)
