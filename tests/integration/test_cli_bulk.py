from __future__ import annotations

import getpass

import pytest
from django.db import connection

from embeddings.cli import bulk
from embeddings.models import AuditEvent, EmbeddingBatch, EmbeddingOperation, EmbeddingTask, Status
from embeddings.operating import Operator
from tests.integration.command_line import Terminal, run
from tests.integration.conftest import counts
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def make_many(count: int, status: str = "cancelled") -> None:
    """Tasks of objects that need not exist."""
    make_task(status)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO embeddings_embeddingtask (content_type_id, object_id, field, provider, status, priority,"
            " sort_key, worker, attempts, crashes, version, fingerprint, model_id, truncated, error_kind, error_class,"
            " error_message, error_signature, created_at, updated_at)"
            " SELECT content_type_id, 'o' || n, field, provider, status, priority, sort_key, worker, attempts, crashes,"
            " version, fingerprint, model_id, truncated, error_kind, error_class, error_message, error_signature,"
            " created_at, updated_at FROM embeddings_embeddingtask, generate_series(2, %s) n WHERE object_id !~ '^o'",
            [count],
        )


@pytest.fixture
def answering(monkeypatch):
    """A terminal, on which somebody answers this."""

    def answer(text: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(text))

    return answer


def test_retry__ids_at_once_and_in_whose_name():
    task = make_task(Status.FAILED)

    ran = run("retry", task.pk)

    assert (ran.code, ran.out) == (0, "1 task retried.\n")
    assert counts() == {"pending": 1}
    assert AuditEvent.objects.get().by == f"command line ({getpass.getuser()})"


def test_retry__ids_that_cannot_be():
    done = make_task(Status.COMPLETED)

    ran = run("retry", done.pk, 999)

    assert ran.code == 1
    assert "there is no task 999, the others are completed." in ran.out
    assert counts() == {"completed": 1}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--status", "failed"], {"input", "crash", "word"}),
        (["--status", "failed", "--error-kind", "crash"], {"crash"}),
        (["--error-kind", "crash"], {"crash"}),
        (["--model", "testapp.Word"], {"word"}),
        (["--model", "testapp.post.embedding", "--status", "failed"], {"input", "crash"}),
        (["--signature", "crash: WorkerDied"], {"crash"}),
        (["--provider", "another"], {"cancelled"}),
        (["--field", "nothing"], set()),
        (["--all"], {"input", "crash", "word", "cancelled"}),
    ],
)
def test_retry__filters(arguments, expected):
    from tests.testapp.models import Word

    tasks = {
        "input": make_task(Status.FAILED),
        "crash": make_task(Status.FAILED, error_kind="crash", error_signature="crash: WorkerDied"),
        "word": make_task(Status.FAILED, model=Word),
        "cancelled": make_task(Status.CANCELLED, provider="another"),
        "done": make_task(Status.COMPLETED),
    }

    ran = run("retry", *arguments, "--yes", "--json")

    pending = set(EmbeddingTask.objects.filter(status=Status.PENDING).values_list("pk", flat=True))
    assert {name for name, task in tasks.items() if task.pk in pending} == expected
    assert ran.data["changed"] == len(expected)
    assert ran.code == (0 if expected else 1)


def test_retry__of_a_batch():
    batch = EmbeddingBatch.objects.create(name="upload")
    make_task(Status.FAILED, batch=batch)
    make_task(Status.FAILED)

    run("retry", "--batch", batch.pk, "--yes")

    assert counts() == {"pending": 1, "failed": 1}


def test_cancel__of_all_that_waits_leaves_failures():
    for status in (Status.PENDING, Status.SCHEDULED, Status.PROCESSING, Status.FAILED, Status.COMPLETED):
        make_task(status)

    ran = run("cancel", "--all", "--confirm", "--json")

    assert ran.data["changed"] == 3
    assert counts() == {"cancelled": 3, "failed": 1, "completed": 1}


def test_clear__deletes_from_the_ledger():
    make_task(Status.CANCELLED)
    make_task(Status.PENDING)

    ran = run("clear", "--all", "--yes")

    assert ran.code == 0
    assert "1 task deleted from the ledger." in ran.out
    assert counts() == {"pending": 1}


