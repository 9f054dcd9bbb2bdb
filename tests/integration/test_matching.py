"""Operations on all tasks that match a filter."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections
from django.test import override_settings
from django.utils import timezone

from embeddings import audit, operations, previews
from embeddings.exceptions import ConfigurationError
from embeddings.models import (
    AuditEvent,
    CensusCount,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    ProviderCall,
    Status,
)
from embeddings.operating import Operator, tasks
from embeddings.task_filter import TaskFilter, eligible
from tests.integration import sessions
from tests.integration.conftest import child_of, counts, dummy, openai, wait_until
from tests.ledger_rows import make_task
from tests.openai_server import OpenAIServer
from tests.testapp.models import Memo, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

_without_flush = pytest.fixture(autouse=True, scope="module")(sessions.without_flush)
QUEUE = "rq:queue:embeddings"
FAILED = TaskFilter(statuses=(Status.FAILED,))
OPEN = TaskFilter()


def insert_tasks(count: int, status: str = Status.FAILED, *, signature: str = "", using: str = "default") -> None:
    """Tasks of posts that do not exist, many at once."""
    template = make_task(status) if using == "default" else None
    assert template is not None
    columns = [f.column for f in EmbeddingTask._meta.concrete_fields if f.column not in {"id", "object_id"}]
    chosen = ", ".join(f"'{signature}'" if name == "error_signature" else name for name in columns)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO embeddings_embeddingtask (object_id, {', '.join(columns)}) "
            f"SELECT 'x' || %s || n, {chosen} FROM embeddings_embeddingtask, generate_series(1, %s) n WHERE id = %s",
            [uuid.uuid4().hex, count, template.pk],
        )
    template.delete()


def work(**options: object) -> None:
    """Go on with operations until none can be gone on with now."""
    Operator("test", **options).run()


def one_page(size: int) -> None:
    """Take the operation up, work a page, and let go."""
    done = iter([False, False, True, True, True])
    Operator("test", page_size=size, stop=lambda: next(done)).run()


class TestOperator:
    def test_take__does_not_let_a_cancel_wait_for_a_regenerate(self):
        Post.objects.bulk_create([Post(title=str(number)) for number in range(3)])
        long = operations.regenerate(Post)
        one_page(size=1)
        cancel = operations.cancel_matching(OPEN)

        one_page(size=10)

        long.refresh_from_db()
        cancel.refresh_from_db()
        assert (cancel.changed, long.rows_read) == (3, 1)

    def test_work__goes_on_without_a_total_where_counting_takes_too_long(self, monkeypatch):
        insert_tasks(3)
        operation = operations.retry_matching(FAILED)

        def slow(*args: object) -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(1)")
            raise AssertionError("A worker's statement is given up before.")

        monkeypatch.setattr(tasks, "count", slow)
        with override_settings(EMBEDDINGS={"STATEMENT_TIMEOUT_SECONDS": 0.2}):
            work(seconds=2)

        operation.refresh_from_db()
        assert (operation.state, operation.changed) == ("done", 3)


class TestRetryMatching:
    def test_retry_matching__exactly_those_and_no_others(self, redis_client):
        insert_tasks(5, signature="a")
        insert_tasks(3, signature="b")
        insert_tasks(2, Status.COMPLETED)

        operation = operations.retry_matching(TaskFilter(statuses=("failed",), error_signature="a"), by="ann")
        work(page_size=2)

        operation.refresh_from_db()
        assert (operation.state, operation.by, operation.batch) == ("done", "ann", None)
        assert (operation.rows_total, operation.rows_read, operation.changed) == (5, 5, 5)
        assert counts() == {"pending": 5, "failed": 3, "completed": 2}
        assert set(EmbeddingTask.objects.filter(status="failed").values_list("error_signature", flat=True)) == {"b"}
        assert redis_client.llen(QUEUE) >= 1

    def test_retry_matching__of_all_states_that_can_be(self):
        for status in Status.values:
            make_task(status)

        operations.retry_matching(OPEN)
        work()

        assert counts() == {"pending": 5, "processing": 1, "completed": 1, "empty": 1}

    def test_retry_matching__each_once_also_if_it_fails_again_meanwhile(self):
        insert_tasks(4)
        operation = operations.retry_matching(OPEN)

        one_page(size=2)
        in_two_minutes = timezone.now() + timedelta(minutes=2)
        EmbeddingTask.objects.filter(status="pending").update(status="scheduled", available_at=in_two_minutes)
        work(page_size=2)

        operation.refresh_from_db()
        assert (operation.rows_read, operation.changed) == (4, 4)
        assert counts() == {"pending": 2, "scheduled": 2}

    def test_retry_matching__only_what_there_was_when_it_began(self):
        insert_tasks(2)
        operations.retry_matching(FAILED)
        insert_tasks(3)

        work()

        assert counts() == {"pending": 2, "failed": 3}

    def test_retry_matching__a_task_that_moved_on_after_it_was_read_is_skipped(self):
        insert_tasks(3)
        gone = EmbeddingTask.objects.order_by("pk")[1].pk
        operation = operations.retry_matching(FAILED)

        with sessions.session() as other, other.transaction():
            other.execute("UPDATE embeddings_embeddingtask SET status = 'cancelled' WHERE id = %s", [gone])
            work()  # holds the first and the third
            operation.refresh_from_db()
            assert (operation.state, operation.rows_read, operation.changed) == ("running", 3, 2)
            assert operation.cursor["left"] == [gone]
        wait_until(lambda: EmbeddingOperation.objects.free().exists())
        work()

        operation.refresh_from_db()
        assert (operation.state, operation.rows_read, operation.changed) == ("done", 3, 2)
        assert counts() == {"pending": 2, "cancelled": 1}

    def test_retry_matching__more_are_held_than_a_page_has(self):
        insert_tasks(6)
        operation = operations.retry_matching(FAILED)

        with sessions.session() as other, other.transaction():
            other.execute("SELECT * FROM embeddings_embeddingtask FOR UPDATE")
            work(page_size=2)
            operation.refresh_from_db()
            assert (operation.state, operation.rows_read) == ("running", 2)
        wait_until(lambda: EmbeddingOperation.objects.free().exists())
        work(page_size=2)

        operation.refresh_from_db()
        assert (operation.state, operation.rows_read, operation.changed) == ("done", 6, 6)

    def test_retry_matching__in_another_database(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
        Post.objects.using("other").create(title="there")
        failing = {"status": "failed", "error_kind": "input"}
        EmbeddingTask.objects.using("other").update(**failing)

        operation = operations.retry_matching(TaskFilter(using="other"))
        work()

        operation.refresh_from_db()
        assert (operation._state.db, operation.state, operation.changed) == ("other", "done", 1)
        assert AuditEvent.objects.using("default").filter(kind=audit.Kind.RETRIED).exists()

    @pytest.mark.parametrize(("changed", "message"), [({"ENABLED": False}, "off"), ({"QUEUE_ENABLED": False}, "no wo")])
    def test_retry_matching__what_cannot_be_done_is_said_at_once(self, settings, changed, message):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, **changed}

        with pytest.raises(ConfigurationError, match=message):
            operations.retry_matching(FAILED)

        assert not EmbeddingOperation.objects.exists()


class TestCancelAndClear:
    def test_cancel_matching__what_is_open_and_in_hand(self):
        for status in Status.values:
            make_task(status)

        operation = operations.cancel_matching(OPEN)
        work(page_size=3)

        operation.refresh_from_db()
        assert (operation.rows_read, operation.changed) == (4, 4)
        assert counts() == {"cancelled": 5, "completed": 1, "empty": 1, "failed": 1}

    def test_cancel_matching__gives_failed_tasks_up_where_the_filter_asks_for_them(self):
        group = make_task(Status.FAILED, error_signature="input: InputRejected: …")
        others = [make_task(Status.FAILED, error_signature="another"), make_task(Status.PENDING)]

        operation = operations.cancel_matching(TaskFilter(statuses=("failed",), error_signature=group.error_signature))
        work(page_size=3)

        operation.refresh_from_db()
        group.refresh_from_db()
        assert (operation.rows_read, operation.changed) == (1, 1)
        assert (group.status, group.error_kind) == (Status.CANCELLED, "input")
        assert [EmbeddingTask.objects.get(pk=task.pk).status for task in others] == ["failed", "pending"]

    def test_clear_matching__deletes_what_ended_without_a_vector_but_no_box(self):
        boxed = make_task(Status.FAILED, payload={"fields": {}})
        for status in Status.values:
            make_task(status)

        operation = operations.clear_matching(OPEN)
        work(page_size=1)

        operation.refresh_from_db()
        assert (operation.rows_read, operation.changed) == (2, 2)
        assert EmbeddingTask.objects.filter(pk=boxed.pk).exists()
        assert counts() == {status: 1 for status in Status.values if status != "cancelled"}

    def test_clear_matching__a_cleared_row_is_found_again_by_a_requeue(self, drain):
        Post.objects.create(title="a")
        drain()
        Post.objects.update(embedding=None)
        EmbeddingTask.objects.update(status="failed", completed_at=None)

        operations.clear_matching(OPEN)
        work()
        assert not EmbeddingTask.objects.exists()
        operations.requeue(Post)
        work()
        drain()

        assert counts() == {"completed": 1}
        assert Post.objects.get().embedding is not None

    def test_clear__leaves_what_somebody_holds(self):
        insert_tasks(2)
        held = EmbeddingTask.objects.order_by("pk")[0].pk

        with sessions.session() as other, other.transaction():
            other.execute("SELECT * FROM embeddings_embeddingtask WHERE id = %s FOR UPDATE", [held])
            changed = operations.clear(EmbeddingTask.objects.all())

        assert changed == operations.Changed(1, 1)
        assert EmbeddingTask.objects.get().pk == held


class TestBegin:
    def test_begin__with_one_token_begins_one(self):
        token = uuid.uuid4()

        first = operations.retry_matching(FAILED, token=token)
        work()

        assert operations.retry_matching(FAILED, token=token) == first
        assert operations.retry_matching(FAILED, token=uuid.uuid4()) != first
        assert operations.retry_matching(FAILED) != first

    def test_begin__on_rows_with_one_token_begins_one(self):
        token = uuid.uuid4()

        first = operations.regenerate(Post, token=token)
        work()

        assert operations.regenerate(Post, token=token) == first
        assert operations.regenerate(Post) != first

    def test_begin__twice_at_the_same_moment(self):
        barrier = threading.Barrier(4)
        token = uuid.uuid4()

        def begin() -> int:
            barrier.wait()
            return operations.cancel_matching(OPEN, token=token).pk

        joins = [sessions.in_thread(begin) for _ in range(4)]

        assert len({join() for join in joins}) == 1
        assert EmbeddingOperation.objects.count() == 1

    def test_stop__in_the_middle_leaves_the_rest(self):
        insert_tasks(6)
        operation = operations.retry_matching(FAILED)
        one_page(size=2)

        operations.stop(operation, by="bob")
        work()

        assert (operation.state, operation.changed) == ("stopped", 2)
        assert counts() == {"pending": 2, "failed": 4}


class TestAudit:
    def test_record__once_a_call_with_who(self):
        batch = EmbeddingBatch.objects.create(name="b")
        tasks = [make_task(Status.FAILED, batch=batch) for _ in range(3)]

        operations.retry(EmbeddingTask.objects.filter(pk=tasks[0].pk), by="ann")
        operations.retry_failed(batch, by="ann")
        operations.roll_back(batch, by="bob")
        operations.clear(EmbeddingTask.objects.all(), by="cy")
        operations.clear(EmbeddingTask.objects.all(), by="cy")  # nothing is left

        assert list(AuditEvent.objects.order_by("pk").values_list("kind", "subject", "message", "by")) == [
            ("retried", f"task {tasks[0].pk}", "1 task retried.", "ann"),
            ("retried", "", "2 tasks retried.", "ann"),
            ("cancelled", f"batch {batch.pk}", f"3 tasks cancelled: batch {batch} was rolled back.", "bob"),
            ("cleared", "", "3 tasks deleted from the ledger.", "cy"),
        ]

    def test_record__of_operations_begun_done_and_stopped(self):
        insert_tasks(2)

        first = operations.retry_matching(FAILED, by="ann")
        work()
        second = operations.requeue(Post, by="bob")
        operations.stop(second, by="ann")

        assert list(AuditEvent.objects.order_by("pk").values_list("kind", "message", "by")) == [
            ("operation", f"Operation #{first.pk} was begun: retry failed tasks.", "ann"),
            ("retried", f"Operation #{first.pk} is done: 2 of 2 retried (failed tasks).", "ann"),
            ("operation", f"Operation #{second.pk} was begun: requeue testapp.post.", "bob"),
            ("operation", f"Operation #{second.pk} was stopped: requeue testapp.post.", "ann"),
        ]


class TestPreview:
    def test_preview__counts_what_it_changes_and_what_not(self):
        insert_tasks(3)
        insert_tasks(2, Status.CANCELLED)
        insert_tasks(4, Status.COMPLETED)
        batch = EmbeddingBatch.objects.create(name="b")
        EmbeddingTask.objects.update(batch=batch)

        preview = operations.preview("retry", TaskFilter(batch_id=batch.pk))

        assert (preview.rows, preview.parts, preview.others) == (5, {"failed": 3, "cancelled": 2}, 4)
        assert not (preview.is_estimate or preview.is_at_least)

    def test_preview__counts_the_others_by_the_census_where_no_index_leads_to_them(self):
        failed = make_task(Status.FAILED)
        same = {"content_type_id": failed.content_type_id, "provider": "default", "has_vector": False}
        for field, status, count in [("embedding", "failed", 1), ("embedding", "completed", 900), ("b", "failed", 70)]:
            CensusCount.objects.create(field=field, status=status, count=count, **same)

        assert operations.preview("retry", TaskFilter(field="embedding")).others == 900
        assert operations.preview("retry", TaskFilter(field="embedding", statuses=("failed",))).others == 0

    @pytest.mark.parametrize("kind", ["retry", "clear"])
    def test_preview__of_a_model_or_a_field_counts_only_its_own(self, kind):
        insert_tasks(3)
        make_task(Status.FAILED, model=Memo)
        make_task(Status.FAILED, model=Memo, payload={"fields": {}})
        memos = ContentType.objects.get_for_model(Memo).pk

        preview = operations.preview(kind, TaskFilter(content_type_id=memos))

        assert preview.rows == (2 if kind == "retry" else 1)

    def test_preview__counts_no_further_than_its_limit(self, monkeypatch):
        monkeypatch.setattr(previews, "MOST_COUNTED", 3)
        insert_tasks(5)

        everything = operations.preview("clear", TaskFilter())
        of_another_field = operations.preview("clear", TaskFilter(field="b"))

        assert (everything.rows, everything.is_at_least) == (3, True)
        assert (of_another_field.rows, of_another_field.is_at_least) == (0, True)

    def test_preview__tokens_of_what_was_embedded_before_and_its_cost(self, settings):
        with OpenAIServer() as server:
            settings.EMBEDDING_PROVIDERS = openai(server)  # 0.02 dollars a million tokens
        make_task(Status.FAILED, tokens_estimated=200)
        make_task(Status.FAILED, tokens_estimated=400)
        make_task(Status.FAILED)

        preview = operations.preview("retry", FAILED)

        assert (preview.tokens, preview.cost) == (900, pytest.approx(900 * 0.02 / 1e6))

    def test_preview__tokens_by_the_latest_requests_else_none(self):
        make_task(Status.FAILED)

        assert operations.preview("retry", FAILED).tokens is None
        ProviderCall.objects.create(provider="default", model_id="m", inputs=10, tokens=300, latency_ms=1, outcome="ok")

        assert operations.preview("retry", FAILED).tokens == 30

    def test_preview__of_a_provider_that_is_gone_has_no_price(self):
        make_task(Status.FAILED, provider="gone", tokens_estimated=5)

        preview = operations.preview("retry", FAILED)

        assert (preview.tokens, preview.cost) == (5, None)

    def test_preview__uses_an_index_however_long_the_table_is(self):
        """300,000 completed tasks, 100 of a signature: neither the preview nor a page reads the others."""
        insert_tasks(300_000, Status.COMPLETED)
        insert_tasks(100, signature="rare")
        insert_tasks(100, Status.SCHEDULED)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE embeddings_embeddingtask")
        rare = TaskFilter(error_signature="rare")

        plans = [
            plan(part.filter(status=status).order_by("pk").values_list("pk", flat=True)[:1000])
            for kind, wanted in [("retry", rare), ("retry", OPEN), ("cancel", OPEN), ("clear", FAILED)]
            for part, statuses in [eligible(kind, wanted)]
            for status in statuses
        ]

        assert len(plans) == 4 + 4 + 4 + 1
        assert max(rows for rows, _ in plans) <= 300, plans


def plan(queryset: object) -> tuple[int, str]:
    """How many rows a query reads, and its plan."""
    text = queryset.explain(analyze=True, format="json")

    def read(node: dict) -> int:
        own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        return int(max([own, *(read(child) for child in node.get("Plans", []))]))

    return read(json.loads(text)[0]["Plan"]), text


# With real workers.


SMALL_PAGES = {"OPERATION_PAGE_SIZE": 200}


def is_done(operation: EmbeddingOperation) -> bool:
    operation.refresh_from_db()
    return operation.state == "done"


def kill(pid: int | None) -> bool:
    """Whether there was somebody to kill."""
    try:
        os.kill(pid or 0, signal.SIGKILL if pid else 0)
    except ProcessLookupError:  # it has just ended by itself
        return False
    return bool(pid)


def test_operate__retry_killed_in_the_middle_does_each_page_once(workers, tmp_path):
    """The provider is down, so that tasks stay as the operation has left them."""
    (tmp_path / "down").touch()
    insert_tasks(8_000)
    down = dummy(DOWN=str(tmp_path / "down"))
    crew = [workers.started(providers=down, embeddings=SMALL_PAGES) for _ in range(2)]
    operation = operations.retry_matching(FAILED)
    killed = 0

    for milestone in (500, 2_500, 4_500):
        wait_until(lambda rows=milestone: EmbeddingOperation.objects.get().rows_read >= rows, seconds=60)
        killed += sum(kill(child_of(process)) for process in crew)

    wait_until(lambda: is_done(operation), seconds=120)
    assert killed
    assert (operation.rows_read, operation.changed) == (8_000, 8_000)
    # Each retry is a request: version 2 is one retry.
    assert set(EmbeddingTask.objects.values_list("version", flat=True)) == {2}
    assert AuditEvent.objects.filter(kind="retried").count() == 1


def test_operate__retried_tasks_are_embedded(workers):
    posts = [Post.objects.create(title=str(number)) for number in range(300)]
    EmbeddingTask.objects.update(status="failed", error_kind="input")
    workers.started(providers=dummy())

    operation = operations.retry_matching(FAILED)

    wait_until(lambda: not Post.objects.filter(embedding=None).exists(), seconds=60)
    wait_until(lambda: is_done(operation))
    assert operation.changed == len(posts)


def test_operate__cancel_while_workers_embed_loses_nothing(workers):
    """Cancelled or completed: no task is in between, and the operation counts those that it has cancelled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO testapp_post (title, body, views) SELECT 'post ' || n, '', 0 FROM generate_series(1, 4000) n"
        )
    operations.requeue(Post)
    work()
    workers.started(providers=dummy(), embeddings=SMALL_PAGES)

    operation = operations.cancel_matching(OPEN)

    wait_until(lambda: is_done(operation), seconds=60)
    wait_until(lambda: not EmbeddingTask.objects.filter(status__in=["pending", "processing"]).exists(), seconds=60)
    assert set(counts()) <= {"completed", "cancelled"}
    assert counts().get("cancelled", 0) == operation.changed
