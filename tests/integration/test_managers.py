"""What bulk writes queue."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, NotSupportedError, connections, models, transaction
from django.db.models import Count, F, Q, Value
from django.db.models.functions import Concat, Length, Upper
from django.template import Context, Template

from embeddings import managers
from embeddings.managers import EmbeddingQuerySet
from embeddings.models import EmbeddingTask
from embeddings.providers.dummy import DummyProvider, vector
from tests.integration import sessions
from tests.integration.conftest import Draining, TaskOf
from tests.testapp.models import DIMENSIONS, Author, Book, Memo, PinnedPost, Place, Post, Restaurant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


@pytest.fixture
def done(drain: Draining) -> list[Post]:
    """Three posts with their vectors."""
    posts = Post.objects.bulk_create([Post(title=title, body="x") for title in "abc"])
    drain()
    return posts


def statuses() -> dict[str, str]:
    return dict(EmbeddingTask.objects.values_list("object_id", "status"))


def pending() -> set[str]:
    return {object_id for object_id, status in statuses().items() if status == "pending"}


def texts() -> set[str]:
    """All texts that the provider was asked for."""
    return {text for request in DummyProvider.requests for text in request}


def holds(value: Any, text: str) -> bool:
    return value is not None and list(value) == pytest.approx(vector(text, DIMENSIONS), abs=1e-6)


# bulk_create.


def test_bulk_create__costs_one_statement_more(django_assert_num_queries: Any) -> None:
    Post.objects.create(title="content types are cached from here on")

    with transaction.atomic(), django_assert_num_queries(4):  # With the savepoint's two.
        posts = Post.objects.bulk_create([Post(title=str(n)) for n in range(100)])

    assert {str(post.pk) for post in posts} <= pending()


def test_bulk_create__more_than_one_statement_opens(redis_client: redis.Redis) -> None:
    count = 4_001

    posts = Post.objects.bulk_create([Post(title=str(n)) for n in range(count)], batch_size=1_500)

    assert pending() == {str(post.pk) for post in posts}
    assert len(posts) == count
    assert redis_client.llen("rq:queue:embeddings") == 1


def test_bulk_create__rows_and_tasks_are_one_transaction(broken_ledger: None) -> None:
    with pytest.raises(DatabaseError, match="broken"):
        Post.objects.bulk_create([Post(title="a")])

    assert not Post.objects.exists()


def test_bulk_create__rollback_leaves_neither_task_nor_message(redis_client: redis.Redis) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.bulk_create([Post(title="a")])
        _ = 1 / 0

    assert statuses() == {}
    assert redis_client.keys("*") == []


def test_bulk_create__accepts_a_generator_and_nothing() -> None:
    assert Post.objects.bulk_create([]) == []

    posts = Post.objects.bulk_create(Post(title=title) for title in "ab")

    assert pending() == {str(post.pk) for post in posts}


def test_bulk_create__proxy(drain: Draining) -> None:
    [pinned] = PinnedPost.objects.bulk_create([PinnedPost(title="a")])

    drain()

    assert holds(Post.objects.get(pk=pinned.pk).embedding, "a")


def test_bulk_create__ignored_conflict_keeps_the_rows_own_text(done: list[Post], drain: Draining) -> None:
    fresh = max(post.pk for post in done) + 1_000

    Post.objects.bulk_create([Post(pk=done[0].pk, title="ignored"), Post(pk=fresh, title="new")], ignore_conflicts=True)
    drain()

    assert holds(Post.objects.get(pk=done[0].pk).embedding, "a\n\nx")
    assert holds(Post.objects.get(pk=fresh).embedding, "new")
    assert "ignored" not in texts()


def test_bulk_create__ignored_row_that_does_not_exist_leaves_no_task(drain: Draining) -> None:
    memo = Memo.objects.create(text="a")
    with sessions.session() as other:
        other.execute("CREATE UNIQUE INDEX one_text ON testapp_memo (text)")
    try:
        Memo.objects.bulk_create([Memo(text="a")], ignore_conflicts=True)
    finally:
        with sessions.session() as other:
            other.execute("DROP INDEX one_text")
    EmbeddingTask.objects.update(status="pending", available_at=None)

    drain()

    assert statuses() == {str(memo.pk): "completed"}


def test_bulk_create__updated_conflict_is_embedded_as_the_row_stands(done: list[Post], drain: Draining) -> None:
    Post.objects.bulk_create(
        [Post(pk=done[0].pk, title="A", body="not written")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["title"],
    )
    drain()

    assert holds(Post.objects.get(pk=done[0].pk).embedding, "A\n\nx")


def test_bulk_create__updated_conflict_queues_dependents(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    drain()

    EmbeddingQuerySet(Author).bulk_create(
        [Author(pk=author.pk, name="Anna")], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
    )

    assert pending() == {str(book.pk)}


# bulk_update.


def test_bulk_update__of_the_text_queues(done: list[Post], drain: Draining) -> None:
    done[0].title = "A"
    done[1].title = "B"

    updated = Post.objects.bulk_update(done[:2], ["title"])

    assert updated == 2
    assert pending() == {str(done[0].pk), str(done[1].pk)}
    drain()
    assert holds(Post.objects.get(pk=done[0].pk).embedding, "A\n\nx")


def test_bulk_update__beside_the_text_does_not(done: list[Post], django_assert_num_queries: Any) -> None:
    done[0].views = 5

    with transaction.atomic(), django_assert_num_queries(3):  # With the savepoint's two.
        Post.objects.bulk_update(done, ["views"])

    assert pending() == set()


def test_bulk_update__of_equal_text_costs_no_provider_input(done: list[Post], drain: Draining) -> None:
    DummyProvider.reset()

    Post.objects.bulk_update(done, ["title", "body"])
    drain()

    assert pending() == set()
    assert DummyProvider.inputs == 0


def test_bulk_update__with_an_expression(done: list[Post], drain: Draining) -> None:
    done[0].title = Upper("title")

    Post.objects.bulk_update(done[:1], iter(["title", "body"]))
    drain()

    assert holds(Post.objects.get(pk=done[0].pk).embedding, "A\n\nx")


def test_bulk_update__queues_dependents(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    drain()

    EmbeddingQuerySet(Author).bulk_update([author], ["born"])
    assert pending() == set()

    author.name = "Anna"
    EmbeddingQuerySet(Author).bulk_update([author], ["name"])

    assert pending() == {str(book.pk)}


# update.


def test_update__of_the_text_queues(done: list[Post], drain: Draining) -> None:
    updated = Post.objects.exclude(title="c").update(body="y")

    assert updated == 2
    assert pending() == {str(done[0].pk), str(done[1].pk)}
    drain()
    assert holds(Post.objects.get(title="a").embedding, "a\n\ny")


def test_update__beside_the_text_is_djangos_own(done: list[Post], django_assert_num_queries: Any) -> None:
    with transaction.atomic(), django_assert_num_queries(1):
        updated = Post.objects.update(views=F("views") + 1)

    assert updated == 3
    assert pending() == set()


def test_update__of_the_vector_by_hand_stays(done: list[Post], drain: Draining) -> None:
    by_hand = vector("by hand", DIMENSIONS)

    Post.objects.filter(pk=done[0].pk).update(embedding=by_hand)
    drain()

    assert holds(Post.objects.get(pk=done[0].pk).embedding, "by hand")


def test_update__queues_rows_that_its_filter_matches_no_longer(done: list[Post], drain: Draining) -> None:
    updated = Post.objects.filter(title="a").update(title="z")
    drain()

    assert updated == 1
    assert holds(Post.objects.get(pk=done[0].pk).embedding, "z\n\nx")


def test_update__with_an_expression(done: list[Post], drain: Draining) -> None:
    Post.objects.update(title=Concat(F("title"), Value("!")))
    drain()

    assert holds(Post.objects.get(pk=done[1].pk).embedding, "b!\n\nx")


def test_update__in_several_statements(done: list[Post], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "UPDATE_CHUNK", 2)

    updated = Post.objects.update(title="same")

    assert updated == 3
    assert set(Post.objects.values_list("title", flat=True)) == {"same"}
    assert len(pending()) == 3


def test_update__rolled_back(done: list[Post]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.update(title="z")
        _ = 1 / 0

    assert pending() == set()


def _sliced(posts: models.QuerySet[Post]) -> models.QuerySet[Post]:
    return posts[:1]


def _united(posts: models.QuerySet[Post]) -> models.QuerySet[Post]:
    return posts.union(posts)


def _ordered_by_a_sum(posts: models.QuerySet[Post]) -> models.QuerySet[Post]:
    return posts.annotate(n=Count("pk")).order_by("n")


@pytest.mark.parametrize("values", [{"title": "z"}, {"views": 1}])
@pytest.mark.parametrize(
    ("narrow", "error"),
    [(_sliced, TypeError), (_united, NotSupportedError), (_ordered_by_a_sum, Exception)],
)
def test_update__refuses_what_django_refuses(
    narrow: Callable[[Any], Any], error: type[Exception], values: dict[str, Any], done: list[Post]
) -> None:
    with pytest.raises(error) as django:
        narrow(models.QuerySet(Post)).update(**values)
    with pytest.raises(type(django.value)) as ours:
        narrow(Post.objects.all()).update(**values)

    assert str(ours.value) == str(django.value)
    assert pending() == set()


def test_update__unknown_field_is_refused_on_an_empty_table() -> None:
    with pytest.raises(FieldDoesNotExist):
        Post.objects.update(title="a", nonsense=1)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda posts: posts.annotate(length=Length("title")).filter(length=1),
        lambda posts: posts.distinct(),
        lambda posts: posts.order_by("-title"),
        lambda posts: posts.order_by(Upper("title").desc()),
        lambda posts: posts.only("title"),
        lambda posts: posts.values("title"),
        lambda posts: posts.filter(pk__in=posts.order_by("title")[:5]),
    ],
)
def test_update__of_any_queryset_that_django_updates(narrow: Callable[[Any], Any], done: list[Post]) -> None:
    expected = narrow(models.QuerySet(Post)).update(views=1)

    updated = narrow(Post.objects.all()).update(title="z")

    assert updated == expected == 3
    assert len(pending()) == 3
    assert set(Post.objects.values_list("title", flat=True)) == {"z"}


def test_update__filtered_over_an_outer_join(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book, alone = Book.objects.create(title="a", author=author), Book.objects.create(title="b")
    drain()

    updated = EmbeddingQuerySet(Book).filter(Q(author__name="Ann") | Q(author__isnull=True)).update(title="z")

    assert updated == 2
    assert pending() == {str(book.pk), str(alone.pk)}


def test_update__filtered_by_a_count_over_a_join(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    Author.objects.create(name="Bob")
    drain()

    updated = EmbeddingQuerySet(Author).annotate(books=Count("book")).filter(books=1).update(name="Anna")

    assert updated == 1
    assert Author.objects.get(pk=author.pk).name == "Anna"
    assert pending() == {str(book.pk)}


def test_update__of_a_relation_that_the_text_leads_through(drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a")
    drain()

    EmbeddingQuerySet(Book).update(author=author)
    drain()

    book.refresh_from_db()
    assert holds(book.embedding, "a\n\nAnn")


@pytest.mark.parametrize(("values", "is_queued"), [({"name": "Anna"}, True), ({"born": 1950}, False)])
def test_update__queues_dependents(values: dict[str, Any], is_queued: bool, drain: Draining) -> None:
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", author=author)
    drain()

    EmbeddingQuerySet(Author).update(**values)

    assert pending() == ({str(book.pk)} if is_queued else set())


@pytest.mark.parametrize("model", [Restaurant, Place])
def test_update__of_a_parents_column(model: type[Place], drain: Draining) -> None:
    restaurant = Restaurant.objects.create(name="Roma", menu="pizza")
    drain()

    EmbeddingQuerySet(model).update(name="Napoli")
    drain()

    restaurant.refresh_from_db()
    assert holds(restaurant.embedding, "Napoli")
    assert holds(restaurant.menu_embedding, "Napoli\n\npizza")


def test_update__of_a_delayed_field_is_scheduled(task_of: TaskOf) -> None:
    memo = Memo.objects.create(id=uuid.uuid4().hex, text="a")
    EmbeddingTask.objects.all().delete()

    Memo.objects.update(text="b")

    assert task_of(Memo.objects.get()).status == "scheduled"
    assert statuses() == {str(uuid.UUID(memo.id)): "scheduled"}


# Through other doors.


def test_get_or_create__queues_what_it_creates(drain: Draining) -> None:
    post, _ = Post.objects.get_or_create(title="a")
    drain()

    Post.objects.get_or_create(title="a")

    assert statuses() == {str(post.pk): "completed"}


def test_update_or_create__queues_what_it_changes(drain: Draining) -> None:
    post, _ = Post.objects.update_or_create(title="a", defaults={"body": "x"})
    drain()

    Post.objects.update_or_create(title="a", defaults={"views": 1})
    assert statuses() == {str(post.pk): "completed"}

    Post.objects.update_or_create(title="a", defaults={"body": "y"})
    drain()

    assert holds(Post.objects.get().embedding, "a\n\ny")


def test_related_manager__create_queues() -> None:
    author = Author.objects.create(name="Ann")

    book = author.book_set.create(title="a")

    assert pending() == {str(book.pk)}


def test_async__writes_queue(drain: Draining) -> None:
    async def write() -> list[Post]:
        post = await Post.objects.acreate(title="a")
        post.title = "A"
        await post.asave()
        [second] = await Post.objects.abulk_create([Post(title="b")])
        await Post.objects.filter(pk=second.pk).aupdate(title="B")
        second.body = "x"
        await Post.objects.abulk_update([second], ["body"])
        gone = await Post.objects.acreate(title="c")
        await gone.adelete()
        return [post, second]

    first, second = async_to_sync(write)()
    drain()

    assert holds(Post.objects.get(pk=first.pk).embedding, "A")
    assert holds(Post.objects.get(pk=second.pk).embedding, "B\n\nx")
    assert len(statuses()) == 2


class ReadsElsewhere:
    """As with a replica."""

    def db_for_read(self, model: type[models.Model], **hints: object) -> str:
        return "other"

    def db_for_write(self, model: type[models.Model], **hints: object) -> str:
        return "default"


def test_writes__with_a_replica_go_to_the_primary_in_one_transaction(settings: Any, broken_ledger: None) -> None:
    posts = models.QuerySet(Post, using="default")
    kept = Post(title="kept")
    settings.EMBEDDINGS = {"ENABLED": False}
    kept.save(using="default")
    settings.EMBEDDINGS = {"DATABASES": ["default", "other"]}
    settings.DATABASE_ROUTERS = [f"{__name__}.ReadsElsewhere"]
    kept.title = "changed"

    for write in (
        lambda: Post.objects.bulk_create([Post(title="a")]),
        lambda: Post.objects.bulk_update([kept], ["title"]),
        lambda: Post.objects.update(title="changed"),
        lambda: kept.save(),
    ):
        with pytest.raises(DatabaseError, match="broken"):
            write()

    assert list(posts.values_list("title", flat=True)) == ["kept"]


def test_writes__with_a_replica_are_queued_on_the_primary(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.ReadsElsewhere"]

    [post] = Post.objects.bulk_create([Post(title="a")])
    updated = Post.objects.update(title="b")

    tasks = EmbeddingTask.objects.using("default")
    assert updated == 1
    assert list(tasks.values_list("object_id", "version")) == [(str(post.pk), 2)]


def test_writes__are_not_called_by_templates(done: list[Post]) -> None:
    template = Template("{{ posts.update }}{{ posts.bulk_create }}{{ posts.bulk_update }}")

    assert template.render(Context({"posts": Post.objects.all()})) == ""


def test_connections__are_as_the_tests_found_them() -> None:
    assert {alias: connections[alias].get_autocommit() for alias in connections} == {"default": True, "other": True}
