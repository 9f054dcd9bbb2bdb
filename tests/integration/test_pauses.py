"""What operators pause waits, nothing else does, and all of it goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

import embeddings
from embeddings import jobs, ledger, limiter, operations, pauses
from embeddings.exceptions import ConfigurationError, Paused
from embeddings.models import AuditEvent, EmbeddingOperation, EmbeddingTask, Pause, ProviderState, Status
from embeddings.operating import Operator
from embeddings.providers.dummy import DummyProvider
from embeddings.search import lane
from embeddings.task_filter import TaskFilter
from embeddings.worker.sweep import Sweep
from tests.integration import sessions
from tests.integration.conftest import child_of, counts, dummy, wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import Doc, Memo, Post, Word

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

Kind = Pause.Kind
POSTS = "testapp.post.embedding"
# As an operator does it.
OF_POSTS = (Kind.TARGET, POSTS)
EVERY_KIND = [(Kind.EVERYTHING, ""), (Kind.PROVIDER, "default"), OF_POSTS]
QUICK = {"SWEEP_SECONDS": 1}


def pause(kind: str, name: str = "", **options: object) -> Pause:
    return pauses.pause(kind, name, **{"reason": "a test", "by": "ada", **options})


def make_posts(count: int = 3, using: str = "default") -> list[Post]:
    return Post.objects.using(using).bulk_create([Post(title=f"text {number}") for number in range(count)])


def end_now(pause: Pause) -> None:
    """As if the time of a pause were over."""
    Pause.objects.filter(pk=pause.pk).update(ends_at=Now())
    pauses.forget()


def audited(kind: str) -> list[str]:
    return list(AuditEvent.objects.filter(kind=kind).order_by("pk").values_list("message", flat=True))


# Beginning and end.


def test_pause__is_seen_with_its_reason_and_audited():
    begun = pause(Kind.PROVIDER, "default", reason=" a new key ", ends_at=timezone.now() + timedelta(hours=1))

    assert pauses.current() == [begun]
    assert (begun.by, begun.reason) == ("ada", "a new key")
    (event,) = AuditEvent.objects.all()
    assert (event.kind, event.subject, event.by) == ("paused", "provider default", "ada")
    assert event.message.startswith("Provider default was paused until 20")
    assert event.message.endswith(" UTC: a new key")


def test_pause__again_takes_the_place_of_the_first():
    pause(*OF_POSTS, reason="one", ends_at=timezone.now() + timedelta(hours=1))

    pause(Kind.TARGET, "testapp.Post.embedding", reason="other", by="bob")

    (found,) = pauses.current()
    assert (found.name, found.reason, found.by, found.ends_at) == (POSTS, "other", "bob", None)


@pytest.mark.parametrize(
    ("kind", "name", "options", "error"),
    [
        (Kind.PROVIDER, "nobody", {}, ConfigurationError),
        (Kind.TARGET, "testapp.post.title", {}, ConfigurationError),
        (Kind.EVERYTHING, "", {"reason": " "}, ValueError),
        (Kind.EVERYTHING, "", {"ends_at": timezone.now() - timedelta(hours=1)}, ValueError),
    ],
)
def test_pause__refuses_what_cannot_be_meant(kind, name, options, error):
    with pytest.raises(error):
        pause(kind, name, **options)

    assert not Pause.objects.exists()
    assert not AuditEvent.objects.exists()


def test_resume__lifts_what_is_paused_only():
    pause(*OF_POSTS)

    lifted = [pauses.resume(*OF_POSTS, by="bob") for _ in range(2)]

    assert lifted == [True, False]
    assert pauses.current() == []
    assert audited("resumed") == ["Target testapp.post.embedding goes on: somebody lifted the pause."]
    assert AuditEvent.objects.get(kind="resumed").by == "bob"


def test_current__is_at_most_a_second_old():
    assert pauses.current() == []

    with sessions.session() as other:
        other.execute(
            "INSERT INTO embeddings_pause (kind, name, reason, by, created_at)"
            " VALUES ('everything', '', 'reason', 'ada', now())"
        )
        since = time.monotonic()
        wait_until(pauses.is_everything_paused, seconds=3)

    assert time.monotonic() - since < pauses.CACHE_SECONDS + 0.5


def test_end_due__ends_what_is_over_and_says_so():
    lasting = pause(Kind.PROVIDER, "default")
    end_now(pause(*OF_POSTS))
    assert pauses.current() == [lasting]

    assert [pauses.end_due() for _ in range(2)] == [1, 0]

    assert list(Pause.objects.all()) == [lasting]
    assert audited("resumed") == ["Target testapp.post.embedding goes on: the time of its pause is over."]
    assert AuditEvent.objects.get(kind="resumed").by == ""


# Workers.


@pytest.mark.parametrize("named", EVERY_KIND)
def test_worker__holds_what_is_paused_and_goes_on_at_once(workers, named):
    pause(*named)
    workers.started(embeddings=QUICK, providers=dummy())
    make_posts()
    words = [Word.objects.create(word=f"w{number}", meaning="m") for number in range(2)]
    if named == OF_POSTS:  # the others go on
        wait_until(lambda: counts() == {"completed": len(words), "pending": 3}, seconds=10)
    else:
        time.sleep(2.5)  # more than two sweeps
        assert counts() == {"pending": 5}

    pauses.resume(*named, by="ada")

    wait_until(lambda: counts() == {"completed": 5}, seconds=5)


def test_worker__stops_within_two_seconds_and_goes_on_by_itself(workers, tmp_path):
    log = tmp_path / "log"
    small = {"BATCH_SIZE": 2, "CONCURRENCY": 1, **QUICK}
    workers.started(embeddings=small, providers=dummy(LATENCY_SECONDS=0.2, LOG=str(log)))
    make_posts(200)
    wait_until(log.exists)

    begun = pause(Kind.PROVIDER, "default")
    time.sleep(2)
    sent = len(log.read_text().splitlines())
    time.sleep(1.5)

    assert len(log.read_text().splitlines()) == sent
    assert counts().keys() == {"pending", "completed"}
    assert not EmbeddingTask.objects.filter(status="pending").exclude(attempts=0).exists()

    Pause.objects.filter(pk=begun.pk).update(ends_at=Now() + timedelta(seconds=0.5))
    wait_until(lambda: len(log.read_text().splitlines()) > sent, seconds=4)
    wait_until(lambda: audited("resumed"), seconds=4)
    assert not Pause.objects.exists()


def test_worker__killed_while_its_target_is_paused_leaves_tasks_that_wait(workers, tmp_path):
    log = tmp_path / "log"
    worker = workers.started(embeddings=QUICK, providers=dummy(LATENCY_SECONDS=30, LOG=str(log)))
    make_posts()
    wait_until(log.exists)
    pause(*OF_POSTS)
    time.sleep(pauses.CACHE_SECONDS)

    os.kill(child_of(worker), signal.SIGKILL)

    wait_until(lambda: counts() == {"pending": 3}, seconds=10)
    time.sleep(1.5)
    assert counts() == {"pending": 3}
    assert set(EmbeddingTask.objects.values_list("crashes", flat=True)) == {1}
    pauses.resume(*OF_POSTS, by="ada")
    wait_until(lambda: counts() == {"processing": 3}, seconds=5)


# What is begun, kind by kind.


@pytest.mark.parametrize("using", ["default", "other"])
@pytest.mark.parametrize("named", EVERY_KIND)
def test_drain__leaves_what_is_paused_in_every_database(drain, settings, named, using):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
    pause(*named)
    make_posts(using=using)

    drain()
    waiting = set(EmbeddingTask.objects.using(using).values_list("status", "attempts"))
    pauses.resume(*named, by="ada")
    drain()

    assert waiting == {("pending", 0)}
    assert set(EmbeddingTask.objects.using(using).values_list("status", flat=True)) == {"completed"}


def test_drain__splits_nothing_while_everything_is_paused(drain):
    pause(Kind.EVERYTHING)
    Doc.objects.create(title="t", content="a long text")

    drain()

    assert counts().keys() == {"pending"}


@pytest.mark.parametrize("named", EVERY_KIND)
def test_save__with_the_queue_off_leaves_what_is_paused(settings, named):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
    pause(*named)

    (post,) = make_posts(1)
    post.refresh_from_db()

    assert post.embedding is None
    assert counts() == {"pending": 1}


def test_save__falls_back_to_this_process_only_for_what_is_not_paused(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DIRECT_FALLBACK": True}
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:1/0"}}
    pause(*OF_POSTS)

    make_posts(1)
    Word.objects.create(word="w", meaning="m")

    assert set(EmbeddingTask.objects.values_list("field", "status", "content_type__model")) == {
        ("embedding", "pending", "post"),
        ("embedding", "completed", "word"),
    }


@pytest.mark.parametrize("named", EVERY_KIND[:2])
def test_drain__pings_no_provider_that_is_paused(drain, named):
    limiter.misconfigured("default", "a bad key")
    ProviderState.objects.update(blocked_until=Now() - timedelta(seconds=1))
    pause(*named)

    drain()

    assert limiter.due_probes(["default"]) == []
    assert not DummyProvider.requests
    pauses.resume(*named, by="ada")
    drain()
    assert [list(texts) for texts in DummyProvider.requests] == [["ping"]]


def test_operate__waits_while_everything_is_paused():
    make_posts()
    operation = operations.regenerate(Post)
    pause(Kind.EVERYTHING)

    Operator("worker").run()
    operation.refresh_from_db()
    before = (operation.state, operation.rows_read)
    pauses.resume(Kind.EVERYTHING, by="ada")
    Operator("worker").run()
    operation.refresh_from_db()

    assert before == (EmbeddingOperation.State.WAITING, 0)
    assert operation.state == EmbeddingOperation.State.DONE


@pytest.mark.parametrize(
    ("begin", "status"), [(operations.cancel_matching, "pending"), (operations.clear_matching, "failed")]
)
def test_operate__cancels_and_clears_while_everything_is_paused(redis_client, monkeypatch, begin, status):
    pause(Kind.EVERYTHING)
    make_task(Status(status))
    retried = operations.retry_matching(TaskFilter())
    ending = begin(TaskFilter())
    redis_client.flushdb()
    monkeypatch.setattr(jobs, "_redis_failed_at", float("-inf"))  # a slow answer would have it left alone for a while

    Sweep("worker").run()
    poked = redis_client.llen("rq:queue:embeddings")
    Operator("worker").run()

    ending.refresh_from_db()
    retried.refresh_from_db()
    assert (poked, ending.state, ending.changed) == (1, "done", 1)
    assert (retried.state, retried.rows_read) == ("waiting", 0)


def test_operate__is_held_between_two_pages_once_everything_is_paused():
    make_posts(3)
    operation = operations.regenerate(Post)

    def pause_once() -> bool:
        if EmbeddingOperation.objects.get().rows_read and not Pause.objects.exists():
            pause(Kind.EVERYTHING)
        return False

    Operator("worker", page_size=1, stop=pause_once).run()

    operation.refresh_from_db()
    assert (operation.rows_read, operation.lease_until, operation.is_open) == (1, None, True)


def test_sweep__calls_nobody_for_what_is_paused(redis_client):
    make_posts()
    operations.regenerate(Post)
    pause(Kind.EVERYTHING)
    redis_client.flushdb()
    sweep = Sweep("worker")

    sweep.run()
    paused = redis_client.llen("rq:queue:embeddings")
    end_now(Pause.objects.get())
    sweep.run()

    assert paused == 0
    assert not Pause.objects.exists()
    # A poke that Redis was too slow for is left to a later sweep.
    wait_until(lambda: sweep.run() or redis_client.llen("rq:queue:embeddings") > 0, seconds=10)


# Who waits for an answer.


def test_search__of_a_paused_provider_goes_by_words(drain):
    Post.objects.create(title="a red apple")
    drain()
    DummyProvider.reset()
    pause(Kind.PROVIDER, "default")

    found = Post.objects.search("apple")

    assert found.degraded
    assert [post.title for post in found] == ["a red apple"]
    assert not DummyProvider.requests


@pytest.mark.parametrize("named", [(Kind.EVERYTHING, ""), OF_POSTS])
def test_search__goes_on_while_only_work_is_paused(drain, named):
    Post.objects.create(title="a red apple")
    drain()
    pause(*named)

    assert not Post.objects.search("apple").degraded


def test_lane__says_what_the_matter_is():
    pause(Kind.PROVIDER, "default")

    with pytest.raises(lane.LeftAlone):
        lane.ask("default", "text")


@pytest.mark.parametrize("named", EVERY_KIND)
def test_create_now__says_that_it_is_paused(named):
    pause(*named)

    with pytest.raises(Paused, match=r"is paused by an operator until somebody resumes it; try again then\."):
        Post.objects.create_now(title="a")

    assert not Post.objects.exists()
    assert not DummyProvider.requests


def test_embed__immediately_says_that_the_provider_is_paused():
    pause(Kind.PROVIDER, "default", ends_at=timezone.now() + timedelta(hours=1))

    with pytest.raises(Paused, match=r"Provider default is paused by an operator until 20.* UTC"):
        embeddings.embed("text", immediate=True)


# Claims.


def claimed(limit: int, **options: object) -> list[str]:
    return [claim.object_id for claim in ledger.claim("default", limit, worker="w", **options)]


def test_claim__takes_the_most_urgent_of_all_open_targets():
    pause(*OF_POSTS)
    make_posts(5)
    memo_ids = []
    for number in range(4):
        word = Word.objects.create(word=f"w{number}", meaning="m")
        memo_ids += [word.word, str(Memo.objects.create(text=f"m{number}").pk)]
    EmbeddingTask.objects.filter(status="scheduled").update(status="pending", available_at=None)
    for place, object_id in enumerate(reversed(memo_ids)):
        EmbeddingTask.objects.filter(object_id=object_id).update(sort_key=Now() + timedelta(seconds=place))

    assert claimed(3) == memo_ids[:-4:-1]
    assert claimed(100) == memo_ids[-4::-1]
    assert counts() == {"processing": 8, "pending": 5}


def test_claim__never_waits_for_what_others_hold_while_a_target_is_paused():
    pause(*OF_POSTS)
    for number in range(3):
        Word.objects.create(word=f"w{number}", meaning="m")
    with sessions.session() as other, other.transaction():
        other.execute("SELECT FROM embeddings_embeddingtask WHERE object_id = 'w1' FOR UPDATE")

        assert claimed(10) == ["w0", "w2"]


def test_has_claimable__knows_the_open_targets_only():
    pause(*OF_POSTS)
    make_posts()
    before = has_work(["default"])
    Word.objects.create(word="w", meaning="m")
    after = has_work(["default"])
    EmbeddingTask.objects.filter(object_id="w").update(crashes=1)

    assert before == (False, False)
    assert after == (True, False)
    assert has_work(["default"]) == (True, True)
    assert has_work([""]) == (False, False)


def has_work(lanes: Collection[str]) -> tuple[bool, bool]:
    return ledger.has_claimable(lanes), ledger.has_suspects(lanes)


def test_claim__while_a_target_is_paused_reads_nothing_of_it():
    make_posts(1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO embeddings_embeddingtask (content_type_id, object_id, field, provider, status, priority,"
            " sort_key, worker, attempts, crashes, version, fingerprint, model_id, truncated, error_kind, error_class,"
            " error_message, error_signature, created_at, updated_at)"
            " SELECT content_type_id, 'p' || n, field, provider, status, priority, sort_key, '', 0, 0, 1, '', '',"
            " false, '', '', '', '', now(), now() FROM embeddings_embeddingtask, generate_series(1, 20000) AS n"
        )
        cursor.execute("ANALYZE embeddings_embeddingtask")
    Word.objects.create(word="w", meaning="m")
    pause(*OF_POSTS)

    with transaction.atomic():
        found = ledger.has_claimable(["default"])
        took = claimed(100)
        read = rows_read()

    assert found
    assert took == ["w"]
    assert 0 < read < 100


def rows_read() -> int:
    """Rows of the ledger that this transaction has read, in any way."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'embeddings_embeddingtask'"
        )
        return int(cursor.fetchone()[0])


