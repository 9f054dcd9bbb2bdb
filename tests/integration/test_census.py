"""The ledger is counted by one worker for everybody, and what it comes to for each target."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import census, operations, stats, timeouts
from embeddings.census import counting, reading, tables, turns
from embeddings.models import Census, CensusCount, EmbeddingTask, Status
from embeddings.operating import Operator
from embeddings.stats import Coverage
from tests.integration import sessions
from tests.integration.conftest import child_of, dummy, wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import DIMENSIONS, Doc, Post, Receipt

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def _without_flush() -> Iterator[None]:
    yield from sessions.without_flush()


def make_many(count: int) -> None:
    """So many tasks that wait, in a statement."""
    content_type = ContentType.objects.get_for_model(Post)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO embeddings_embeddingtask (
                content_type_id, object_id, field, provider, status, priority, sort_key, worker, attempts, crashes,
                version, fingerprint, model_id, truncated, error_kind, error_class, error_message, error_signature,
                created_at, updated_at
            ) SELECT %s, 1000 + n, 'embedding', 'default', 'pending', 'normal', now(), '', 0, 0,
                1, '', '', false, '', '', '', '', now(), now()
            FROM generate_series(1, %s) AS n
            """,
            [content_type.pk, count],
        )
        cursor.execute("ANALYZE embeddings_embeddingtask")


def make_due() -> None:
    Census.objects.update(due_at=Now())


def of_posts(using: str = "default") -> Coverage:
    (found,) = (one for one in stats.coverage() if one.target == "testapp.post.embedding" and one.using == using)
    return found


def parts(coverage: Coverage) -> dict[str, int]:
    """Those that are not 0."""
    names = ("embedded", "stale", "waiting", "missing", "empty", "failed", "cancelled")
    found = {name: getattr(coverage, name) for name in names}
    assert sum(found.values()) == coverage.rows
    return {name: count for name, count in found.items() if count}


class TestTake:
    def test_take__counts_by_all_that_is_asked(self):
        make_task(Status.COMPLETED, tokens_estimated=5)
        make_task(Status.COMPLETED, tokens_estimated=7)
        make_task(Status.FAILED)
        long_ago = timezone.now() - timedelta(hours=1)
        make_task(Status.PENDING, requested_at=long_ago)

        assert census.take_if_due("default") is True

        rows = CensusCount.objects.values_list(
            "status", "has_vector", "model_id", "count", "tokens_estimated", "waiting_since"
        )
        assert set(rows) == {
            ("completed", True, "dummy", 2, 12, None),
            ("failed", False, "", 1, 0, None),
            ("pending", False, "", 1, 0, long_ago),
        }
        assert Census.objects.get().share == 1

    def test_take__again_only_after_a_while(self):
        make_task()
        census.take_if_due("default")
        make_task()

        assert census.take_if_due("default") is False
        make_due()
        assert census.take_if_due("default") is True

        assert CensusCount.objects.get().count == 2

    def test_take__rests_longer_the_longer_it_took(self):
        turn = turns._take_turn("default")
        turns._store(counting.count("default"), 2.0, turn, "default")

        rest = Census.objects.get().due_at - timezone.now()
        assert timedelta(seconds=90) < rest <= timedelta(seconds=100)

    def test_take__of_two_at_once_is_one_workers(self):
        make_task()
        for _ in range(5):
            took = [sessions.in_thread(lambda: census.take_if_due("default")) for _ in range(2)]

            assert sorted(join() for join in took) == [False, True]
            assert CensusCount.objects.get().count == 1
            make_due()

    def test_take__too_late_stores_nothing(self):
        make_task()
        turn = turns._take_turn("default")
        found = counting.count("default")
        Census.objects.update(due_at=Now() + timedelta(seconds=60))  # somebody else's turn

        turns._store(found, 0.1, turn, "default")

        assert not CensusCount.objects.exists()

    def test_take__reads_a_part_of_a_large_ledger(self, monkeypatch):
        make_many(50_000)
        monkeypatch.setattr(counting, "MOST_ROWS", 10_000)
        monkeypatch.setattr(counting.readable_share, "__defaults__", (10_000,))

        census.take_if_due("default")

        assert Census.objects.get().share == pytest.approx(0.2, rel=0.1)
        counts = stats.ledger_counts()
        assert counts.is_estimate
        assert counts.by_status["pending"] == pytest.approx(50_000, rel=0.5)
        assert of_posts().is_estimate

    def test_take__that_takes_too_long_reads_less_next_time(self, monkeypatch, caplog):
        make_many(50_000)
        monkeypatch.setattr(counting, "SECONDS", 0.001)

        assert census.take_if_due("default") is True

        assert "could not be counted" in caplog.text
        assert Census.objects.get().share == 0.5
        assert Census.objects.get().taken_at is None
        assert Census.objects.get().due_at > timezone.now() + timedelta(seconds=100)

        monkeypatch.setattr(counting, "SECONDS", 5.0)
        for _ in range(3):
            make_due()
            census.take_if_due("default")
        assert Census.objects.get().share == 1

    def test_take__waits_for_no_lock_for_long(self, settings, caplog):
        settings.EMBEDDINGS = {"LOCK_TIMEOUT_SECONDS": 0.1}
        with sessions.session() as other, other.transaction(), timeouts.bounded(["default"]):
            other.execute("LOCK embeddings_embeddingtask IN ACCESS EXCLUSIVE MODE")

            assert census.take_if_due("default") is True

        assert "could not be counted" in caplog.text
        assert Census.objects.get().share == 1


