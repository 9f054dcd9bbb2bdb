"""What single saves and deletes queue."""
# ruff: noqa: DJ008

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.serializers import serialize
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.models import SET_NULL, F, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat, Now
from django.db.models.signals import post_save, pre_delete, pre_save
from django.test.utils import CaptureQueriesContext, isolate_apps

from embeddings import pipeline, registry, signals
from embeddings.fields import EmbeddingField
from embeddings.models import EmbeddingTask, ProviderState
from embeddings.providers.dummy import DummyProvider, vector
from tests.integration import sessions
from tests.integration.conftest import Draining, TaskOf
from tests.testapp.models import (
    DIMENSIONS,
    Author,
    Book,
    Foreign,
    Memo,
    PinnedPost,
    Place,
    Post,
    Receipt,
    Restaurant,
    Word,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


def queued(using: str = "default") -> dict[tuple[str, str, str], str]:
    """{(model, object id, field): status} of all tasks."""
    return {
        (task.target_model_label.split(".")[1], task.object_id, task.field): task.status
        for task in EmbeddingTask.objects.using(using)
    }


def row_versions() -> list[tuple[Any, ...]]:
    """What changes whenever a ledger row is written, even with the same values."""
    tasks = EmbeddingTask.objects.annotate(xmin=RawSQL("embeddings_embeddingtask.xmin::text", ()))
    return list(tasks.order_by("pk").values_list("pk", "xmin", "version", "updated_at"))


def messages(client: redis.Redis) -> int:
    return client.llen("rq:queue:embeddings")


def holds(value: Any, text: str) -> bool:
    """Whether a column's value is the vector of `text` (to half precision)."""
    return value is not None and list(value) == pytest.approx(vector(text, DIMENSIONS), abs=1e-3)


# What a save queues, and what it costs.


def test_save__create_queues_one_task_a_field() -> None:
    post = Post.objects.create(title="a")
    receipt = Receipt.objects.create(merchant="Shop", text="2 eggs")

    assert queued() == {
        ("post", str(post.pk), "embedding"): "pending",
        ("receipt", str(receipt.pk), "merchant_embedding"): "pending",
        ("receipt", str(receipt.pk), "text_embedding"): "pending",
    }


@pytest.mark.parametrize("make", [lambda: Post(title="a"), lambda: Receipt(merchant="m", text="t")])
@pytest.mark.parametrize("is_new", [True, False])
def test_save__adds_one_statement_in_a_transaction(make: Callable[[], Any], is_new: bool, settings: Any) -> None:
    def statements() -> int:
        obj = make()
        if not is_new:
            obj.save()
        with transaction.atomic(), CaptureQueriesContext(connection) as queries:
            obj.save()
        return len(queries)

    settings.EMBEDDINGS = {"ENABLED": False}
    plain = statements()
    settings.EMBEDDINGS = {}
    statements()  # Content types are cached from here on.

    embedded = statements()

    assert (plain, embedded) == (1, 2)


def test_save__autocommit_adds_a_transaction_around_the_save(django_assert_num_queries: Any) -> None:
    post = Post.objects.create(title="a")
    post.title = "b"

    # BEGIN, UPDATE, the ledger's INSERT, COMMIT: PostgreSQL runs a lone UPDATE in a transaction too, but without
    # the two round trips.
    with django_assert_num_queries(4) as queries:
        post.save()

    assert [query["sql"].split()[0] for query in queries.captured_queries] == ["BEGIN", "UPDATE", "--", "COMMIT"]


def test_save__unchanged_text_writes_nothing(drain: Draining, redis_client: redis.Redis) -> None:
    post = Post.objects.create(title="a", body="b")
    drain()
    redis_client.flushdb()
    before = row_versions()

    post.views = 7
    post.save()
    Post.objects.get(pk=post.pk).save()

    assert row_versions() == before
    assert messages(redis_client) == 0
    assert drain().claimed == 0
    assert Post.objects.get(pk=post.pk).views == 7


def test_save__unchanged_but_unfinished_text_is_embedded_once(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    post.save()

    drain()

    assert DummyProvider.inputs == 1


def test_save__unchanged_empty_text_writes_nothing(drain: Draining, task_of: TaskOf) -> None:
    post = Post.objects.create(title="", body=" ")
    drain()
    before = row_versions()

    post.save()

    assert row_versions() == before
    assert task_of(post).status == "empty"


def test_save__update_fields_beside_the_text_cost_no_sql(django_assert_num_queries: Any) -> None:
    post = Post.objects.create(title="a")
    before = row_versions()
    post.views = 1

    with transaction.atomic(), django_assert_num_queries(1):
        post.save(update_fields=["views"])

    assert row_versions() == before


def test_save__update_fields_of_one_embedding_leave_the_other_alone(drain: Draining) -> None:
    receipt = Receipt.objects.create(merchant="Shop", text="2 eggs")
    drain()
    receipt.merchant = "Kiosk"
    receipt.text = "not saved"

    receipt.save(update_fields=["merchant"])

    assert queued() == {
        ("receipt", str(receipt.pk), "merchant_embedding"): "pending",
        ("receipt", str(receipt.pk), "text_embedding"): "completed",
    }


def test_save__update_fields_with_part_of_the_text_asks_for_a_look_at_the_row(drain: Draining) -> None:
    post = Post.objects.create(title="a", body="b")
    drain()
    post.title = "A"
    post.body = "not saved"

    post.save(update_fields=["title"])
    drain()

    post.refresh_from_db()
    assert holds(post.embedding, "A\n\nb")


def test_save__update_fields_back_to_an_unsaved_twin_is_not_mistaken_for_unchanged(drain: Draining) -> None:
    post = Post.objects.create(title="a", body="b")
    drain()
    with sessions.session() as other:
        other.execute("UPDATE testapp_post SET body = 'edited by SQL'")

    post.save(update_fields=["title"])
    drain()

    post.refresh_from_db()
    assert holds(post.embedding, "a\n\nedited by SQL")


# Transactions.


def test_save__autocommit_row_and_task_are_one_transaction(broken_ledger: None) -> None:
    with pytest.raises(DatabaseError, match="broken"):
        Post.objects.create(title="a")

    assert not Post.objects.exists()


def test_save__autocommit_update_is_undone_with_its_task(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_embeddingtask ADD CONSTRAINT broken CHECK (status = 'completed')")
    post.title = "b"

    with pytest.raises(DatabaseError, match="broken"):
        post.save()

    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_embeddingtask DROP CONSTRAINT broken")
    assert Post.objects.get().title == "a"


def test_save__related_autocommit_save_is_undone_with_its_tasks(broken_ledger: None) -> None:
    with sessions.session() as other:
        other.execute("INSERT INTO testapp_author (id, name, born) VALUES (1, 'Ann', 1900)")
        other.execute("INSERT INTO testapp_book (title, author_id) VALUES ('t', 1)")
    author = Author.objects.get()
    author.name = "Anna"

    with pytest.raises(DatabaseError, match="broken"):
        author.save()

    assert Author.objects.get().name == "Ann"


def test_save__a_failed_request_spoils_the_transaction_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can swallow the error and commit the row without its task."""

    def fail(*args: object) -> int:
        raise RuntimeError("no content type")

    monkeypatch.setattr(registry.Target, "content_type_id", fail)

    with transaction.atomic():
        with pytest.raises(RuntimeError):
            Post.objects.create(title="a")

        assert transaction.get_rollback()
    assert not Post.objects.exists()


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_save__a_receiver_that_raises_does_not_spoil_the_transaction_around_it(signal: Any) -> None:
    def refuse(instance: Post, **kwargs: object) -> None:
        if instance.title == "bad":
            raise ValueError("refused")

    signal.connect(refuse, sender=Post)
    try:
        with transaction.atomic():
            Post.objects.create(title="good")
            with pytest.raises(ValueError, match="refused"):
                Post.objects.create(title="bad")

            assert Post.objects.filter(title="good").exists()
    finally:
        signal.disconnect(refuse, sender=Post)

    assert Post.objects.filter(title="good").exists()


def test_save__rollback_leaves_neither_task_nor_message(redis_client: redis.Redis) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.create(title="a")
        _ = 1 / 0

    assert queued() == {}
    assert redis_client.keys("*") == []


def test_save__savepoint_rollback_drops_only_its_own(redis_client: redis.Redis) -> None:
    with transaction.atomic():
        kept = Post.objects.create(title="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Post.objects.create(title="dropped")
            _ = 1 / 0

    assert queued() == {("post", str(kept.pk), "embedding"): "pending"}
    assert messages(redis_client) == 1


def test_save__savepoint_rollback_of_the_first_save_does_not_lose_the_poke_of_the_second(
    redis_client: redis.Redis,
) -> None:
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Post.objects.create(title="dropped")
            _ = 1 / 0
        kept = Post.objects.create(title="kept")

    assert queued() == {("post", str(kept.pk), "embedding"): "pending"}
    assert messages(redis_client) == 1


def test_save__savepoint_rollback_alone_leaves_no_message(redis_client: redis.Redis) -> None:
    with transaction.atomic(), pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.create(title="dropped")
        _ = 1 / 0

    assert redis_client.keys("*") == []


def test_save__several_in_one_transaction_are_one_hook_and_one_message(redis_client: redis.Redis) -> None:
    with transaction.atomic():
        for title in "abc":
            Post.objects.create(title=title)
        with transaction.atomic():
            Post.objects.create(title="d")

        assert len(connection.run_on_commit) == 1
        assert messages(redis_client) == 0

    assert messages(redis_client) == 1
    assert len(queued()) == 4


def test_save__messages_carry_no_ids(redis_client: redis.Redis) -> None:
    Post.objects.create(title="a")

    [job_id] = redis_client.lrange("rq:queue:embeddings", 0, -1)
    assert redis_client.hget(b"rq:job:" + job_id, "description") == b"embeddings: there is work"


# Deletes and writes beside the app.


def _delete_instance(post: Post) -> None:
    post.delete()


def _delete_queryset(post: Post) -> None:
    Post.objects.filter(pk=post.pk).delete()


def _delete_proxy(post: Post) -> None:
    PinnedPost.objects.filter(pk=post.pk).delete()


def _delete_deferred(post: Post) -> None:
    Post.objects.only("pk").get(pk=post.pk).delete()


@pytest.mark.parametrize("delete", [_delete_instance, _delete_queryset, _delete_proxy, _delete_deferred])
def test_delete__removes_the_task(delete: Callable[[Post], None]) -> None:
    doomed = Post.objects.create(title="a")
    kept = Post.objects.create(title="b")

    delete(doomed)

    assert queued() == {("post", str(kept.pk), "embedding"): "pending"}


def test_delete__rolled_back_keeps_the_task() -> None:
    post = Post.objects.create(title="a")

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        post.delete()
        _ = 1 / 0

    assert len(queued()) == 1


def test_delete__removes_the_tasks_of_both_fields() -> None:
    Receipt.objects.create(merchant="a", text="b").delete()

    assert queued() == {}


def test_delete__cascade_removes_the_tasks_of_dependent_rows() -> None:
    author = Author.objects.create(name="Ann")
    Book.objects.create(title="a", author=author)
    alone = Book.objects.create(title="b")

    author.delete()

    assert queued() == {("book", str(alone.pk), "embedding"): "pending"}


@pytest.fixture
def nulled_authors() -> Iterator[None]:
    """Books survive their author, as with on_delete=SET_NULL."""
    relation = Book._meta.get_field("author").remote_field
    [target] = registry.targets_for(Book)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relation, "on_delete", SET_NULL)
        registry.add(target)
        yield
    registry.add(target)
    pre_delete.disconnect(sender=Author, dispatch_uid="embeddings.related")


def test_delete__set_null_queues_the_rows_whose_text_loses_a_part(nulled_authors: None, drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    drain()

    author.delete()
    drain()

    book.refresh_from_db()
    assert book.author_id is None
    assert holds(book.embedding, "a")


def test_delete__by_raw_sql_is_noticed_by_the_worker(drain: Draining) -> None:
    doomed, done = Post.objects.create(title="a"), Post.objects.create(title="b")
    with sessions.session() as other:
        other.execute("DELETE FROM testapp_post WHERE id = %s", [doomed.pk])

    outcome = drain()

    assert outcome.completed == 1
    assert queued() == {("post", str(done.pk), "embedding"): "completed"}


def test_save__text_written_by_raw_sql_after_the_save_is_what_is_embedded(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    with sessions.session() as other:
        other.execute("UPDATE testapp_post SET title = 'edited by SQL'")

    drain()

    post.refresh_from_db()
    assert holds(post.embedding, "edited by SQL")


# Fixtures.


def _load(objects: list[Any], tmp_path: Path) -> None:
    fixture = tmp_path / "fixture.json"
    fixture.write_text(serialize("json", objects))
    call_command("loaddata", str(fixture), verbosity=0)


def test_loaddata__rows_without_vectors_are_queued(tmp_path: Path, drain: Draining) -> None:
    _load([Post(pk=1, title="a"), Author(pk=1, name="Ann"), Book(pk=1, title="b", author_id=1)], tmp_path)

    drain()

    assert holds(Post.objects.get().embedding, "a")
    assert holds(Book.objects.get().embedding, "b\n\nAnn")


def test_loaddata__vectors_in_a_fixture_are_replaced_by_those_of_this_provider(tmp_path: Path, drain: Draining) -> None:
    _load([Post(pk=1, title="a", embedding=vector("somebody else's", DIMENSIONS))], tmp_path)

    drain()

    assert holds(Post.objects.get().embedding, "a")


@pytest.mark.parametrize("stored", [None, vector("somebody else's", DIMENSIONS)])
def test_loaddata__over_a_completed_row_with_the_same_text_its_vector_is_right_again(
    stored: list[float] | None, tmp_path: Path, drain: Draining
) -> None:
    """A fixture is written as it is, vector and all: what the ledger knew of the column is void."""
    Post.objects.create(pk=1, title="a")
    drain()

    _load([Post(pk=1, title="a", embedding=stored)], tmp_path)
    drain()

    assert holds(Post.objects.get().embedding, "a")


# Other databases.


def test_save__other_database_has_its_own_ledger(drain: Draining, task_of: TaskOf, settings: Any) -> None:
    settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}

    post = Post.objects.using("other").create(title="a")
    here = Post(title="b")
    here.save(using="other")
    drain()

    post.refresh_from_db()
    assert task_of(post).status == "completed"
    assert holds(post.embedding, "a")
    assert holds(Post.objects.using("other").get(pk=here.pk).embedding, "b")
    assert queued("default") == {}


def test_save__other_database_rollback_leaves_neither_task_nor_message(
    settings: Any, redis_client: redis.Redis
) -> None:
    settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}

    with pytest.raises(ZeroDivisionError), transaction.atomic(using="other"):
        Post.objects.using("other").create(title="a")
        _ = 1 / 0

    assert queued("other") == {}
    assert messages(redis_client) == 0


def test_save__other_database_poke_waits_for_its_own_commit(settings: Any, redis_client: redis.Redis) -> None:
    settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}

    with transaction.atomic(using="other"):
        Post.objects.using("other").create(title="a")
        with transaction.atomic(using="default"):
            pass
        assert messages(redis_client) == 0

    assert messages(redis_client) == 1


def test_delete__other_database(settings: Any) -> None:
    settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}
    post = Post.objects.using("other").create(title="a")

    post.delete()

    assert queued("other") == {}


def test_save__database_that_is_not_listed_is_left_alone(redis_client: redis.Redis) -> None:
    """It need not have this package's tables: an archive, for example."""
    with sessions.session("other") as other:
        other.execute("ALTER TABLE embeddings_embeddingtask RENAME TO away")
    try:
        post = Post.objects.using("other").create(title="a")
        author = Author.objects.using("other").create(name="Ann")
        author.save()
        Book.objects.using("other").create(title="a", author=author)
        author.save()
        author.delete()
        Post.objects.using("other").filter(pk=post.pk).update(title="b")
        Post.objects.using("other").bulk_create([Post(title="c")])
        post.delete()
    finally:
        with sessions.session("other") as other:
            other.execute("ALTER TABLE away RENAME TO embeddings_embeddingtask")

    assert messages(redis_client) == 0
    assert Post.objects.using("other").count() == 1


# Keys.


def test_save__uuid_key_with_half_precision_and_a_delay(drain: Draining, task_of: TaskOf) -> None:
    memo = Memo.objects.create(text="a")
    assert task_of(memo).status == "scheduled"
    assert drain().claimed == 0

    EmbeddingTask.objects.update(available_at=Now())
    drain()

    memo.refresh_from_db()
    assert task_of(memo).status == "completed"
    assert holds(memo.embedding, "a")


def test_save__delayed_saves_collapse_into_the_first_time(task_of: TaskOf) -> None:
    memo = Memo.objects.create(text="a")
    first = task_of(memo)

    memo.text = "b"
    memo.save()

    assert task_of(memo).available_at == first.available_at
    assert task_of(memo).version == first.version + 1


@pytest.mark.parametrize("spelling", [uuid.UUID.__str__, lambda key: key.hex, lambda key: str(key).upper()])
def test_save__uuid_key_in_any_spelling(spelling: Callable[[uuid.UUID], str], drain: Draining) -> None:
    key = uuid.uuid4()

    memo = Memo.objects.create(id=spelling(key), text="a")
    EmbeddingTask.objects.update(available_at=Now())
    drain()
    stored = Memo.objects.get()
    memo.delete()

    assert holds(stored.embedding, "a")
    assert queued() == {}


def test_save__integer_key_given_as_text(drain: Draining) -> None:
    Post.objects.create(pk=7, title="a")

    Post(pk="007", title="b").save()
    drain()

    assert holds(Post.objects.get(pk=7).embedding, "b")


def test_save__string_key_and_a_method(drain: Draining, task_of: TaskOf) -> None:
    word = Word.objects.create(word="Käse 'n' \"x\", {y}", meaning="cheese")

    drain()

    word.refresh_from_db()
    assert holds(word.embedding, "Käse 'n' \"x\", {y}: cheese")
    assert task_of(word).status == "completed"


def test_save__when_says_no_then_yes_then_no(drain: Draining, task_of: TaskOf) -> None:
    word = Word.objects.create(word="cat", meaning="an animal", is_public=False)
    drain()
    assert task_of(word).status == "empty"
    assert DummyProvider.inputs == 0

    word.is_public = True
    word.save()
    drain()
    word.refresh_from_db()
    assert holds(word.embedding, "cat: an animal")

    word.is_public = False
    word.save(update_fields=["is_public"])
    drain()
    word.refresh_from_db()
    assert word.embedding is None
    assert task_of(word).status == "empty"


def test_save__source_that_raises_fails_alone_and_at_once(drain: Draining, task_of: TaskOf) -> None:
    broken = Word.objects.create(word="x", meaning="broken")
    sound = Word.objects.create(word="y", meaning="sound")

    drain()

    assert task_of(sound).status == "completed"
    task = task_of(broken)
    assert (task.status, task.error_kind, task.error_class) == ("failed", "input", "SourceError")
    assert "ValueError: no definition of this" in task.error_message

    broken.meaning = "mended"
    broken.save()
    drain()
    task = task_of(broken)
    assert (task.status, task.error_kind, task.error_message) == ("completed", "", "")


# Inheritance and relations.


def test_save__child_queues_the_parents_field_and_its_own(drain: Draining) -> None:
    restaurant = Restaurant.objects.create(name="Roma", menu="pizza")
    assert queued() == {
        ("place", str(restaurant.pk), "embedding"): "pending",
        ("restaurant", str(restaurant.pk), "menu_embedding"): "pending",
    }

    drain()

    restaurant.refresh_from_db()
    assert holds(restaurant.embedding, "Roma")
    assert holds(restaurant.menu_embedding, "Roma\n\npizza")


def test_save__child_saved_again_keeps_both_vectors(drain: Draining) -> None:
    restaurant = Restaurant.objects.create(name="Roma", menu="pizza")
    drain()

    restaurant.menu = "pasta"
    restaurant.save()

    stored = Restaurant.objects.get()
    assert holds(stored.embedding, "Roma")
    assert holds(stored.menu_embedding, "Roma\n\npizza")
    assert queued()["place", str(restaurant.pk), "embedding"] == "completed"
    assert queued()["restaurant", str(restaurant.pk), "menu_embedding"] == "pending"


@pytest.mark.parametrize("is_partial", [True, False])
def test_save__parent_queues_the_child_whose_text_has_its_name(is_partial: bool, drain: Draining) -> None:
    restaurant = Restaurant.objects.create(name="Roma", menu="pizza")
    drain()
    place = Place.objects.get()

    place.name = "Napoli"
    place.save(update_fields=["name"] if is_partial else None)
    drain()

    restaurant.refresh_from_db()
    assert holds(restaurant.embedding, "Napoli")
    assert holds(restaurant.menu_embedding, "Napoli\n\npizza")


def test_delete__child_removes_both_tasks() -> None:
    Restaurant.objects.create(name="Roma", menu="pizza").delete()

    assert queued() == {}


def test_delete__parent_removes_both_tasks() -> None:
    Restaurant.objects.create(name="Roma", menu="pizza")

    Place.objects.get().delete()

    assert queued() == {}


def test_delete__child_that_keeps_its_parents_keeps_their_task() -> None:
    restaurant = Restaurant.objects.create(name="Roma", menu="pizza")
    key = str(restaurant.pk)

    restaurant.delete(keep_parents=True)

    assert queued() == {("place", key, "embedding"): "pending"}


def test_save__proxy_is_the_concrete_models_target(drain: Draining) -> None:
    pinned = PinnedPost.objects.create(title="a")
    assert queued() == {("post", str(pinned.pk), "embedding"): "pending"}

    drain()

    assert holds(PinnedPost.objects.get().embedding, "a")


def test_save__related_object_queues_what_is_made_from_it(drain: Draining) -> None:
    author, nobody = Author.objects.create(name="Ann"), Author.objects.create(name="Bob")
    book = Book.objects.create(title="a", author=author)
    other = Book.objects.create(title="b", author=nobody)
    drain()

    author.name = "Anna"
    author.save()

    assert queued() == {
        ("book", str(book.pk), "embedding"): "pending",
        ("book", str(other.pk), "embedding"): "completed",
    }
    drain()
    book.refresh_from_db()
    assert holds(book.embedding, "a\n\nAnna")


def test_save__related_object_update_fields_beside_the_text_cost_no_sql(django_assert_num_queries: Any) -> None:
    author = Author.objects.create(name="Ann")
    Book.objects.create(title="a", author=author)
    author.born = 1950

    with transaction.atomic(), django_assert_num_queries(1):
        author.save(update_fields=["born"])


def test_save__related_object_update_fields_may_touch_a_method(
    monkeypatch: pytest.MonkeyPatch, drain: Draining
) -> None:
    monkeypatch.setattr(Author, "lifetime", lambda self: f"{self.name}, born {self.born}", raising=False)
    [present] = registry.targets_for(Book)
    registry.register(Book, "embedding", source=["title", "author.lifetime"])
    try:
        author = Author.objects.create(name="Ann")
        book = Book.objects.create(title="a", author=author)
        drain()

        author.born = 1950
        author.save(update_fields=["born"])
        drain()

        book.refresh_from_db()
        assert holds(book.embedding, "a\n\nAnn, born 1950")
    finally:
        registry.add(present)


def test_save__related_object_and_dependent_do_not_deadlock() -> None:
    """One user saves an author and then a book; another one saves the book in between."""
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    author_is_saved, book_is_next = threading.Event(), threading.Event()

    def save_both() -> None:
        with transaction.atomic():
            author.save()
            author_is_saved.set()
            assert book_is_next.wait(10)
            time.sleep(0.3)  # The other user's save is under way.
            Book.objects.get(pk=book.pk).save()

    def save_book() -> None:
        assert author_is_saved.wait(10)
        book_is_next.set()
        Book.objects.get(pk=book.pk).save()

    waiting = [sessions.in_thread(save_both), sessions.in_thread(save_book)]

    for wait in waiting:
        wait()


@isolate_apps("tests.testapp")
def test_save__related_object_is_found_by_a_column_that_is_not_its_key() -> None:
    class Country(models.Model):
        code = models.CharField(max_length=2, unique=True)

        class Meta:
            app_label = "testapp"

    class City(models.Model):
        country = models.ForeignKey(Country, models.CASCADE, to_field="code")
        embedding = EmbeddingField(source="country.code", dimensions=DIMENSIONS)

        class Meta:
            app_label = "testapp"

    signals.connect(Country)
    with connection.schema_editor() as editor:
        editor.create_model(Country)
        editor.create_model(City)
    try:
        country = Country.objects.create(code="fr")
        city = City.objects.create(country=country)
        EmbeddingTask.objects.all().delete()

        country.save()

        assert list(EmbeddingTask.objects.values_list("object_id", flat=True)) == [str(city.pk)]
    finally:
        registry.remove(City, "embedding")
        with connection.schema_editor() as editor:
            editor.delete_model(City)
            editor.delete_model(Country)
        ContentType.objects.filter(app_label="testapp", model="city").delete()


def test_save__another_related_object_changes_the_text(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a")
    drain()

    book.author = author
    book.save(update_fields=["author"])
    drain()

    book.refresh_from_db()
    assert holds(book.embedding, "a\n\nAnn")


def test_save__third_party_model_is_embedded(drain: Draining) -> None:
    foreign = Foreign.objects.create(words="a")

    drain()

    foreign.refresh_from_db()
    assert holds(foreign.vector, "a")


# Instances that know less than the database.


def test_save__instance_loaded_before_the_vector_does_not_erase_it(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    assert post.embedding is None

    post.views = 1
    post.save()

    assert holds(Post.objects.get().embedding, "a")


def test_save__key_given_by_hand_does_not_erase_the_vector(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()

    Post(pk=post.pk, title="a", views=3).save()

    stored = Post.objects.get()
    assert (stored.views, holds(stored.embedding, "a")) == (3, True)


def test_save__deferred_text_cannot_change(drain: Draining) -> None:
    Post.objects.create(title="a", body="b")
    drain()
    before = row_versions()
    post = Post.objects.defer("title").get()

    post.views = 5
    post.save()  # Django writes only the loaded fields; one of them, the body, is text.
    drain()

    assert len(row_versions()) == len(before)
    assert DummyProvider.inputs == 1
    assert holds(Post.objects.get().embedding, "a\n\nb")


def test_save__deferred_instance_with_changed_text(drain: Draining) -> None:
    Post.objects.create(title="a", body="b")
    drain()
    post = Post.objects.only("pk").get()

    post.title = "A"
    post.save()
    drain()

    assert holds(Post.objects.get().embedding, "A\n\nb")


def test_save__expression_is_read_back_from_the_row(drain: Draining) -> None:
    post = Post.objects.create(title="a", body="b")
    drain()

    post.title = Concat(F("title"), Value("!"))
    post.save()
    drain()

    assert holds(Post.objects.get().embedding, "a!\n\nb")


def test_save__expression_beside_the_text_writes_nothing(drain: Draining) -> None:
    post = Post.objects.create(title="a")
    drain()
    before = row_versions()

    post.views = F("views") + 1
    post.save()

    assert row_versions() == before
    assert Post.objects.get().views == 1


# Switches.


def test_save__disabled_records_nothing(settings: Any, redis_client: redis.Redis, drain: Draining) -> None:
    settings.EMBEDDINGS = {"ENABLED": False}

    author = Author.objects.create(name="Ann")
    Book.objects.create(title="a", author=author)
    author.save()
    post = Post.objects.create(title="a")
    post.save()
    Post.objects.update(title="b")
    Post.objects.bulk_create([Post(title="c")])

    assert queued() == {}
    assert redis_client.keys("*") == []


def test_delete__disabled_still_removes_the_task(settings: Any) -> None:
    post = Post.objects.create(title="a")
    settings.EMBEDDINGS = {"ENABLED": False}

    post.delete()

    assert queued() == {}


def test_save__without_a_queue_is_embedded_in_process_after_commit(settings: Any, redis_client: redis.Redis) -> None:
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}

    with transaction.atomic():
        post = Post.objects.create(title="a")
        assert DummyProvider.calls == 0

    post.refresh_from_db()
    assert holds(post.embedding, "a")
    assert redis_client.keys("*") == []


def test_save__without_a_queue_a_delay_does_not_wait(settings: Any) -> None:
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}

    memo = Memo.objects.create(text="a")

    memo.refresh_from_db()
    assert holds(memo.embedding, "a")


def test_save__without_a_queue_rolled_back_does_nothing(settings: Any) -> None:
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.create(title="a")
        _ = 1 / 0

    assert queued() == {}
    assert DummyProvider.calls == 0


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("[[transient]]", "scheduled"),
        ("[[reject]]", "failed"),
        ("[[rate-limit]]", "rate_limited"),
        ("[[misconfigured]]", "failed"),
        ("[[nan]]", "failed"),
    ],
)
def test_save__without_a_queue_a_failure_stays_in_the_ledger(
    text: str, status: str, settings: Any, task_of: TaskOf
) -> None:
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}

    post = Post.objects.create(title=text)

    assert task_of(post).status == status
    assert Post.objects.get().embedding is None


def test_save__without_a_queue_an_unexpected_error_does_not_reach_the_request(
    settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(pipeline.Drain, "run_tasks", fail)
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}

    post = Post.objects.create(title="a")

    assert Post.objects.filter(pk=post.pk).exists()
    assert "unexpected" in caplog.text


def test_save__without_a_queue_a_provider_that_cannot_be_made_does_not_fail_the_save(
    settings: Any, drain: Draining
) -> None:
    working = settings.EMBEDDING_PROVIDERS
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}
    settings.EMBEDDING_PROVIDERS = {"default": {"BACKEND": "no.such.Provider", "MODEL": "m", "DIMENSIONS": 256}}
    post = Post.objects.create(title="a")
    assert Post.objects.get().embedding is None

    settings.EMBEDDING_PROVIDERS = working
    ProviderState.objects.update(blocked_until=Now())
    post.save()

    assert holds(Post.objects.get().embedding, "a")


def test_save__without_a_queue_a_rate_limit_that_is_over_is_forgotten(settings: Any) -> None:
    settings.EMBEDDINGS = {"QUEUE_ENABLED": False}
    post = Post.objects.create(title="[[rate-limit]]")
    EmbeddingTask.objects.update(available_at=Now())
    ProviderState.objects.update(blocked_until=Now())

    post.title = "a"
    post.save()

    assert holds(Post.objects.get().embedding, "a")


def test_save__provider_that_cannot_be_made_does_not_fail_the_save(settings: Any, task_of: TaskOf) -> None:
    settings.EMBEDDING_PROVIDERS = {}

    post = Post.objects.create(title="a")

    assert task_of(post).status == "pending"


def test_connections__are_as_the_tests_found_them() -> None:
    assert {alias: connections[alias].get_autocommit() for alias in connections} == {"default": True, "other": True}
