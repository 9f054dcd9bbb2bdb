"""The fences between the reading of a text and the writing of its vector.

A worker's way is taken apart: `begin` claims and reads, `finish` writes; what happens between them is the test.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.core.serializers import deserialize, serialize
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from embeddings import ledger, operations, pipeline, registry
from embeddings.failure import Failure
from embeddings.ledger import Claim
from embeddings.models import EmbeddingTask, ProviderCall
from embeddings.pipeline import intake, settlement
from embeddings.pipeline.intake import Effect, Intake, Settlement
from embeddings.providers.dummy import DummyProvider, vector
from tests.integration import sessions
from tests.integration.conftest import Draining, TaskOf, wait_until
from tests.testapp.models import DIMENSIONS, Author, Book, Memo, Post, Receipt, Restaurant, Word

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


@pytest.fixture(autouse=True)
def never_waits() -> Iterator[None]:
    """This process is the worker: its statements fail if they have to wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")


def begin(using: str = "default") -> tuple[list[Claim], Intake]:
    claims = ledger.claim("default", 100, worker="one", using=using)
    return claims, intake.take(claims, using)


def time_passes() -> None:
    """What waits for its time is due."""
    EmbeddingTask.objects.filter(available_at__isnull=False).update(available_at=Now())


def finish(taken: Intake) -> settlement.Settled:
    """Write the vectors of the texts that were read."""
    written = [
        Settlement(item, Effect.WRITE, vector(item.text.text, DIMENSIONS))
        for request in taken.requests
        for items in request.items
        for item in items
    ]
    return settlement.settle([*taken.settlements, *written])


def counts(settled: settlement.Settled) -> tuple[int, int, int, int]:
    """(completed, reopened, dropped, busy)."""
    return settled.completed, settled.reopened, settled.dropped, len(settled.busy)


def holds(value: Any, text: str) -> bool:
    return value is not None and list(value) == pytest.approx(vector(text, DIMENSIONS), abs=1e-3)


def by_sql(statement: str, *params: Any) -> None:
    """Another program writes to the database, and commits."""
    with sessions.session() as other:
        other.execute(statement, params)


# Edits between reading and writing.


def test_settle__undisturbed_is_written() -> None:
    post = Post.objects.create(title="a", body="b")
    _, taken = begin()

    settled = finish(taken)

    post.refresh_from_db()
    assert counts(settled) == (1, 0, 0, 0)
    assert holds(post.embedding, "a\n\nb")


def test_settle__text_saved_meanwhile_is_not_overtaken(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="old")
    _, taken = begin()
    post.title = "new"
    post.save()

    settled = finish(taken)

    assert counts(settled) == (0, 1, 0, 0)
    assert Post.objects.get().embedding is None
    assert (task_of(post).status, task_of(post).attempts) == ("pending", 0)
    drain()
    assert holds(Post.objects.get().embedding, "new")


def test_settle__text_updated_meanwhile_keeps_the_older_vector_until_the_new_one(drain: Draining) -> None:
    post = Post.objects.create(title="first")
    drain()
    Post.objects.update(title="old")
    _, taken = begin()
    Post.objects.update(title="new")

    finish(taken)

    post.refresh_from_db()
    assert holds(post.embedding, "first")
    drain()
    post.refresh_from_db()
    assert holds(post.embedding, "new")


def test_settle__text_edited_by_raw_sql_meanwhile_is_not_overtaken(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="old")
    _, taken = begin()
    by_sql("UPDATE testapp_post SET title = 'new'")

    settled = finish(taken)

    assert counts(settled) == (0, 1, 0, 0)
    assert Post.objects.get().embedding is None
    task = task_of(post)
    assert (task.status, task.error_class) == ("scheduled", "SourceChanged")
    time_passes()
    drain()
    assert holds(Post.objects.get().embedding, "new")


@pytest.mark.parametrize("is_recorded", [True, False])
def test_settle__another_column_written_meanwhile_does_not_matter(is_recorded: bool) -> None:
    post = Post.objects.create(title="a")
    _, taken = begin()
    if is_recorded:
        post.views = 5
        post.save()
    else:
        by_sql("UPDATE testapp_post SET views = 5")

    settled = finish(taken)

    stored = Post.objects.get()
    assert counts(settled) == (1, 0, 0, 0)
    assert (stored.views, holds(stored.embedding, "a")) == (5, True)