class TestWorker:
    def test_worker__counts_while_it_waits_and_while_a_job_runs(self, workers):
        slow = dummy(LATENCY_SECONDS=20)
        Post.objects.create(title="counted")
        worker = workers.started(providers=slow)
        first = wait_until(lambda: taken_at())

        wait_until(lambda: EmbeddingTask.objects.filter(status="processing").exists())
        child = wait_until(lambda: child_of(worker))
        make_due()

        wait_until(lambda: taken_at() > first and stats.ledger_counts().by_status["processing"] == 1)
        assert child_of(worker) == child


def taken_at() -> datetime | None:
    return Census.objects.values_list("taken_at", flat=True).first()


class TestLedgerCounts:
    def test_ledger_counts__without_a_census_counts_now(self):
        since = timezone.now() - timedelta(minutes=5)
        make_task(requested_at=since)
        make_task(Status.FAILED)

        counts = stats.ledger_counts()

        assert {status: count for status, count in counts.by_status.items() if count} == {"pending": 1, "failed": 1}
        assert set(counts.by_status) == set(Status.values)
        assert (counts.waiting_since, counts.counted_at, counts.is_estimate) == (since, None, False)

    def test_ledger_counts__are_those_of_the_census(self):
        make_task()
        census.take_if_due("default")
        make_task()

        counts = stats.ledger_counts()

        assert counts.by_status["pending"] == 1
        assert counts.counted_at == taken_at()

    def test_ledger_counts__pass_over_an_old_census_of_a_small_ledger(self, monkeypatch):
        make_task()
        census.take_if_due("default")
        make_task()
        Census.objects.update(taken_at=Now() - timedelta(minutes=5))

        assert stats.ledger_counts().by_status["pending"] == 2
        assert stats.ledger_counts().counted_at is None
        monkeypatch.setattr(reading, "QUICK_ROWS", -1)
        assert stats.ledger_counts().by_status["pending"] == 1
        assert stats.ledger_counts().counted_at == taken_at()

    def test_ledger_counts__of_a_task_whose_time_has_not_come_has_no_age(self):
        make_task(Status.SCHEDULED)
        assert stats.ledger_counts().waiting_since is None

        late = make_task(Status.SCHEDULED, available_at=timezone.now() - timedelta(seconds=1))
        assert stats.ledger_counts().waiting_since == late.requested_at

    def test_ledger_counts__add_up_the_databases(self, settings):
        settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}
        make_task()
        Post(title="there").save(using="other")
        for using in ("default", "other"):
            census.take_if_due(using)

        counts = stats.ledger_counts()

        assert counts.by_status["pending"] == 2
        assert counts.counted_at == min(Census.objects.using(u).get().taken_at for u in ("default", "other"))

    def test_ledger_counts__from_a_census_cost_two_queries(self, django_assert_num_queries):
        make_task()
        census.take_if_due("default")

        with django_assert_num_queries(2):
            stats.ledger_counts()