@pytest.mark.parametrize("verb", ["retry", "cancel", "clear"])
def test_dry_run__changes_nothing(verb):
    make_task(Status.FAILED)
    make_task(Status.PENDING)
    before = counts()

    ran = run(verb, "--all", "--dry-run")

    assert ran.code == 0
    assert "1 task would be" in ran.out
    assert counts() == before
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("arguments", [["retry", "--all"], ["cancel", "--all"], ["clear", "--all"], ["clear", "1"]])
@pytest.mark.parametrize("as_json", [False, True])
def test_without_yes_or_terminal__nothing_is_done(arguments, as_json, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    task = make_task(Status.FAILED)
    make_task(Status.PENDING)
    arguments = [str(task.pk) if one == "1" else one for one in arguments]
    before = counts()

    ran = run(*arguments, *(["--json"] if as_json else []))

    assert ran.code == 2
    assert "Say --yes, or --dry-run" in (ran.data["error"]["message"] if as_json else ran.error)
    assert counts() == before


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y\n", 0, {}), ("n\n", 1, {"failed": 1}), ("", 1, {"failed": 1})]
)
def test_on_a_terminal__the_answer_decides(answering, answer, code, left):
    make_task(Status.FAILED)
    answering(answer)

    ran = run("clear", "--all")

    assert ran.code == code
    assert "Clear 1 task? [y/N]" in ran.error
    assert counts() == left


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["retry"], "Say which tasks to retry"),
        (["retry", "1", "--all"], "not both"),
        (["retry", "--model", "no.such"], "There is no model 'no.such'"),
        # A shell's variable that is not set must not mean all.
        (["retry", "--signature", "", "--yes"], "--signature needs a value"),
        (["clear", "--field", "", "--yes"], "--field needs a value"),
        (["cancel", "--worker", "", "--yes"], "--worker needs a value"),
        (["clear", "--provider", "", "--yes"], "--provider needs a value"),
        (["clear", "--model", "", "--yes"], "There is no model ''"),
        (["retry", "--database", "nowhere", "--all"], "has no 'nowhere'"),
        (["retry", "--status", "odd"], "invalid choice"),
        (["retry", "x"], "whole number"),
        (["cancel", "--batch", "-1"], "whole number"),
    ],
)
def test_bad_input__one_sentence_and_2(arguments, sentence):
    ran = run(*arguments)

    assert ran.code == 2
    assert sentence in ran.error


def test_many__are_an_operation_that_waits_for_a_worker():
    make_many(bulk.MOST_AT_ONCE + 1)

    ran = run("retry", "--all", "--yes", "--json", "--wait")

    operation = EmbeddingOperation.objects.get()
    assert ran.code == 1
    assert "No worker is alive" in ran.data["hindrance"]
    assert ran.data["operation"]["id"] == operation.pk
    assert ran.data["changed"] is None
    assert operation.by == f"command line ({getpass.getuser()})"
    assert counts() == {"cancelled": bulk.MOST_AT_ONCE + 1}
    Operator("test").run()
    assert counts() == {"pending": bulk.MOST_AT_ONCE + 1}
    assert run("operations", operation.pk, "--json").data["operation"]["state"] == "done"


def test_many__waited_for_until_workers_have_done_it(workers):
    make_many(bulk.MOST_AT_ONCE + 1)
    workers.started()

    ran = run("clear", "--all", "--yes", "--wait")

    assert ran.code == 0
    assert f"is done: {bulk.MOST_AT_ONCE + 1:,} of {bulk.MOST_AT_ONCE + 1:,} tasks changed." in ran.out
    assert counts() == {}


def test_failures__are_given_up_in_the_background():
    make_task(Status.FAILED)

    ran = run("cancel", "--status", "failed", "--yes")

    assert "Operation" in ran.out
    Operator("test").run()
    assert counts() == {"cancelled": 1}


def test_operations__stop():
    make_many(bulk.MOST_AT_ONCE + 1)
    run("clear", "--all", "--yes")
    operation = EmbeddingOperation.objects.get()

    stopped, again = run("operations", operation.pk, "--stop"), run("operations", operation.pk, "--stop", "--json")

    assert stopped.code == 0
    assert "It was stopped." in stopped.out
    assert again.code == 1
    assert again.data["operation"]["state"] == "stopped"
    assert run("operations", "--json").data["operations"][0]["about"] == "all tasks"


def test_batches__progress(drain):
    import embeddings

    with embeddings.batch("upload"):
        Post.objects.create(title="a")
    drain()

    (batch,) = run("batches", "--json").data["batches"]

    assert (batch["name"], batch["total"], batch["done"], batch["share"]) == ("upload", 1, 1, 1.0)
    assert "upload" in run("batches", batch["id"]).out


def test_without_a_queue__few_are_embedded_here(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
    post = Post.objects.create(title="a")
    Post.objects.update(embedding=None)
    EmbeddingTask.objects.all()._raw_delete("default")
    make_task(Status.CANCELLED, object_id=str(post.pk))

    ran = run("retry", "--all", "--yes")

    assert ran.code == 0
    assert counts() == {"completed": 1}
    assert Post.objects.get().embedding is not None


def test_without_a_queue__many_are_refused(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
    make_many(bulk.MOST_AT_ONCE + 1)

    ran = run("clear", "--all", "--yes")

    assert ran.code == 2
    assert "no worker would do it" in ran.error
    assert counts() == {"cancelled": bulk.MOST_AT_ONCE + 1}
