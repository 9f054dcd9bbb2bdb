"""What each kind of failure does to tasks: the guilty fail alone, outages charge nothing, and nothing is done twice."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import bulk, limiter
from embeddings.models import EmbeddingTask, ProviderCall, ProviderState, Status
from embeddings.pipeline import claiming, selection
from embeddings.providers.base import Embedded
from embeddings.providers.dummy import DummyProvider
from tests.integration.conftest import MODEL, TIMEOUT_SECONDS, counts, dummy, openai, wait_until
from tests.openai_server import OpenAIServer, expected_vector
from tests.testapp.models import DIMENSIONS, Memo, Post

pytestmark = pytest.mark.django_db(transaction=True)

GUILTY = 37
NEIGHBOURS = 63


class InfiniteProvider(DummyProvider):
    """Gives vectors with infinities of both signs for texts with a mark."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        embedded = super().embed(texts)
        poles = [math.inf, -math.inf] * (self.dimensions // 2)
        vectors = [poles if "[[infinite]]" in text else v for text, v in zip(texts, embedded.vectors, strict=True)]
        return Embedded(vectors, embedded.tokens)


class CoolingProvider(DummyProvider):
    """Takes one text a request. At the third, another worker is told to wait a minute."""

    max_inputs = 1

    def embed(self, texts: Sequence[str]) -> Embedded:
        embedded = super().embed(texts)
        if DummyProvider.calls == 3:
            limiter.rate_limited(self.alias, 60, "another worker was told to wait")
            connections.close_all()
        return embedded


class DyingProvider(DummyProvider):
    """At its first request, another worker dies with the last two tasks in hand."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        if DummyProvider.calls == 0:
            last = EmbeddingTask.objects.filter(status=Status.PENDING).order_by("-pk").values("pk")[:2]
            EmbeddingTask.objects.filter(pk__in=list(last.values_list("pk", flat=True))).update(crashes=1)
            connections.close_all()
        return super().embed(texts)


@pytest.fixture(autouse=True)
def _quick_retries(settings) -> None:
    settings.EMBEDDING_PROVIDERS = dummy()
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BACKOFF_BASE_SECONDS": 0, "CIRCUIT_OPEN_SECONDS": 60}
    DummyProvider.reset()


def make_posts(guilty: str = "text") -> list[Post]:
    titles = [f"{guilty} {n}" if n == GUILTY else f"text {n}" for n in range(NEIGHBOURS + 1)]
    return Post.objects.bulk_create([Post(title=title) for title in titles])


def only_failed_task(posts: list[Post]) -> EmbeddingTask:
    """The guilty one's task, after a look at the others: all have their vectors."""
    assert counts() == {"completed": NEIGHBOURS, "failed": 1}
    assert Post.objects.filter(embedding=None).count() == 1
    task = EmbeddingTask.objects.get(status=Status.FAILED)
    assert task.object_id == str(posts[GUILTY].pk)
    return task


# The guilty fail alone.


def test_drain__fails_only_the_text_that_the_provider_refuses(drain):
    posts = make_posts("[[reject]]")

    drain()

    assert only_failed_task(posts).error_kind == "input"
    assert DummyProvider.calls <= 2 * math.log2(NEIGHBOURS + 1) + 1


def test_drain__fails_only_the_text_at_which_the_provider_breaks(drain):
    """A server that answers 500 to one text does so to every request with it, and not to the others."""
    posts = make_posts("[[transient]]")

    drain()

    task = only_failed_task(posts)
    assert (task.error_kind, task.attempts) == ("transient", 3)


@pytest.mark.parametrize("mark", ["[[nan]]", "[[infinite]]"])
def test_drain__fails_only_the_text_whose_vector_is_no_vector(drain, settings, mark):
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": f"{__name__}.InfiniteProvider"}}
    posts = make_posts(mark)

    drain()

    assert only_failed_task(posts).error_kind == "input"


@contextlib.contextmanager
def trigger_that_refuses(post: Post) -> Iterator[None]:
    """The project's own database code refuses to write one row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'this row stays as it is'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON testapp_post FOR EACH ROW"
            f" WHEN (new.id = {int(post.pk)}) EXECUTE FUNCTION refuse()"
        )
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION refuse CASCADE")


def test_drain__fails_only_the_row_that_cannot_be_written(drain):
    posts = make_posts()

    with trigger_that_refuses(posts[GUILTY]):
        drain()

    task = only_failed_task(posts)
    assert "this row stays as it is" in task.error_message
    assert DummyProvider.inputs == NEIGHBOURS + 3  # The neighbours are paid for once.


def test_drain__fails_only_the_task_that_cannot_be_read(drain):
    posts = make_posts()
    EmbeddingTask.objects.filter(object_id=posts[GUILTY].pk).update(object_id="not a number")

    drain()

    assert counts() == {"completed": NEIGHBOURS, "failed": 1}
    assert EmbeddingTask.objects.get(status=Status.FAILED).object_id == "not a number"


def test_worker__waits_for_a_table_that_is_not_as_its_code_has_it(workers):
    """As while a new version is rolled out, and its migrations are late."""
    worker = workers.started(providers=dummy())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_post RENAME COLUMN body TO contents")
        try:
            cursor.execute("INSERT INTO testapp_post (title, contents, views) VALUES ('x', '', 0) RETURNING id")
            (pk,) = cursor.fetchone()
            bulk.request_keys(Post, [pk], using="default")
            memo = Memo.objects.create(text="of another table")
            wait_until(lambda: counts() == {"scheduled": 1, "completed": 1})
        finally:
            cursor.execute("ALTER TABLE testapp_post RENAME COLUMN contents TO body")

    task = EmbeddingTask.objects.exclude(object_id=memo.pk).get()
    assert (task.attempts, task.error_kind, task.error_class) == (0, "configuration", "ProgrammingError")
    EmbeddingTask.objects.filter(pk=task.pk).update(available_at=Now())
    wait_until(lambda: counts() == {"completed": 2})
    assert worker.poll() is None


# Outages charge nothing.


def test_drain__charges_nothing_while_the_provider_is_down(drain, settings, tmp_path):
    down = tmp_path / "down"
    down.touch()
    settings.EMBEDDING_PROVIDERS = dummy(DOWN=str(down))
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 8, "CONCURRENCY": 1, "BACKOFF_BASE_SECONDS": 60}
    Post.objects.bulk_create([Post(title=f"text {n}") for n in range(100)])

    drain()

    # Five requests, and after each a ping that says whose fault it was.
    state = ProviderState.objects.get()
    assert (state.blocked_reason, state.failures_in_a_row) == ("circuit", 5)
    assert sizes_of_requests() == [8, 1] * 5
    assert counts() == {"scheduled": 4 * 8, "pending": 100 - 4 * 8}
    assert set(EmbeddingTask.objects.values_list("attempts", flat=True)) == {0}

    drain()
    assert len(sizes_of_requests()) == 10

    # Its time is over: a ping is the probe, and no task.
    let_time_pass()
    drain()
    assert sizes_of_requests()[10:] == [1]
    assert ProviderState.objects.get().blocked_until > timezone.now()

    # The provider is well again: the probe says so, and everything is done at last.
    down.unlink()
    let_time_pass()
    drain()
    assert counts() == {"completed": 100}
    assert sizes_of_requests()[11:] == [1] + [8] * 12 + [4]
    assert set(EmbeddingTask.objects.values_list("attempts", flat=True)) == {1}
    assert ProviderState.objects.get().blocked_reason == ""


def sizes_of_requests() -> list[int]:
    """The number of texts of each request so far."""
    return [len(texts) for texts in DummyProvider.requests]


def let_time_pass() -> None:
    """As if all delays of tasks and providers were over."""
    ProviderState.objects.update(blocked_until=Now() - timedelta(seconds=1))
    EmbeddingTask.objects.filter(available_at__isnull=False).update(available_at=Now() - timedelta(seconds=1))


def test_drain__one_task_alone_outlasts_an_outage(drain, settings, tmp_path):
    down = tmp_path / "down"
    down.touch()
    settings.EMBEDDING_PROVIDERS = dummy(DOWN=str(down))
    post = Post.objects.create(title="text")

    for _ in range(20):
        drain()
        let_time_pass()
    assert EmbeddingTask.objects.get().attempts == 0

    down.unlink()
    drain()
    post.refresh_from_db()
    assert post.embedding is not None


def test_drain__text_that_breaks_the_provider_fails_though_nobody_else_asks_it(drain):
    Post.objects.create(title="[[transient]]")

    for _ in range(5):
        drain()
        let_time_pass()

    task = EmbeddingTask.objects.get()
    assert (task.status, task.attempts, task.error_kind) == ("failed", 3, "transient")
    assert ProviderState.objects.filter(blocked_reason="circuit").count() == 0


def test_drain__text_that_seems_a_misconfiguration_does_not_stop_its_provider(drain):
    posts = make_posts("[[misconfigured]]")

    drain()

    assert counts() == {"completed": NEIGHBOURS, "failed": 1}
    assert EmbeddingTask.objects.get(status="failed").object_id == str(posts[GUILTY].pk)
    assert ProviderState.objects.exclude(blocked_reason="").count() == 0


@pytest.mark.parametrize(
    ("word", "reason", "status"),
    [("[[misconfigured]]", "configuration", "pending"), ("[[rate-limit]]", "rate_limit", "rate_limited")],
)
def test_drain__closes_the_lane_at_once(drain, settings, tmp_path, word, reason, status):
    down = tmp_path / "down"
    down.write_text(word)
    settings.EMBEDDING_PROVIDERS = dummy(DOWN=str(down))
    make_posts()

    drain()

    assert ProviderState.objects.get().blocked_reason == reason
    assert counts() == {status: NEIGHBOURS + 1}
    assert set(EmbeddingTask.objects.values_list("attempts", flat=True)) == {0}


def test_drain__only_one_worker_probes(settings):
    limiter.misconfigured("default", "a bad key")
    assert limiter.due_probes(["default"]) == []

    let_time_pass()

    assert limiter.due_probes(["default"]) == ["default"]
    assert [limiter.take_probe("default") for _ in range(3)] == [True, False, False]
    assert limiter.open_lanes(["default"]) == []


def test_resume__closes_the_circuit_by_hand(drain):
    limiter.misconfigured("default", "a bad key")
    Post.objects.create(title="text")
    drain()
    assert counts() == {"pending": 1}

    assert limiter.resume("default")
    assert not limiter.resume("default")
    drain()

    assert counts() == {"completed": 1}


def test_drain__holds_back_what_is_ready_when_another_worker_was_told_to_wait(drain, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CONCURRENCY": 1}
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": f"{__name__}.CoolingProvider"}}
    make_posts()

    drain()

    assert counts() == {"completed": 3, "pending": NEIGHBOURS + 1 - 3}
    assert EmbeddingTask.objects.filter(attempts=0).count() == NEIGHBOURS + 1 - 3


@pytest.mark.parametrize(
    "wrong", [dummy(NO_SUCH_OPTION=1), {"default": {**dummy()["default"], "BACKEND": "no.such.Provider"}}, {}]
)
def test_drain__pauses_a_provider_that_cannot_be_made(drain, settings, wrong):
    right = settings.EMBEDDING_PROVIDERS
    post = Post.objects.create(title="text")
    settings.EMBEDDING_PROVIDERS = wrong

    drain()

    assert counts() == {"pending": 1}
    assert EmbeddingTask.objects.get().attempts == 0
    assert [state.blocked_reason for state in ProviderState.objects.all()] == (["configuration"] if wrong else [])

    settings.EMBEDDING_PROVIDERS = right
    ProviderState.objects.update(blocked_until=Now() - timedelta(seconds=1))
    drain()
    post.refresh_from_db()
    assert post.embedding is not None


# Answers that are none.


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ({"kind": "respond", "status": 500}, 2),
        ({"kind": "respond", "status": 503, "body": "<html>Bad gateway</html>"}, 2),
        ({"kind": "cut_before"}, 2),
        ({"kind": "cut_body"}, 2),
        ({"kind": "garbage"}, 2),
        ({"kind": "wrong_count"}, 2),
        ({"kind": "slow", "seconds": TIMEOUT_SECONDS + 1.5}, 2),
        # These two charge nothing: a text may be the cause of the one, only a setting of the other.
        ({"kind": "nan"}, 1),
        ({"kind": "wrong_dimensions"}, 1),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_drain__recovers_from_a_bad_answer_over_http(drain, settings, fault, attempts):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CIRCUIT_OPEN_SECONDS": 0.2}
    with OpenAIServer() as server:
        settings.EMBEDDING_PROVIDERS = openai(server)
        server.faults.add(**fault, count=1)
        posts = make_posts()

        wait_until(lambda: drain() and counts() == {"completed": len(posts)})

    assert set(EmbeddingTask.objects.values_list("attempts", flat=True)) == {attempts}
    for post in Post.objects.all():
        assert np.allclose(post.embedding, expected_vector(post.title, MODEL, DIMENSIONS), atol=1e-6)
    assert ProviderCall.objects.count() == server.stats.requests
    assert ProviderCall.objects.exclude(outcome="ok").count() == 1


# Without a queue, without anything.


def test_save__with_the_queue_off_embeds_after_its_commit(settings, redis_client):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}

    with transaction.atomic():
        post = Post.objects.create(title="text")
        memo = Memo.objects.create(text="delays make no sense here")
        calls_before_commit = DummyProvider.calls
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.create(title="never")
        1 / 0  # noqa: B018

    assert calls_before_commit == 0
    assert counts() == {"completed": 2}
    for saved in (post, memo):
        saved.refresh_from_db()
        assert saved.embedding is not None
    assert DummyProvider.inputs == 2
    assert redis_client.dbsize() == 0


def test_save__with_the_queue_off_succeeds_without_a_provider_and_does_not_call_one_that_is_paused(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False, "BACKOFF_BASE_SECONDS": 60}

    Post.objects.create(title="[[transient]]")
    assert counts() == {"scheduled": 1}
    limiter.misconfigured("default", "a bad key")
    Post.objects.create(title="text")

    assert DummyProvider.calls == 2  # The request, and the ping that said whose fault it was.
    assert counts() == {"scheduled": 1, "pending": 1}


def test_save__with_embeddings_off_does_nothing(settings, redis_client):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    post = Post.objects.create(title="text")
    post.title = "another"
    post.save()

    assert not EmbeddingTask.objects.exists()
    assert redis_client.dbsize() == 0
    assert DummyProvider.calls == 0


# Which tasks are next.


def test_suspects_at_once__are_few(settings):
    def size(batch_size: int, max_crashes: int) -> int:
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": batch_size, "MAX_CRASHES": max_crashes}
        return selection.suspects_at_once()

    assert (size(256, 5), size(2048, 3), size(256, 2), size(1, 5)) == (16, 45, 1, 1)


@pytest.mark.parametrize(("crashes", "taken"), [(1, 4), (2, 1), (4, 1), (99, 1)])
def test_suspects__are_alone_from_the_second_death_on(settings, crashes, taken):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 16}
    make_posts()
    EmbeddingTask.objects.update(crashes=crashes)

    claims, _ = selection.suspects(["default"], worker="test")

    assert len(claims) == taken


def test_suspects__of_one_provider_are_taken_before_all_work_of_another():
    Post.objects.create(title="has time")
    suspect = Post.objects.create(title="suspect")
    EmbeddingTask.objects.filter(object_id=suspect.pk).update(provider="second", crashes=1)

    claims, _ = selection.suspects(["default", "second"], worker="test")

    assert [claim.object_id for claim in claims] == [str(suspect.pk)]


def test_drain__suspects_are_alone_and_take_turns_with_other_work(drain, settings, monkeypatch):
    monkeypatch.setattr(claiming, "TURN_SECONDS", 0)
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 4}
    Post.objects.bulk_create([Post(title=f"suspect {n}") for n in range(6)])
    EmbeddingTask.objects.update(crashes=1)
    Post.objects.bulk_create([Post(title=f"text {n}") for n in range(10)])

    drain()

    assert counts() == {"completed": 16}
    assert sizes_of_requests() == [2, 4, 2, 4, 2, 2]
    assert all(len({text.split()[0] for text in texts}) == 1 for texts in DummyProvider.requests)


def test_drain__sees_suspects_in_the_middle_of_a_backlog(drain, settings, monkeypatch):
    monkeypatch.setattr(claiming, "LOOK_SECONDS", 0)
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 4, "CONCURRENCY": 1}
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": f"{__name__}.DyingProvider"}}
    Post.objects.bulk_create([Post(title=f"text {n}") for n in range(40)])

    drain()

    assert counts() == {"completed": 40}
    # After the batch in flight, and one that may have been ready.
    assert 2 in sizes_of_requests()[1:3]


def test_suspects__are_worked_to_their_end_when_fewer_deaths_are_allowed_meanwhile(drain, settings):
    Post.objects.create(title="innocent")
    EmbeddingTask.objects.update(crashes=4)
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "MAX_CRASHES": 2}

    drain()

    assert counts() == {"completed": 1}
