from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

import embeddings
from embeddings import context, events, ledger
from embeddings.exceptions import ConfigurationError
from embeddings.middleware import PersonMiddleware
from embeddings.models import EmbeddingBatch, EmbeddingTask, Status
from tests.integration.conftest import dummy, wait_until
from tests.testapp.models import Author, Book, Memo, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def standing(task: EmbeddingTask) -> tuple[str, str, bool]:
    """Its status, its priority, and whether it waits for a time."""
    return task.status, task.priority, task.available_at is not None


# By person: Memo has a debounce, which a person does not wait for.


def test_by_person__has_high_priority_and_no_delay(task_of):
    with embeddings.by_person():
        mine = Memo.objects.create(text="a person's")
    background = Memo.objects.create(text="a job's")

    assert standing(task_of(mine)) == ("pending", "high", False)
    assert standing(task_of(background)) == ("scheduled", "normal", True)
    assert task_of(mine).sort_key < task_of(background).sort_key


def test_by_person__holds_for_bulk_writes_and_dependents(task_of):
    author = Author.objects.create(name="a")
    book = Book.objects.create(title="t", author=author)
    first, second = Memo(text="1"), Memo(text="2")

    with embeddings.by_person():
        Memo.objects.bulk_create([first, second])
        author.name = "b"
        author.save()

    assert {standing(task_of(memo)) for memo in (first, second)} == {("pending", "high", False)}
    assert task_of(book).priority == "high"


def test_by_person__makes_a_scheduled_task_due_at_once_and_ahead(task_of):
    memo = Memo.objects.create(text="background")
    others = [Memo.objects.create(text=f"other {number}") for number in range(3)]
    EmbeddingTask.objects.filter(object_id__in=[str(other.pk) for other in others]).update(
        status=Status.PENDING, available_at=None
    )

    with embeddings.by_person():
        memo.text = "a person's edit"
        memo.save()

    assert standing(task_of(memo)) == ("pending", "high", False)
    (first, *_) = ledger.claim("default", 1, worker="w")
    assert first.object_id == str(memo.pk)


def test_by_person__a_later_background_save_neither_puts_it_off_nor_demotes_it(task_of):
    with embeddings.by_person():
        memo = Memo.objects.create(text="a person's")
    before = task_of(memo)

    memo.text = "a job's"
    memo.save()

    after = task_of(memo)
    assert standing(after) == ("pending", "high", False)
    assert after.sort_key == before.sort_key
    assert after.version == before.version + 1


def test_by_person__many_background_saves_are_one_embedding(workers, task_of, tmp_path):
    """With real workers: a person's edit is there while the jobs' edits still collect, and those are one text."""
    log = tmp_path / "requests"
    workers.started(providers=dummy(LOG=str(log)))
    memo = Memo.objects.create(text="edit 0")
    for number in range(1, 20):
        memo.text = f"edit {number}"
        memo.save()
    first_due = task_of(memo).available_at
    with embeddings.by_person():
        mine = Memo.objects.create(text="a person's")

    wait_until(lambda: task_of(mine).status == Status.COMPLETED)
    wait_until(lambda: task_of(memo).status == Status.COMPLETED)

    assert task_of(mine).completed_at < task_of(memo).completed_at
    assert task_of(memo).completed_at >= first_due
    assert sum(len(line.split()[1:]) for line in log.read_text().splitlines()) == 2


def test_by_person__nests_and_ends():
    assert not context.is_person()
    with embeddings.by_person():
        with context.by_person(when=lambda: False):
            assert not context.is_person()
        assert context.is_person()
    assert not context.is_person()


def test_by_person__ends_with_an_exception():
    with pytest.raises(ValueError, match="x"), embeddings.by_person():
        raise ValueError("x")

    assert not context.is_person()


def test_by_person__decorates_functions_plain_and_async():
    @embeddings.by_person()
    def plain(depth: int) -> list[bool]:
        return [context.is_person(), *(plain(depth - 1) if depth else [])]

    @embeddings.by_person()
    async def later() -> bool:
        await asyncio.sleep(0)
        return context.is_person()

    assert plain(2) == [True, True, True]
    assert asyncio.run(later())
    assert not context.is_person()


def test_by_person__is_of_one_thread_and_one_async_task():
    seen: dict[str, bool] = {}

    async def person() -> None:
        with embeddings.by_person():
            await asyncio.sleep(0.02)
            seen["person"] = context.is_person()
            seen["sync part"] = await sync_to_async(context.is_person)()

    async def other() -> None:
        await asyncio.sleep(0.01)
        seen["other"] = context.is_person()

    async def both() -> None:
        await asyncio.gather(person(), other())

    asyncio.run(both())
    with embeddings.by_person():
        thread = threading.Thread(target=lambda: seen.update(thread=context.is_person()))
        thread.start()
        thread.join()

    assert seen == {"person": True, "sync part": True, "other": False, "thread": False}


def test_by_person__one_block_is_entered_once():
    block = embeddings.by_person()

    with block, pytest.raises(RuntimeError, match="make another"):
        block.__enter__()

    assert not context.is_person()