# The audit of what happens by itself.


def test_limiter__audits_a_circuit_once_and_its_end_once(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CIRCUIT_FAILURES": 2}
    limiter.succeeded("default")
    for _ in range(4):
        limiter.transient_failure("default", "No answer.")
    limiter.succeeded("default")
    limiter.succeeded("default")

    assert audited("blocked") == ["Circuit open: No answer."]
    assert audited("unblocked") == ["Provider default may be called again: it answers again."]


def test_limiter__does_not_audit_a_cooldown():
    limiter.rate_limited("default", 0, "Slow down.")
    limiter.succeeded("default")

    assert not AuditEvent.objects.exists()


def test_limiter__keeps_a_wrong_configuration_through_a_rate_limit():
    limiter.misconfigured("default", "A bad key.")

    limiter.wait_for_quota("default", 60, "The quota is used up.")

    state = ProviderState.objects.get()
    assert (state.blocked_reason, state.last_error) == ("configuration", "A bad key.")
    assert state.blocked_until > timezone.now() + timedelta(seconds=50)
    assert audited("blocked") == ["Configuration: A bad key."]


def test_resume_provider__by_hand_is_audited_with_who_did_it():
    limiter.rate_limited("default", 60, "Slow down.")

    operations.resume_provider("default", by="ada")

    event = AuditEvent.objects.get()
    assert (event.kind, event.by) == ("unblocked", "ada")


def test_limiter__keeps_a_rest_that_the_provider_has_asked_for_through_one_for_its_quota():
    limiter.rate_limited("default", 30, "Too many requests.")

    limiter.wait_for_quota("default", 60, "The quota is used up.")

    state = ProviderState.objects.get()
    assert (state.blocked_reason, limiter.end_wait_for_quota("default")) == ("rate_limit", False)
    assert state.blocked_until > timezone.now() + timedelta(seconds=50)


def test_limiter__rests_for_the_quota_once_the_provider_asks_for_no_rest_any_more():
    limiter.rate_limited("default", 0, "Too many requests.")
    ProviderState.objects.update(blocked_until=Now())

    limiter.wait_for_quota("default", 60, "The quota is used up.")

    assert limiter.open_lanes(["default"]) == []
    assert limiter.end_wait_for_quota("default")
    assert limiter.open_lanes(["default"]) == ["default"]


def test_limiter__a_rest_for_the_quota_ends_by_itself_and_hinders_no_search():
    limiter.wait_for_quota("default", 60, "The quota is used up.")

    limiter.succeeded("default")  # the answer to a request that was sent before

    assert limiter.open_lanes(["default"]) == []
    assert limiter.is_open_to_searches("default")
    ProviderState.objects.update(blocked_until=Now())
    assert limiter.open_lanes(["default"]) == ["default"]
    assert limiter.due_probes(["default"]) == []