def test_settle__text_edited_and_edited_back_is_written_without_a_second_input(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    _, taken = begin()
    for title in ("b", "a"):
        post.title = title
        post.save()

    settled = finish(taken)

    assert counts(settled) == (1, 0, 0, 0)
    assert holds(Post.objects.get().embedding, "a")
    assert drain().claimed == 0


def test_settle__text_edited_back_to_that_of_the_column_costs_nothing(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    for title in ("b", "a"):
        post.title = title
        post.save()
    DummyProvider.reset()

    drain()

    assert DummyProvider.calls == 0
    assert holds(Post.objects.get().embedding, "a")


def test_settle__text_that_is_not_a_column_is_compared(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    _, taken = begin()
    by_sql("UPDATE testapp_author SET name = 'Anna'")  # Leaves the book's row as it was.

    settled = finish(taken)

    assert counts(settled) == (0, 1, 0, 0)
    time_passes()
    drain()
    book.refresh_from_db()
    assert holds(book.embedding, "a\n\nAnna")


def test_settle__parents_column_edited_by_raw_sql_meanwhile_is_not_overtaken(drain: Draining) -> None:
    Restaurant.objects.create(name="Roma", menu="pizza")
    _, taken = begin()
    by_sql("UPDATE testapp_place SET name = 'Napoli'")

    settled = finish(taken)

    assert counts(settled) == (0, 2, 0, 0)
    time_passes()
    drain()
    assert holds(Restaurant.objects.get().menu_embedding, "Napoli\n\npizza")


def test_settle__source_that_raises_meanwhile_is_not_written(drain: Draining, task_of: TaskOf) -> None:
    word = Word.objects.create(word="x", meaning="sound")
    _, taken = begin()
    by_sql("UPDATE testapp_word SET meaning = 'broken'")

    settled = finish(taken)

    assert counts(settled) == (0, 1, 0, 0)
    time_passes()
    drain()
    assert task_of(word).status == "failed"
    assert Word.objects.get().embedding is None


def test_settle__two_fields_of_one_row_do_not_disturb_each_other() -> None:
    Receipt.objects.create(merchant="m", text="t")
    _, taken = begin()

    settled = finish(taken)

    receipt = Receipt.objects.get()
    assert counts(settled) == (2, 0, 0, 0)
    assert holds(receipt.merchant_embedding, "m")
    assert holds(receipt.text_embedding, "t")


def test_settle__only_the_edited_of_many_is_reopened() -> None:
    posts = Post.objects.bulk_create([Post(title=str(n)) for n in range(10)])
    _, taken = begin()
    by_sql("UPDATE testapp_post SET title = 'new' WHERE id = %s", posts[3].pk)

    settled = finish(taken)

    assert counts(settled) == (9, 1, 0, 0)
    assert list(Post.objects.filter(embedding=None).values_list("pk", flat=True)) == [posts[3].pk]


# Empty texts.


def test_settle__text_that_becomes_empty_nulls_the_column_and_comes_back(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    drain()

    post.title = " \n"
    post.save()
    drain()
    post.refresh_from_db()
    assert post.embedding is None
    assert task_of(post).status == "empty"

    post.title = "a"
    post.save()
    drain()
    post.refresh_from_db()
    assert holds(post.embedding, "a")
    assert task_of(post).status == "completed"


def test_settle__empty_text_filled_meanwhile_is_not_cleared(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    Post.objects.update(title="")
    _, taken = begin()
    by_sql("UPDATE testapp_post SET title = 'a'")

    settled = finish(taken)

    post.refresh_from_db()
    assert counts(settled) == (0, 1, 0, 0)
    assert holds(post.embedding, "a")
    drain()
    assert DummyProvider.inputs == 1


# Vectors that are to be kept.


def test_settle__vector_to_be_kept_that_is_erased_meanwhile_is_made_again(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    post.save(update_fields=["title"])  # Asks for a look.
    _, taken = begin()
    assert [s.effect for s in taken.settlements] == [Effect.KEEP]
    by_sql("UPDATE testapp_post SET embedding = NULL")

    settled = finish(taken)

    assert counts(settled) == (0, 1, 0, 0)
    drain()
    assert holds(Post.objects.get().embedding, "a")


def test_settle__vector_to_be_kept_that_a_fixture_overwrites_meanwhile_is_made_again(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    post.save(update_fields=["title"])
    _, taken = begin()
    fixture = serialize("json", [Post(pk=post.pk, title="a", embedding=vector("another", DIMENSIONS))])
    for loaded in deserialize("json", fixture):
        loaded.save()

    finish(taken)
    drain()

    assert holds(Post.objects.get().embedding, "a")


# Deletes.


def test_settle__object_deleted_meanwhile_is_forgotten(task_of: TaskOf) -> None:
    Post.objects.create(title="a").delete()
    post = Post.objects.create(title="b")
    _, taken = begin()
    post.delete()

    settled = finish(taken)

    assert counts(settled) == (0, 0, 1, 0)
    assert not EmbeddingTask.objects.exists()


def test_settle__object_deleted_by_raw_sql_meanwhile_is_forgotten() -> None:
    posts = Post.objects.bulk_create([Post(title="a"), Post(title="b")])
    _, taken = begin()
    by_sql("DELETE FROM testapp_post WHERE id = %s", posts[0].pk)

    settled = finish(taken)

    assert counts(settled) == (1, 0, 1, 0)
    assert list(EmbeddingTask.objects.values_list("object_id", "status")) == [(str(posts[1].pk), "completed")]


def test_settle__object_deleted_and_made_again_with_its_key_gets_its_own_vector(drain: Draining) -> None:
    word = Word.objects.create(word="cat", meaning="old")
    _, taken = begin()
    word.delete()
    Word.objects.create(word="cat", meaning="new")

    finish(taken)

    assert Word.objects.get().embedding is None
    drain()
    assert holds(Word.objects.get().embedding, "cat: new")


def test_take__object_made_again_before_its_task_is_forgotten_is_not_lost(drain: Draining) -> None:
    """Deleted by raw SQL, so that its task was still there, found missing, and then created again."""
    Word.objects.create(word="cat", meaning="old")
    by_sql("DELETE FROM testapp_word")
    claims = ledger.claim("default", 100, worker="one")
    Word.objects.create(word="cat", meaning="new")

    ledger.discard(claims)

    drain()
    assert holds(Word.objects.get().embedding, "cat: new")


def test_take__object_being_made_again_in_an_open_transaction_is_not_lost(drain: Draining, task_of: TaskOf) -> None:
    Word.objects.create(word="cat", meaning="old")
    by_sql("DELETE FROM testapp_word")
    claims = ledger.claim("default", 100, worker="one")
    is_written, is_read = threading.Event(), threading.Event()

    def create() -> None:
        with transaction.atomic():
            Word.objects.create(word="cat", meaning="new")
            is_written.set()
            assert is_read.wait(10)

    finish_creating = sessions.in_thread(create)
    assert is_written.wait(10)
    intake.take(claims, "default")
    is_read.set()
    finish_creating()

    EmbeddingTask.objects.filter(status="processing").update(lease_until=Now())
    ledger.rescue()
    drain()
    assert holds(Word.objects.get().embedding, "cat: new")


# Locks.


def test_settle__row_in_an_open_transaction_is_tried_again() -> None:
    locked, free = Post.objects.bulk_create([Post(title="a"), Post(title="b")])
    _, taken = begin()

    with sessions.session() as other, other.transaction():
        other.execute("UPDATE testapp_post SET views = 1 WHERE id = %s", [locked.pk])
        settled = finish(taken)
        assert counts(settled) == (1, 0, 0, 1)
        again = settlement.settle(settled.busy)
        assert counts(again) == (0, 0, 0, 1)

    assert counts(settlement.settle(again.busy)) == (1, 0, 0, 0)
    assert holds(Post.objects.get(pk=free.pk).embedding, "b")
    assert holds(Post.objects.get(pk=locked.pk).embedding, "a")


def test_settle__task_in_an_open_transaction_is_tried_again() -> None:
    Post.objects.create(title="a")
    _, taken = begin()

    with sessions.session() as other, other.transaction():
        other.execute("UPDATE embeddings_embeddingtask SET priority = 'high'")
        settled = finish(taken)
        assert counts(settled) == (0, 0, 0, 1)

    assert counts(settlement.settle(settled.busy)) == (1, 0, 0, 0)


def test_settle__save_in_an_open_transaction_wins(drain: Draining) -> None:
    post = Post.objects.create(title="old")
    _, taken = begin()
    is_saved, may_commit = threading.Event(), threading.Event()

    def save() -> None:
        with transaction.atomic():
            Post.objects.get(pk=post.pk)
            post.title = "new"
            post.save()
            is_saved.set()
            assert may_commit.wait(10)

    finish_saving = sessions.in_thread(save)
    assert is_saved.wait(10)
    settled = finish(taken)
    assert counts(settled) == (0, 0, 0, 1)
    may_commit.set()
    finish_saving()
    settled = settlement.settle(settled.busy)

    assert counts(settled) == (0, 1, 0, 0)
    drain()
    assert holds(Post.objects.get().embedding, "new")


def test_settle__row_deleted_in_an_open_transaction_is_decided_by_its_end() -> None:
    kept, _ = Post.objects.bulk_create([Post(title="a"), Post(title="b")])
    _, taken = begin()

    with sessions.session() as other:
        other.execute("BEGIN")
        other.execute("DELETE FROM testapp_post WHERE id = %s", [kept.pk])
        settled = finish(taken)
        assert counts(settled) == (1, 0, 0, 1)
        other.execute("ROLLBACK")

    assert counts(settlement.settle(settled.busy)) == (1, 0, 0, 0)
    assert Post.objects.filter(embedding=None).count() == 0


def test_drain__settles_a_locked_row_when_its_transaction_ends(drain: Draining) -> None:
    locked, free = Post.objects.bulk_create([Post(title="a"), Post(title="b")])
    with sessions.session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM testapp_post WHERE id = %s FOR UPDATE", [locked.pk])
        finish_draining = sessions.in_thread(drain)
        wait_until(lambda: Post.objects.filter(pk=free.pk, embedding__isnull=False).exists())
        assert Post.objects.get(pk=locked.pk).embedding is None
        other.execute("COMMIT")

    outcome = finish_draining()

    assert outcome.completed == 2
    assert DummyProvider.inputs == 2
    assert holds(Post.objects.get(pk=locked.pk).embedding, "a")


def test_settle__user_who_locks_in_the_opposite_order_is_never_made_to_wait() -> None:
    """The user holds the second row and then wants the first: a worker that waited for the second would deadlock."""
    first, second = Post.objects.bulk_create([Post(title="a"), Post(title="b")])
    _, taken = begin()

    with sessions.session() as user, user.transaction():
        user.execute("SET LOCAL lock_timeout = '50ms'")
        user.execute("UPDATE testapp_post SET views = 1 WHERE id = %s", [second.pk])
        settled = finish(taken)
        user.execute("UPDATE testapp_post SET views = 1 WHERE id = %s", [first.pk])

    assert counts(settled) == (1, 0, 0, 1)
    assert counts(settlement.settle(settled.busy)) == (1, 0, 0, 0)


def test_drain__no_lock_is_held_while_the_provider_is_asked(settings: Any, drain: Draining) -> None:
    default = settings.EMBEDDING_PROVIDERS["default"]
    settings.EMBEDDING_PROVIDERS = {"default": {**default, "OPTIONS": {"LATENCY_SECONDS": 0.5}}}
    settings.EMBEDDINGS = {"BACKOFF_BASE_SECONDS": 0}
    post = Post.objects.create(title="a")
    finish_draining = sessions.in_thread(drain)
    wait_until(lambda: DummyProvider.calls)

    with sessions.session() as user:
        user.execute("SET lock_timeout = '50ms'")
        user.execute("UPDATE testapp_post SET title = 'b'")
        user.execute("UPDATE embeddings_embeddingtask SET priority = 'high'")
        [(idle,)] = user.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'")
        assert DummyProvider.calls == 1  # It was being asked all the time.

    finish_draining()
    post.refresh_from_db()
    assert idle == 0
    assert holds(post.embedding, "b")


def test_drain__users_and_a_worker_never_deadlock(drain: Draining) -> None:
    """Users edit in both orders while a worker settles; nobody waits long, and the last text wins."""
    keys = [post.pk for post in Post.objects.bulk_create([Post(title="a") for _ in range(12)])]
    until = time.monotonic() + 1.5

    def edit() -> int:
        rounds = 0
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '500ms'")
        while time.monotonic() < until:
            with transaction.atomic():
                for key in keys if rounds % 2 else reversed(keys):
                    Post.objects.filter(pk=key).update(title=f"{key} {rounds}")
            rounds += 1
        return rounds

    finish_editing = sessions.in_thread(edit)
    while time.monotonic() < until:
        drain()
    rounds = finish_editing()
    drain()

    assert rounds > 2
    for post in Post.objects.all():
        assert post.title.endswith(f" {rounds - 1}")
        assert holds(post.embedding, post.title)


# Leases and operators.


def test_settle__cancelled_meanwhile_is_not_written(task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    _, taken = begin()
    operations.cancel(EmbeddingTask.objects.all())

    settled = finish(taken)

    assert counts(settled) == (0, 0, 1, 0)
    assert task_of(post).status == "cancelled"
    assert Post.objects.get().embedding is None


def test_settle__lease_lost_to_another_worker_writes_nothing(task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    [loser], lost = begin()
    EmbeddingTask.objects.update(lease_until=Now())
    assert ledger.rescue() == 1
    [winner] = ledger.claim("default", 10, worker="two", crashes=1)

    settled = finish(lost)

    assert counts(settled) == (0, 0, 1, 0)
    assert Post.objects.get().embedding is None
    task = task_of(post)
    assert (task.status, task.worker, task.lease_token) == ("processing", "two", winner.token)
    assert winner.token != loser.token

    settled = finish(intake.take([winner], "default"))
    assert counts(settled) == (1, 0, 0, 0)
    assert task_of(post).crashes == 0


def test_settle__lease_that_ran_out_but_was_taken_by_nobody_is_still_good() -> None:
    Post.objects.create(title="a")
    _, taken = begin()
    EmbeddingTask.objects.update(lease_until=Now())

    assert counts(finish(taken)) == (1, 0, 0, 0)


def test_settle__lease_lost_writes_nothing_back_to_the_ledger_either(task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    claims, _ = begin()
    EmbeddingTask.objects.update(lease_until=Now())
    ledger.rescue()
    before = task_of(post)

    failure = Failure("transient", "X", "x")
    ledger.fail(claims, failure, is_final=True)
    ledger.defer(claims, before.created_at, failure)
    ledger.release(claims)
    ledger.discard(claims)
    ledger.renew({claims[0].token})

    after = task_of(post)
    assert {field.name: getattr(after, field.attname) for field in after._meta.fields} == {
        field.name: getattr(before, field.attname) for field in before._meta.fields
    }


# What is paid for.


def test_drain__a_hundred_edits_are_one_input(drain: Draining) -> None:
    post = Post.objects.create(title="0")
    for n in range(1, 100):
        post.title = str(n)
        post.save()

    drain()

    post.refresh_from_db()
    assert (DummyProvider.calls, DummyProvider.inputs) == (1, 1)
    assert holds(post.embedding, "99")


def test_drain__equal_texts_are_one_input(drain: Draining) -> None:
    Post.objects.bulk_create([Post(title="same") for _ in range(50)])

    outcome = drain()

    assert outcome.completed == 50
    assert DummyProvider.inputs == 1
    assert all(holds(post.embedding, "same") for post in Post.objects.all())
    assert ProviderCall.objects.get().inputs == 1


def test_drain__equal_texts_of_different_fields_are_one_input(drain: Draining) -> None:
    Receipt.objects.create(merchant="same", text="same")

    drain()

    receipt = Receipt.objects.get()
    assert DummyProvider.inputs == 1
    assert holds(receipt.merchant_embedding, "same")
    assert holds(receipt.text_embedding, "same")


def test_drain__tokens_of_equal_texts_are_counted_once(drain: Draining) -> None:
    Post.objects.bulk_create([Post(title="same text here") for _ in range(5)])

    drain()

    paid = list(EmbeddingTask.objects.values_list("tokens", flat=True))
    assert sum(paid) == ProviderCall.objects.get().tokens


@pytest.mark.parametrize("stopped", ["failed", "cancelled"])
def test_retry__of_an_unchanged_text_costs_no_input(stopped: str, drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    drain()
    DummyProvider.reset()
    EmbeddingTask.objects.update(status=stopped, completed_at=None)

    changed = operations.retry(EmbeddingTask.objects.all())
    drain()

    assert changed == operations.Changed(1, 0)
    assert DummyProvider.calls == 0
    assert task_of(post).status == "completed"
    assert holds(Post.objects.get().embedding, "a")


def test_retry__of_an_unchanged_text_whose_vector_is_gone_makes_it_again(drain: Draining) -> None:
    Post.objects.create(title="a")
    drain()
    EmbeddingTask.objects.update(status="failed", completed_at=None)
    by_sql("UPDATE testapp_post SET embedding = NULL")

    operations.retry(EmbeddingTask.objects.all())
    drain()

    assert holds(Post.objects.get().embedding, "a")


def test_drain__long_text_is_cut_and_says_so(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="a", body="x" * 40_000)

    drain()

    task = task_of(post)
    assert (task.status, task.truncated) == ("completed", True)
    post.save()
    assert task_of(post).version == task.version


def test_drain__other_providers_model_makes_everything_stale(settings: Any, drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    drain()
    settings.EMBEDDING_PROVIDERS = {"default": {**settings.EMBEDDING_PROVIDERS["default"], "MODEL": "another"}}

    post.save()

    assert task_of(post).status == "pending"
    drain()
    assert task_of(post).model_id == "another"
    assert DummyProvider.inputs == 2


# Anything in any order.


class Interleavings(RuleBasedStateMachine):
    """Writes, workers and operators take turns at three posts; what is recorded as completed is true at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = [post.pk for post in Post.objects.bulk_create([Post(title="a") for _ in range(3)])]
        self.in_hand: list[Intake] = []
        # Posts written by raw SQL since a save: the ledger cannot know of it until somebody looks.
        self.unnoticed: set[int] = set()

    @rule(which=st.integers(0, 2), title=st.sampled_from(["a", "b", ""]))
    def save(self, which: int, title: str) -> None:
        key = self.keys[which]
        Post(pk=key, title=title).save()
        self.unnoticed.discard(key)

    @rule(which=st.integers(0, 2), title=st.sampled_from(["a", "b", ""]))
    def update(self, which: int, title: str) -> None:
        if Post.objects.filter(pk=self.keys[which]).update(title=title):
            self.unnoticed.discard(self.keys[which])

    @rule(which=st.integers(0, 2))
    def write_by_raw_sql(self, which: int) -> None:
        by_sql("UPDATE testapp_post SET title = 'raw' WHERE id = %s", self.keys[which])
        self.unnoticed.add(self.keys[which])

    @rule(which=st.integers(0, 2))
    def delete(self, which: int) -> None:
        Post.objects.filter(pk=self.keys[which]).delete()

    @rule(crashes=st.integers(0, 2))
    def claim(self, crashes: int) -> None:
        claims = ledger.claim("default", 2, worker="w", crashes=crashes)
        self.in_hand.append(intake.take(claims, "default"))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def settle(self, data: Any) -> None:
        finish(self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1))))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), is_final=st.booleans())
    def fail(self, data: Any, is_final: bool) -> None:
        taken = self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1)))
        for request in taken.requests:
            ledger.fail(request.claims, Failure("transient", "E", "m"), is_final=is_final)

    @rule()
    def rescue(self) -> None:
        EmbeddingTask.objects.filter(status="processing").update(lease_until=Now())
        ledger.rescue()

    @rule()
    def cancel(self) -> None:
        ledger.cancel(EmbeddingTask.objects.all())

    @rule()
    def retry(self) -> None:
        ledger.retry(EmbeddingTask.objects.all())

    @invariant()
    def completed_is_true(self) -> None:
        done = EmbeddingTask.objects.filter(status__in=["completed", "empty"]).values_list("object_id", "status")
        posts = Post.objects.in_bulk([int(object_id) for object_id, _ in done])
        for object_id, status in done:
            post = posts[int(object_id)]
            if post.pk not in self.unnoticed:
                assert holds(post.embedding, post.title) if post.title else post.embedding is None
                assert (status == "completed") == bool(post.title)

    def teardown(self) -> None:
        """Whatever has happened: once workers are left alone, every open task is worked and right."""
        self.rescue()
        ledger.retry(EmbeddingTask.objects.all())
        opened = {int(task.object_id) for task in EmbeddingTask.objects.filter(status="pending")}
        pipeline.Drain("test", seconds=10, has_heartbeat=False).run()
        assert not EmbeddingTask.objects.exclude(status__in=["completed", "empty"]).exists()
        for post in Post.objects.filter(pk__in=opened):
            assert holds(post.embedding, post.title) if post.title else post.embedding is None
        assert EmbeddingTask.objects.count() == Post.objects.count()
        sessions.empty("default")


def test_settle__any_interleaving() -> None:
    run_state_machine_as_test(
        Interleavings, settings=hypothesis.settings(max_examples=15, stateful_step_count=20, deadline=None)
    )


def test_drain__postpones_a_row_that_stays_locked(task_of: TaskOf) -> None:
    post = Post.objects.create(title="a")
    with sessions.session() as other, other.transaction():
        other.execute("SELECT FROM testapp_post WHERE id = %s FOR UPDATE", [post.pk])

        pipeline.Drain("test", seconds=0.3).run()

    task = task_of(post)
    assert (task.status, task.attempts, task.error_class) == ("scheduled", 0, "RowLocked")


def test_drain__text_that_is_never_the_same_is_given_up(settings: Any, drain: Draining, task_of: TaskOf) -> None:
    settings.EMBEDDINGS = {"BACKOFF_BASE_SECONDS": 0}
    numbers = itertools.count()
    target = registry.Target(Author, "name", lambda author: f"{author.pk} {next(numbers)}")
    registry.add(target)
    try:
        author = Author.objects.create(name="a")
        drain()
    finally:
        registry.remove(Author, "name")

    task = task_of(author, "name")
    assert (task.status, task.attempts, task.error_class) == ("failed", 3, "SourceChanged")
    assert DummyProvider.calls == 3


# Errors of the database.


@pytest.fixture
def guarded_table() -> Iterator[None]:
    """The database refuses writes to some rows."""
    with sessions.session() as other:
        other.execute("ALTER TABLE testapp_post ADD CONSTRAINT no_vector CHECK (body <> 'sealed' OR embedding IS NULL)")
        yield
        other.execute("ALTER TABLE testapp_post DROP CONSTRAINT no_vector")


def test_drain__row_that_refuses_its_vector_fails_alone(guarded_table: None, drain: Draining, task_of: TaskOf) -> None:
    sealed = Post.objects.create(title="a", body="sealed")
    sound = Post.objects.create(title="b")

    drain()

    assert task_of(sound).status == "completed"
    task = task_of(sealed)
    assert (task.status, task.error_kind, task.error_class) == ("failed", "input", "IntegrityError")
    assert 'violates check constraint "no_vector"' in task.error_message
    assert "Failing row" not in task.error_message  # it would quote the text


def test_connections__are_as_the_tests_found_them() -> None:
    assert {alias: connections[alias].get_autocommit() for alias in connections} == {"default": True, "other": True}


def test_claim__tokens_differ() -> None:
    Memo.objects.create(text="a")
    Post.objects.bulk_create([Post(title="a"), Post(title="b")])

    [first] = ledger.claim("default", 1, worker="one")
    [second] = ledger.claim("default", 1, worker="one")

    assert isinstance(first.token, uuid.UUID)
    assert first.token != second.token
