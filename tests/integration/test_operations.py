from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from embeddings import operations, registry
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingBatch, EmbeddingOperation, EmbeddingTask, Status
from embeddings.operating import Operator, operator, rows
from tests.integration import sessions
from tests.integration.conftest import child_of, dummy, wait_until
from tests.testapp.models import Doc, DocChunk, Memo, Post, Receipt, Restaurant, Word

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

_without_flush = pytest.fixture(autouse=True, scope="module")(sessions.without_flush)
QUEUE = "rq:queue:embeddings"


def insert_posts(count: int) -> None:
    """Rows that no signal has seen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO testapp_post (title, body, views) SELECT 'post ' || n, '', 0 FROM generate_series(1, %s) n",
            [count],
        )


def work(**options: object) -> None:
    """Go on with operations until none can be gone on with now."""
    Operator("test", **options).run()


def versions() -> dict[int, int]:
    """{version: tasks}: how often each row was requested."""
    found = list(EmbeddingTask.objects.values_list("version", flat=True))
    return {version: found.count(version) for version in set(found)}


class TestRegenerate:
    def test_regenerate__makes_every_vector_anew_and_keeps_the_old_until_then(self, drain):
        for number in range(5):
            Post.objects.create(title=str(number))
        drain()
        Post.objects.update(embedding=[1.0] * 256)

        operation = operations.regenerate(Post, by="ann")
        work(page_size=2)

        operation.refresh_from_db()
        assert (operation.state, operation.by, operation.changed) == ("done", "ann", 5)
        assert (operation.rows_total, operation.rows_read) == (5, 5)
        assert operation.batch.total == 5
        assert set(EmbeddingTask.objects.values_list("status", "priority", "batch_id")) == {
            ("pending", "low", operation.batch_id)
        }
        assert all(list(post.embedding) == [1.0] * 256 for post in Post.objects.all())
        drain()
        assert not any(list(post.embedding) == [1.0] * 256 for post in Post.objects.all())

    @pytest.mark.parametrize("target", [Post, "testapp.post", "TestApp.Post", registry.get("testapp.post")[0]])
    def test_regenerate__takes_a_model_a_label_or_a_target(self, target):
        insert_posts(1)

        operation = operations.regenerate(target)
        work()

        operation.refresh_from_db()
        assert operation.changed == 1

    def test_regenerate__all_fields_of_a_model_or_one(self):
        Receipt.objects.create(merchant="m", text="t")
        EmbeddingTask.objects.all().delete()

        operations.regenerate("testapp.receipt.text_embedding")
        work()
        assert list(EmbeddingTask.objects.values_list("field", "version")) == [("text_embedding", 1)]

        operations.regenerate(Receipt)
        work()
        assert set(EmbeddingTask.objects.values_list("field", "version")) == {
            ("text_embedding", 2),
            ("merchant_embedding", 1),
        }

    @pytest.mark.parametrize(
        "make",
        [
            lambda number: Memo(text=str(number)),
            lambda number: Word(word=f"w{number}", meaning="m"),
            lambda number: Restaurant(name=str(number), menu="m"),
        ],
        ids=["uuid", "string", "child"],
    )
    def test_regenerate__keys_of_every_type(self, make):
        made = [make(number) for number in range(7)]
        for each in made:
            each.save()
        EmbeddingTask.objects.all().delete()

        operation = operations.regenerate(type(made[0]))
        work(page_size=3)

        operation.refresh_from_db()
        assert (operation.state, operation.rows_read, operation.changed) == ("done", 7, 7)
        assert EmbeddingTask.objects.count() == 7

    def test_regenerate__of_a_text_in_chunks_is_of_its_chunks(self, drain):
        Doc.objects.create(title="t", content="One sentence. " * 100)
        drain()
        splits = EmbeddingTask.objects.get(field="chunking").version

        operation = operations.regenerate(Doc)
        work()

        operation.refresh_from_db()
        assert (operation.target, operation.changed) == ("testapp.docchunk", DocChunk.objects.count())
        assert set(EmbeddingTask.objects.filter(field="embedding").values_list("version", flat=True)) == {2}
        assert EmbeddingTask.objects.get(field="chunking").version == splits

    def test_regenerate__of_an_empty_table_is_done(self):
        operation = operations.regenerate(Post)

        work()

        operation.refresh_from_db()
        assert (operation.state, operation.rows_total) == ("done", 0)

    def test_regenerate__returns_at_once_and_calls_a_worker(self, redis_client, django_assert_max_num_queries):
        insert_posts(2000)

        with django_assert_max_num_queries(6):
            operations.regenerate(Post)

        assert not EmbeddingTask.objects.exists()
        assert redis_client.llen(QUEUE) == 1

    def test_regenerate__one_at_a_time(self):
        first = operations.regenerate(Post, by="ann")

        assert operations.regenerate("testapp.post", by="bob") == first
        assert operations.regenerate(Memo) != first
        work()
        assert operations.regenerate(Post) != first

    def test_regenerate__begun_twice_at_the_same_moment(self):
        barrier = threading.Barrier(4)

        def begin() -> int:
            barrier.wait()
            return operations.regenerate(Post).pk

        joins = [sessions.in_thread(begin) for _ in range(4)]

        assert len({join() for join in joins}) == 1
        assert (EmbeddingOperation.objects.count(), EmbeddingBatch.objects.count()) == (1, 1)

    def test_regenerate__on_another_database(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
        Post.objects.using("other").create(title="there")

        operation = operations.regenerate(Post, using="other")
        work()

        operation.refresh_from_db()
        assert (operation._state.db, operation.state, operation.changed) == ("other", "done", 1)
        assert EmbeddingTask.objects.using("other").get().batch_id == operation.batch_id

    @pytest.mark.parametrize(
        ("changed", "target", "using", "message"),
        [
            ({"ENABLED": False}, "testapp.post", None, "switched off"),
            ({"QUEUE_ENABLED": False}, "testapp.post", None, "no worker would do it"),
            ({}, "testapp.nothing", None, "Nothing is embedded under 'testapp.nothing'"),
            ({}, "testapp.post", "other", "has no 'other'"),
        ],
    )
    def test_regenerate__what_cannot_be_done_is_said_at_once(self, settings, changed, target, using, message):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, **changed}

        with pytest.raises(ConfigurationError, match=message):
            operations.regenerate(target, using=using)

        assert not EmbeddingOperation.objects.exists()

    def test_regenerate__rolled_back_with_its_transaction(self, redis_client):
        with pytest.raises(RuntimeError), transaction.atomic():
            operations.regenerate(Post)
            raise RuntimeError

        assert not EmbeddingOperation.objects.exists()
        assert not redis_client.llen(QUEUE)


class TestRequeue:
    def test_requeue__opens_only_rows_in_the_conditions(self, drain):
        posts = [Post.objects.create(title=str(number)) for number in range(4)]
        drain()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE testapp_post SET title = 'new' WHERE id = %s", [posts[0].pk])
            cursor.execute("UPDATE testapp_post SET embedding = NULL WHERE id = %s", [posts[1].pk])

        operation = operations.requeue(Post, conditions=["missing"], priority="high")
        work()

        operation.refresh_from_db()
        assert (operation.rows_read, operation.changed) == (4, 1)
        assert EmbeddingTask.objects.get(status="pending").object_id == str(posts[1].pk)
        operations.requeue(Post)
        work()
        assert EmbeddingTask.objects.filter(status="pending").count() == 2

    @pytest.mark.parametrize("conditions", [[], ["missing", "old"]])
    def test_requeue__unknown_conditions(self, conditions):
        with pytest.raises(ValueError, match="some of missing, stale, failed"):
            operations.requeue(Post, conditions=conditions)


class TestStop:
    def test_stop__reads_no_further_and_leaves_what_is_queued(self):
        insert_posts(10)
        operation = operations.regenerate(Post)
        one_page(size=3)

        changed = operations.stop(operation)
        work()

        assert (operation.state, operation.rows_read, changed) == ("stopped", 3, operations.Changed(0, 0))
        assert EmbeddingTask.objects.filter(status="pending").count() == 3

    def test_stop__cancels_what_is_queued_if_asked(self):
        insert_posts(10)
        edited = Post.objects.order_by("pk")[1]
        operation = operations.regenerate(Post)
        one_page(size=3)
        edited.title = "an edit since"
        edited.save()

        changed = operations.stop(operation, cancel=True)

        assert changed == operations.Changed(2, 1)
        assert EmbeddingTask.objects.get(status="pending").object_id == str(edited.pk)

    def test_stop__while_a_page_is_worked_keeps_the_page_and_ends(self):
        insert_posts(10)
        operation = operations.regenerate(Post)

        with sessions.session() as other, other.transaction():
            other.execute("SELECT * FROM testapp_post FOR UPDATE")
            one_page(size=3)  # finds all rows locked
        operations.stop(operation)

        assert not EmbeddingTask.objects.exists()
        assert operation.state == "stopped"

    def test_stop__of_one_that_is_done_changes_nothing(self):
        operation = operations.regenerate(Post)
        work()

        operations.stop(operation)

        assert operation.state == "done"


def one_page(size: int) -> None:
    """Take the operation up, work a page, and let go."""
    done = iter([False, False, True, True, True])
    Operator("test", page_size=size, stop=lambda: next(done)).run()


class TestPages:
    def test_page__passes_over_rows_that_somebody_holds_and_comes_back(self):
        insert_posts(6)
        held = Post.objects.order_by("pk")[1]
        operation = operations.regenerate(Post)

        with sessions.session() as other, other.transaction():
            other.execute("UPDATE testapp_post SET title = 'mine' WHERE id = %s", [held.pk])
            started = time.monotonic()
            work(page_size=2)
            assert time.monotonic() - started < 2
            operation.refresh_from_db()
            assert (operation.state, operation.rows_read, operation.changed) == ("running", 6, 5)
            assert operation.cursor["left"] == [str(held.pk)]
            work()  # not before its time
        wait_until(lambda: EmbeddingOperation.objects.free().exists())
        work()

        operation.refresh_from_db()
        assert (operation.state, operation.rows_read, operation.changed) == ("done", 6, 6)
        assert versions() == {1: 6}

    def test_page__more_rows_are_held_than_a_page_has(self):
        insert_posts(6)
        operation = operations.regenerate(Post)

        with sessions.session() as other, other.transaction():
            other.execute("SELECT * FROM testapp_post FOR UPDATE")
            work(page_size=2)
            operation.refresh_from_db()
            assert (operation.state, operation.rows_read) == ("running", 2)
        wait_until(lambda: EmbeddingOperation.objects.free().exists())
        work(page_size=2)

        operation.refresh_from_db()
        assert (operation.state, operation.rows_read, operation.changed) == ("done", 6, 6)

    def test_page__rows_that_were_deleted_meanwhile_are_forgotten(self):
        insert_posts(2)
        operation = operations.regenerate(Post)

        with sessions.session() as other, other.transaction():
            other.execute("DELETE FROM testapp_post")
            work()
        wait_until(lambda: EmbeddingOperation.objects.free().exists())
        work()

        operation.refresh_from_db()
        assert (operation.state, operation.changed) == ("done", 0)
        assert not EmbeddingTask.objects.exists()

    def test_page__is_undone_with_its_cursor(self, monkeypatch):
        insert_posts(4)
        operation = operations.regenerate(Post)
        monkeypatch.setattr(operator, "_progress", lambda step: 1 / 0)

        work(page_size=2)

        operation.refresh_from_db()
        assert (operation.state, operation.error_message) == ("failed", "division by zero")
        assert (operation.cursor, EmbeddingTask.objects.count()) == ({}, 0)

    def test_page__of_a_worker_that_lost_its_lease_is_not_worked(self):
        insert_posts(4)
        operation = operations.regenerate(Post)
        slow = Operator("slow")
        assert slow._take("default") == operation
        EmbeddingOperation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

        Operator("quick").run()

        assert slow._page(operation, "default") is None
        assert versions() == {1: 4}

    def test_page__of_another_operation_than_one_in_hand(self):
        insert_posts(1)
        first, second = operations.regenerate(Memo), operations.regenerate(Post)
        assert Operator("busy")._take("default") == first

        work()

        second.refresh_from_db()
        assert second.state == "done"

    def test_page__that_takes_too_long_is_tried_smaller(self, monkeypatch):
        insert_posts(40)
        operation = operations.regenerate(Post)
        sizes = []
        original = rows.next_page

        def slow(target, cursor, choose, size, using):
            sizes.append(size)
            if size > 5:
                with connection.cursor() as cur:
                    cur.execute("SET LOCAL statement_timeout = 10; SELECT pg_sleep(1)")
            return original(target, cursor, choose, size, using)

        monkeypatch.setattr(rows, "next_page", slow)

        work(page_size=80)

        operation.refresh_from_db()
        assert operation.state == "done"
        assert sizes[:4] == [80, 20, 5, 5]

    def test_page__of_a_model_that_this_worker_does_not_know_waits_for_the_rollout(self):
        operation = operations.regenerate(Post)
        EmbeddingOperation.objects.update(target="testapp.newmodel")

        work()
        operation.refresh_from_db()
        assert operation.state == "running"
        assert "Nothing is embedded under 'testapp.newmodel'" in operation.error_message

        EmbeddingOperation.objects.update(created_at=timezone.now() - timedelta(hours=1), lease_until=None)
        work()
        operation.refresh_from_db()
        assert operation.state == "failed"

    def test_page__what_was_open_is_made_anew_too_and_stays_with_the_user(self, drain):
        post = Post.objects.create(title="a")
        drain()
        post.title = "b"
        post.save()

        operation = operations.regenerate(Post)
        work()

        task = EmbeddingTask.objects.get()
        assert (task.batch_id, task.is_shared, task.priority) == (operation.batch_id, True, "normal")

    def test_estimate__of_a_large_table(self, monkeypatch):
        insert_posts(50)
        monkeypatch.setattr(rows, "EXACT_LIMIT", 10)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE testapp_post")

        assert rows.estimate(registry.get("testapp.post")[0], "default") == 50


# With real workers.


def is_done(operation: EmbeddingOperation) -> bool:
    operation.refresh_from_db()
    return operation.state == "done"


SMALL_PAGES = {"OPERATION_PAGE_SIZE": 200}


def kill(pid: int | None) -> bool:
    """Whether there was somebody to kill."""
    try:
        os.kill(pid or 0, signal.SIGKILL if pid else 0)
    except ProcessLookupError:  # it has just ended by itself
        return False
    return bool(pid)


def rows_read() -> int:
    return EmbeddingOperation.objects.get().rows_read


def test_operate__killed_in_the_middle_again_and_again(workers, tmp_path):
    """Every row is requested exactly once. The provider is down, so that it is operations that are killed."""
    (tmp_path / "down").touch()
    insert_posts(20_000)
    down = dummy(DOWN=str(tmp_path / "down"))
    crew = [workers.started(providers=down, embeddings=SMALL_PAGES) for _ in range(2)]
    operation = operations.regenerate(Post)
    killed = 0

    for milestone in range(1_000, 16_000, 3_000):
        wait_until(lambda rows=milestone: rows_read() >= rows, seconds=60)
        killed += sum(kill(child_of(process)) for process in crew)

    wait_until(lambda: is_done(operation), seconds=120)
    assert killed
    assert (operation.rows_read, operation.changed, operation.batch.total) == (20_000, 20_000, 20_000)
    assert versions() == {1: 20_000}


def test_operate__goes_on_when_a_whole_worker_is_killed(workers):
    insert_posts(5_000)
    embeddings = {**SMALL_PAGES, "LEASE_SECONDS": 2}
    process = workers.started(providers=dummy(), embeddings=embeddings)
    operation = operations.regenerate(Post)
    wait_until(rows_read)

    child = child_of(process)
    kill(process.pid)
    kill(child)
    assert not is_done(operation)
    workers.start(providers=dummy(), embeddings=embeddings)

    wait_until(lambda: is_done(operation), seconds=60)
    assert versions() == {1: 5_000}


def test_operate__goes_on_when_redis_lost_its_message(workers, redis_client):
    insert_posts(4_000)
    operation = operations.regenerate(Post)
    redis_client.flushdb()

    workers.start(providers=dummy(), embeddings=SMALL_PAGES)
    for _ in range(20):
        redis_client.flushdb()
        time.sleep(0.1)

    wait_until(lambda: is_done(operation), seconds=60)
    assert versions() == {1: 4_000}
    wait_until(lambda: not Post.objects.filter(embedding=None).exists(), seconds=60)


def test_operate__takes_turns_with_drains_on_one_worker(workers):
    insert_posts(30_000)
    workers.started(providers=dummy(), embeddings=SMALL_PAGES)

    operation = operations.regenerate(Post)

    wait_until(lambda: EmbeddingTask.objects.filter(status=Status.COMPLETED).exists(), seconds=60)
    assert not is_done(operation)


def test_operate__in_burst_mode_ends_when_the_operation_does(workers):
    insert_posts(3_000)
    operation = operations.regenerate(Post)

    workers.burst(providers=dummy())

    assert is_done(operation)
    assert not Post.objects.filter(embedding=None).exists()


def test_operate__waits_while_embedding_is_switched_off(workers):
    operation = operations.regenerate(Post)

    workers.burst(providers=dummy(), embeddings={"ENABLED": False})

    operation.refresh_from_db()
    assert operation.state == "waiting"