class TestCoverage:
    def test_coverage__of_every_kind_of_task(self):
        posts = Post.objects.bulk_create([Post(title=str(number)) for number in range(10)])
        EmbeddingTask.objects.all().delete()
        keys = iter(posts)
        vector = {"fingerprint": "f" * 64, "model_id": "dummy", "dimensions": DIMENSIONS, "tokens_estimated": 3}

        def task(status: str, **values: object) -> None:
            make_task(status, object_id=str(next(keys).pk), **values)

        task(Status.COMPLETED)
        task(Status.COMPLETED, model_id="an older one")
        task(Status.PENDING, **vector)
        task(Status.FAILED, **vector)
        task(Status.PENDING)
        task(Status.PROCESSING, **{**vector, "tokens_estimated": 0})  # it was empty
        task(Status.FAILED)
        task(Status.CANCELLED)
        task(Status.EMPTY, **{**vector, "tokens_estimated": 0})

        found = of_posts()

        assert found.rows == 10
        assert parts(found) == {
            **{"embedded": 1, "stale": 3, "waiting": 2, "failed": 1, "cancelled": 1, "empty": 1},
            "missing": 1,
        }
        assert (found.name, found.is_estimate, found.counted_at) == ("Posts", False, None)

    def test_coverage__of_a_drained_ledger(self, drain, settings):
        posts = Post.objects.bulk_create([Post(title=title) for title in ["a", "b", "c", "[[reject]]", ""]])
        drain()
        Post.objects.filter(pk=posts[0].pk).get().save()
        Post.objects.create(title="new")
        posts[1].title = "changed"
        posts[1].save()

        assert parts(of_posts()) == {"embedded": 2, "stale": 1, "waiting": 1, "failed": 1, "empty": 1}

        settings.EMBEDDING_PROVIDERS = {"default": {**settings.EMBEDDING_PROVIDERS["default"], "MODEL": "another"}}
        assert parts(of_posts())["stale"] == 3

    def test_coverage__while_all_is_made_anew_has_the_old_vectors(self, drain):
        Post.objects.bulk_create([Post(title="a"), Post(title="b")])
        drain()
        operations.regenerate(Post)
        Operator("test").run()

        assert parts(of_posts()) == {"stale": 2}

    def test_coverage__of_chunks_and_not_of_the_texts_that_are_split(self, drain):
        Doc.objects.create(content="A long text. " * 100)
        drain()

        found = {one.target: one for one in stats.coverage()}

        assert "testapp.doc.chunking" not in found
        assert found["testapp.docchunk.embedding"].embedded > 1
        assert set(parts(found["testapp.docchunk.embedding"])) == {"embedded"}

    def test_coverage__tells_two_fields_of_a_model_apart(self):
        names = [one.name for one in stats.coverage() if one.target.startswith("testapp.receipt.")]

        assert names == ["Receipts: merchant_embedding", "Receipts: text_embedding"]

    def test_coverage__of_what_is_to_come_from_boxes(self):
        make_task(payload={"fields": {}})

        assert parts(of_posts()) == {"waiting": 1}

    def test_coverage__of_a_large_table_is_an_estimate(self, monkeypatch):
        Post.objects.bulk_create([Post(title=str(number)) for number in range(100)])
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE testapp_post")
        monkeypatch.setattr(reading, "QUICK_ROWS", 50)

        found = of_posts()

        assert found.rows >= 100
        assert found.is_estimate

    def test_coverage__of_each_database(self, settings):
        settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}
        Post.objects.create(title="here")
        Post(title="there").save(using="other")
        Post(title="there, too").save(using="other")
        census.take_if_due("other")

        assert parts(of_posts()) == {"waiting": 1}
        assert parts(of_posts("other")) == {"waiting": 2}
        assert of_posts("other").counted_at == Census.objects.using("other").get().taken_at

    def test_coverage__of_a_provider_that_is_gone(self, settings):
        make_task(Status.COMPLETED)
        settings.EMBEDDING_PROVIDERS = {}

        assert parts(of_posts()) == {"stale": 1}


class TestTables:
    def test_count_tables__leaves_out_what_this_database_does_not_have(self):
        with sessions.session() as other:
            other.execute("ALTER TABLE testapp_receipt RENAME TO away")
            try:
                found = tables.count_tables("default")
            finally:
                other.execute("ALTER TABLE away RENAME TO testapp_receipt")

        assert Receipt._meta.label_lower not in found
        assert found["testapp.post"] == (0, True)

    def test_count_tables__estimates_what_there_is_no_time_for(self, monkeypatch):
        Post.objects.bulk_create([Post(title=str(number)) for number in range(100)])
        monkeypatch.setattr(tables, "SECONDS", 0.0)

        rows, is_counted = tables.count_tables("default")["testapp.post"]

        assert rows > 0
        assert not is_counted

    def test_coverage__leaves_the_time_limit_of_a_view_in_its_transaction_alone(self):
        Post.objects.bulk_create([Post(title="a")])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', '1234', true)")

            stats.coverage()

            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("1234ms",)

    def test_size__is_known_at_once(self):
        make_many(50_000)
        started = time.monotonic()

        about = tables.size(EmbeddingTask, "default")

        assert about == pytest.approx(50_000, rel=0.1)
        assert time.monotonic() - started < 0.1
