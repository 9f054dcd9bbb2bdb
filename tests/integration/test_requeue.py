from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from embeddings import ledger, registry, requeue, stats
from embeddings.models import EmbeddingBatch, EmbeddingTask, Status
from embeddings.requeue import Condition
from tests.testapp.models import Post, Word

pytestmark = pytest.mark.django_db(transaction=True)


def insert_posts(count: int) -> None:
    """Rows that no signal has seen, as a migration from another system leaves them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO testapp_post (title, body, views) SELECT 'post ' || n, '', 0 FROM generate_series(1, %s) n",
            [count],
        )


def run(*arguments: str, **options: object) -> str:
    out = io.StringIO()
    call_command("requeue_missing", "--model", "testapp.post", *arguments, stdout=out, **options)
    return out.getvalue()


def progress_of(batch: EmbeddingBatch) -> stats.BatchProgress:
    return stats.batch_progress([batch.pk])[batch.pk]


def test_requeue_missing__dry_run_counts_and_writes_nothing():
    insert_posts(30)

    output = run("--dry-run")

    assert "testapp.post.embedding: 30 missing." in output
    assert "To queue: 30 rows, about 60 tokens" in output
    assert not EmbeddingTask.objects.exists()
    assert not EmbeddingBatch.objects.exists()


def test_requeue_missing__queues_a_batch_with_low_priority(drain):
    insert_posts(30)

    output = run("--yes", "--batch-size", "7")

    batch = EmbeddingBatch.objects.get()
    assert f"Queued 30 rows as batch {batch.pk}" in output
    assert batch.total == 30
    assert progress_of(batch) == stats.BatchProgress(total=30, open=30)
    assert set(EmbeddingTask.objects.values_list("priority", flat=True)) == {"low"}
    drain()
    assert progress_of(batch).done == 30
    assert not Post.objects.filter(embedding=None).exists()


def test_requeue_missing__priority():
    insert_posts(1)

    run("--yes", "--priority", "high")

    assert EmbeddingTask.objects.get().priority == "high"


def test_requeue_missing__leaves_rows_that_are_fine_alone(drain):
    Post.objects.create(title="fine")
    drain()
    before = EmbeddingTask.objects.values().get()

    output = run("--yes")

    assert "Nothing to queue" in output
    assert EmbeddingTask.objects.values().get() == before
    assert not EmbeddingBatch.objects.exists()


def test_requeue_missing__without_yes_or_terminal_queues_nothing(monkeypatch):
    insert_posts(1)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    with pytest.raises(CommandError, match="Say --yes, or --dry-run"):
        run()

    assert not EmbeddingTask.objects.exists()


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--missing", {"missing"}),
        ("--stale", {"stale"}),
        ("--failed", {"failed"}),
        ("", {"missing", "stale", "failed"}),
    ],
)
def test_requeue_missing__conditions(drain, option, expected):
    posts = {name: Post.objects.create(title=name) for name in ("missing", "stale", "failed", "fine")}
    drain()
    Post.objects.filter(pk=posts["missing"].pk).update(embedding=None)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_post SET title = 'changed' WHERE id = %s", [posts["stale"].pk])
        cursor.execute(
            "UPDATE embeddings_embeddingtask SET status = 'failed', completed_at = NULL WHERE object_id = %s",
            [str(posts["failed"].pk)],
        )

    run("--yes", *[option][: bool(option)])

    queued = EmbeddingTask.objects.filter(status=Status.PENDING).values_list("object_id", flat=True)
    assert {name for name, post in posts.items() if str(post.pk) in queued} == expected


def test_requeue_missing__another_embedding_model_makes_all_stale(drain, settings):
    Post.objects.create(title="a")
    drain()
    default = {**settings.EMBEDDING_PROVIDERS["default"], "MODEL": "another"}
    settings.EMBEDDING_PROVIDERS = {"default": default}

    output = run("--dry-run")

    assert "testapp.post.embedding: 1 stale." in output


def test_requeue_missing__rows_in_the_queue_are_not_queued_twice():
    Post.objects.create(title="a")

    output = run("--yes")

    assert "Nothing to queue" in output
    assert EmbeddingTask.objects.get().version == 1


def test_requeue_missing__forgets_tasks_of_deleted_rows(drain):
    post = Post.objects.create(title="a")
    drain()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM testapp_post WHERE id = %s", [post.pk])

    output = run("--yes")

    assert "Forgot 1 tasks of rows that no longer exist." in output
    assert not EmbeddingTask.objects.exists()


def test_requeue_missing__rollback_cancels_what_waits(drain):
    insert_posts(5)
    run("--yes")
    batch = EmbeddingBatch.objects.get()
    done = EmbeddingTask.objects.first()
    assert done
    (claim,) = ledger.claim_ids([done.pk], ["default"], worker="w")

    output = run("--rollback", str(batch.pk))

    assert f"Cancelled 4 tasks of batch {batch.pk}; 1 no longer waited." in output
    assert progress_of(batch).cancelled == 4
    assert ledger.held([claim], using="default") == {done.pk}
    batch.refresh_from_db()
    assert batch.rolled_back_at is not None


def test_requeue_missing__rollback_of_an_unknown_batch():
    with pytest.raises(CommandError, match="There is no batch 99"):
        run("--rollback", "99")


def test_requeue_missing__unknown_model_names_the_known():
    with pytest.raises(CommandError, match=r"Nothing is embedded under 'nope'; the targets are: .*testapp\.post"):
        call_command("requeue_missing", "--model", "nope", "--dry-run")


def test_requeue_missing__switched_off(settings):
    settings.EMBEDDINGS = {"ENABLED": False}

    with pytest.raises(CommandError, match="switched off"):
        run("--yes")


def test_survey__string_keys_and_pages():
    target = registry.get("testapp.word")[0]
    for number in range(5):
        Word.objects.create(word=f"w{number}", meaning="m" if number else "broken", is_public=number != 1)
    EmbeddingTask.objects.all().delete()
    pages: list[int] = []

    found = requeue.survey(target, page_size=2, on_page=pages.append)

    # Word 0's source raises: the worker is to record it. Word 1 is not wanted: it has nothing to embed.
    assert found.rows == {Condition.MISSING: 4, Condition.CURRENT: 1}
    assert pages == [2, 2, 1]


def test_survey__only_missing__passes_over_rows_with_a_vector(drain, monkeypatch):
    posts = [Post.objects.create(title=f"post {number}") for number in range(7)]
    drain()
    missing = {posts[number].pk for number in (0, 2, 3, 6)}  # the first and the last of a leap among them
    Post.objects.filter(pk__in=missing).update(embedding=None)
    EmbeddingTask.objects.all().delete()
    monkeypatch.setattr(requeue, "LEAP", 3)
    pages: list[int] = []
    target = registry.get("testapp.post")[0]

    found = requeue.survey(target, conditions={Condition.MISSING}, page_size=1, on_page=pages.append)

    assert found.rows == {Condition.MISSING: 4}
    assert found.wanted == 4
    assert [rows for rows in pages if rows] == [3, 3, 1]


def test_survey__only_missing__a_row_without_a_vector_that_is_not_missing(drain):
    empty, queued, gone = (Post.objects.create(title=title) for title in ("", "queued", "gone"))
    drain()
    Post.objects.filter(pk__in=[queued.pk, gone.pk]).update(embedding=None)
    EmbeddingTask.objects.filter(object_id=queued.pk).update(status=Status.PENDING, completed_at=None)

    found = requeue.survey(registry.get("testapp.post")[0], conditions={Condition.MISSING})

    assert Post.objects.get(pk=empty.pk).embedding is None
    assert found.rows == {Condition.CURRENT: 1, Condition.QUEUED: 1, Condition.MISSING: 1}
    assert found.wanted == 1


def test_survey__only_missing__an_empty_table():
    pages: list[int] = []

    found = requeue.survey(registry.get("testapp.post")[0], conditions={Condition.MISSING}, on_page=pages.append)

    assert found.rows == {}
    assert sum(pages) == 0