def test_embeddings__may_be_imported_and_decorate_before_apps_are_ready():
    code = (
        "import embeddings\n@embeddings.by_person()\n@embeddings.batch('nightly')\ndef run(): pass\nprint(run.__name__)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("run\n", "")


# The middleware.


class Asked:
    """A view that notes whether its saves are a person's."""

    def __init__(self) -> None:
        self.was_person: bool | None = None

    def view(self, request: object) -> HttpResponse:
        self.was_person = context.is_person()
        return HttpResponse()

    async def async_view(self, request: object) -> HttpResponse:
        self.was_person = await sync_to_async(context.is_person)()
        return HttpResponse()


USERS = {"user": User(username="u"), "nobody": AnonymousUser()}
CASES = [("post", "user", True), ("delete", "user", True), ("get", "user", False), ("post", "nobody", False)]


@pytest.mark.parametrize(("method", "who", "expected"), CASES)
def test_person_middleware__(method, who, expected):
    asked = Asked()
    request = getattr(RequestFactory(), method)("/")
    request.user = USERS[who]

    PersonMiddleware(asked.view)(request)

    assert asked.was_person is expected
    assert not context.is_person()


@pytest.mark.parametrize(("method", "who", "expected"), CASES)
def test_person_middleware__async(method, who, expected):
    asked = Asked()
    request = getattr(AsyncRequestFactory(), method)("/")
    request.user = USERS[who]

    asyncio.run(PersonMiddleware(asked.async_view)(request))

    assert asked.was_person is expected


def test_person_middleware__whom_the_view_authenticates_counts():
    request = RequestFactory().post("/")
    request.user = AnonymousUser()
    seen = []

    def view(request):
        request.user = USERS["user"]  # as the REST framework does
        seen.append(context.is_person())
        return HttpResponse()

    PersonMiddleware(view)(request)

    assert seen == [True]


def test_person_middleware__before_authentication_says_what_to_do():
    with pytest.raises(ImproperlyConfigured, match=r"put embeddings\.middleware.PersonMiddleware after"):
        PersonMiddleware(lambda request: HttpResponse())(RequestFactory().post("/"))


def test_person_middleware__in_the_admin(admin_client, settings, task_of):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "embeddings.middleware.PersonMiddleware"]
    fields = {"slug": "a", "title": "t", "content": "c"}

    response = admin_client.post("/admin/content/article/add/", fields)

    assert response.status_code == 302, response.context["errors"]
    assert EmbeddingTask.objects.get().priority == "high"


# Batches.


def test_batch__saves_inside_belong_to_it(task_of):
    with embeddings.batch("upload 7", file="a.csv", name="a") as batch:
        inside = [Post.objects.create(title=str(number)) for number in range(3)]
        Post.objects.bulk_create([Post(title="4"), Post(title="5")])
    outside = Post.objects.create(title="outside")

    batch.refresh_from_db()
    assert (batch.name, batch.parameters, batch.total) == ("upload 7", {"file": "a.csv", "name": "a"}, 5)
    assert {task_of(post).batch_id for post in inside} == {batch.pk}
    assert task_of(outside).batch_id is None


def test_batch__counts_no_unchanged_text_and_no_object_twice(drain):
    with embeddings.batch("first") as first:
        post = Post.objects.create(title="a")
        post.title = "b"
        post.save()
    drain()

    with embeddings.batch("second") as second:
        Post.objects.get().save()

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.total, second.total) == (1, 0)


def test_batch__a_save_that_is_rolled_back_counts_nothing():
    with embeddings.batch("upload") as batch:
        Post.objects.create(title="kept")
        with pytest.raises(RuntimeError), transaction.atomic():
            Post.objects.create(title="lost")
            raise RuntimeError

    batch.refresh_from_db()
    assert batch.total == 1


def test_batch__costs_a_save_no_statement(django_assert_num_queries):
    Post.objects.create(title="so that content types are known")
    events.is_wanted(events.Kind.BATCH_FINISHED)  # A process asks that every two seconds at most.
    with embeddings.batch("upload"), transaction.atomic(), django_assert_num_queries(2):
        Post.objects.create(title="a")


def test_batch__the_inner_one_holds(task_of):
    with embeddings.batch("outer") as outer:
        with embeddings.batch("inner") as inner:
            first = Post.objects.create(title="1")
        second = Post.objects.create(title="2")

    assert (task_of(first).batch_id, task_of(second).batch_id) == (inner.pk, outer.pk)


def test_batch__of_another_database(task_of, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}

    with embeddings.batch("there", using="other") as batch:
        there = Post.objects.using("other").create(title="there")
        here = Post.objects.create(title="here")

    batch.refresh_from_db()
    assert (batch._state.db, batch.total) == ("other", 1)
    assert (task_of(there).batch_id, task_of(here).batch_id) == (batch.pk, None)


def test_batch__as_a_decorator_is_a_batch_a_call():
    @embeddings.batch("nightly")
    def nightly() -> None:
        Post.objects.create(title="a")

    nightly()
    nightly()

    assert list(EmbeddingBatch.objects.values_list("name", "total")) == [("nightly", 1)] * 2


def test_batch__is_copied_into_a_thread_that_runs_in_its_context(task_of):
    posts = []

    def save() -> None:
        posts.append(Post.objects.create(title="a"))
        connection.close()

    with embeddings.batch("upload") as batch:
        thread = threading.Thread(target=contextvars.copy_context().run, args=[save])
        thread.start()
        thread.join()

    assert task_of(posts[0]).batch_id == batch.pk


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_batch__name(name):
    with pytest.raises(ValueError, match="1 to 200 characters"):
        embeddings.batch(name)


def test_batch__unlisted_database():
    with pytest.raises(ConfigurationError, match="has no 'elsewhere'"), embeddings.batch("a", using="elsewhere"):
        pass
