"""Bad input, end to end: what cannot be embedded gets a state and a message that names the object and the cause, and
nothing else is affected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection
from django.db.models.functions import Now

from embeddings import ledger, pipeline, registry
from embeddings.exceptions import InputRejected
from embeddings.models import EmbeddingTask, ProviderState
from embeddings.pipeline import intake
from embeddings.providers.base import Embedded
from embeddings.providers.dummy import DummyProvider
from embeddings.worker.sweep import Sweep
from tests.integration import sessions
from tests.integration.conftest import counts, dummy
from tests.ledger_rows import make_task
from tests.testapp.models import DIMENSIONS, Foreign, Memo, Post

Draining = Callable[[], pipeline.Outcome]
TaskOf = Callable[..., EmbeddingTask]
Using = Callable[..., None]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

BAD = "bad"
LONG_AGO = timedelta(days=1)


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> None:
    settings.EMBEDDING_PROVIDERS = dummy()
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BACKOFF_BASE_SECONDS": 0, "CIRCUIT_OPEN_SECONDS": 60}


@pytest.fixture
def using_source() -> Iterator[Using]:
    """Let a function make the text of every Foreign whose words are bad."""

    def use(source: Callable[[Any], Any]) -> None:
        registry.register(Foreign, "vector", lambda foreign: source(foreign) if foreign.words == BAD else foreign.words)

    yield use
    registry.register(Foreign, "vector", "words")


@pytest.fixture
def foreigners() -> Callable[[], Foreign]:
    """Makes the bad one among good ones."""
    return lambda: [Foreign.objects.create(words=words) for words in ("one", "two", BAD, "three")][2]


def assert_others_are_done(bad: Any, field: str = "vector") -> None:
    others = type(bad)._base_manager.exclude(pk=bad.pk)
    assert others.count() == 3
    assert not others.filter(**{f"{field}__isnull": True}).exists()
    assert set(EmbeddingTask.objects.exclude(object_id=str(bad.pk)).values_list("status", "error_message")) == {
        ("completed", "")
    }


# Texts.


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("a\0b", "completed"),
        ("half an emoji \ud83d", "completed"),
        ("\x01\x1b[31mred\x7f", "completed"),
        (7, "completed"),
        ("", "empty"),
        (None, "empty"),
        ("\0", "empty"),
        (" \t\r\n\v\f", "empty"),
        ("\u00a0\u1680\u2003\u2028\u202f\u3000", "empty"),
        ("\u200b\u200c\u200d\u2060\ufeff\u00ad", "empty"),
        ("\x01\x02", "empty"),
    ],
    ids=ascii,
)
def test_drain__takes_any_text(
    text: Any, status: str, using_source: Using, foreigners: Any, drain: Draining, task_of: TaskOf
) -> None:
    using_source(lambda foreign: text)
    bad = foreigners()

    drain()

    bad.refresh_from_db()
    assert (task_of(bad, "vector").status, bad.vector is not None) == (status, status == "completed")
    assert_others_are_done(bad)
    assert DummyProvider.calls == 1


def test_drain__takes_ten_megabytes_and_says_that_they_were_cut(drain: Draining, task_of: TaskOf) -> None:
    [bad, *_] = [Post.objects.create(title="x", body=body) for body in ("words " * 1_700_000, "a", "b", "c")]

    drain()

    task = task_of(bad)
    assert (task.status, task.truncated, task.tokens_estimated) == ("completed", True, 8192)
    assert_others_are_done(bad, "embedding")


def test_drain__target_without_sources_is_empty(drain: Draining, task_of: TaskOf) -> None:
    try:
        registry.register(Foreign, "vector", [])
        bad = Foreign.objects.create(words="one")
        drain()
    finally:
        registry.register(Foreign, "vector", "words")

    assert task_of(bad, "vector").status == "empty"


# Sources.


class Silent:
    def __str__(self) -> str:
        raise ValueError("no text today")


class Mute:
    """Has no text of its own: Python would give its address."""


def recurse(foreign: Any) -> Any:
    return recurse(foreign)


def take_all_memory(foreign: Any) -> Any:
    raise MemoryError


def execute(statement: str) -> Callable[[Any], Any]:
    def source(foreign: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]

    return source


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (lambda foreign: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda foreign: b"bytes", "TypeError: it gives bytes, not text; let a method return a str."),
        (lambda foreign: ["a", "b"], "TypeError: it gives list, not text; let a method return a str."),
        (lambda foreign: {"a": 1}, "TypeError: it gives dict, not text; let a method return a str."),
        (lambda foreign: {"a", "b"}, "TypeError: it gives set, not text; let a method return a str."),
        (lambda foreign: iter("ab"), "TypeError: it gives str_ascii_iterator, not text; let a method return a str."),
        (lambda foreign: Mute(), "TypeError: it gives Mute, not text; let a method return a str."),
        (lambda foreign: Silent(), "ValueError: no text today"),
        (recurse, "RecursionError: maximum recursion depth exceeded"),
        (take_all_memory, "MemoryError"),
        (execute("SELECT 1 / 0"), "DataError: division by zero"),
        (execute("SELECT nothing"), 'ProgrammingError: column "nothing" does not exist'),
    ],
)
def test_drain__fails_only_the_object_whose_source_does(
    source: Any, cause: str, using_source: Using, foreigners: Any, drain: Draining, task_of: TaskOf
) -> None:
    using_source(source)
    bad = foreigners()

    drain()

    task = task_of(bad, "vector")
    assert (task.status, task.error_kind, task.error_class, task.attempts) == ("failed", "input", "SourceError", 1)
    assert task.error_message.startswith(
        f"testapp.Foreign {bad.pk}: the source of testapp.foreign.vector failed: {cause}"
    )
    assert_others_are_done(bad)


def test_drain__source_whose_database_is_busy_is_tried_again(
    using_source: Using, foreigners: Any, drain: Draining, task_of: TaskOf, settings: Any
) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BACKOFF_BASE_SECONDS": 60}

    def source(foreign: Any) -> Any:
        raise OperationalError("too many connections")

    using_source(source)
    bad = foreigners()

    drain()

    task = task_of(bad, "vector")
    assert (task.status, task.error_kind, task.attempts) == ("scheduled", "transient", 1)
    assert task.error_message == (
        f"testapp.Foreign {bad.pk}: the source of testapp.foreign.vector failed: too many connections"
    )
    assert_others_are_done(bad)


def test_drain__source_that_breaks_the_transaction_of_its_settling_is_charged_alone(
    using_source: Using, foreigners: Any, drain: Draining, task_of: TaskOf
) -> None:
    """A source that is code runs again when its vector is written, in that transaction."""
    using_source(lambda foreign: execute("SELECT nothing")(foreign) if connection.in_atomic_block else "fine")
    bad = foreigners()

    drain()

    task = task_of(bad, "vector")
    assert (task.status, task.attempts) == ("failed", 3)
    assert task.error_message.startswith(f"testapp.Foreign {bad.pk}: the source of testapp.foreign.vector failed: ")
    assert 'column "nothing" does not exist' in task.error_message
    assert_others_are_done(bad)


def test_drain__source_may_ask_the_database(
    using_source: Using, foreigners: Any, drain: Draining, task_of: TaskOf
) -> None:
    using_source(lambda foreign: f"one of {Foreign.objects.count()}")
    bad = foreigners()

    drain()

    assert task_of(bad, "vector").status == "completed"
    assert DummyProvider.requests[-1][2] == "one of 4"
    assert_others_are_done(bad)


@pytest.mark.parametrize("is_raising", [True, False])
def test_drain__source_that_deletes_its_object_leaves_no_task(
    is_raising: bool, using_source: Using, foreigners: Any, drain: Draining
) -> None:
    def source(foreign: Any) -> str:
        Foreign.objects.get(pk=foreign.pk).delete()
        return 1 / 0 if is_raising else "it was here"

    using_source(source)
    bad = foreigners()

    drain()

    assert counts() == {"completed": 3}
    assert_others_are_done(bad)


def test_save__does_not_fail_for_its_text(task_of: TaskOf) -> None:
    post = Post(title="x")
    post.body = type("Odd", (str,), {"__str__": lambda self: 1 / 0})("y")

    post.save()

    assert task_of(post).status == "pending"


# Models, fields and keys that have changed while tasks wait.


def test_drain__field_that_is_embedded_no_more(drain: Draining, task_of: TaskOf) -> None:
    [bad, *_] = [Post.objects.create(title=title) for title in "abcd"]
    EmbeddingTask.objects.filter(object_id=bad.pk).update(field="old_name", created_at=Now() - LONG_AGO)

    drain()

    task = task_of(bad, "old_name")
    assert (task.status, task.error_kind, task.error_class) == ("failed", "configuration", "UnknownTarget")
    assert task.error_message.startswith(f"testapp.Post {bad.pk}: No model field is embedded as 'old_name'")
    bad.embedding = [1.0] * DIMENSIONS  # Nobody has requested its new field: only that of the others is filled.
    assert_others_are_done(bad, "embedding")


def test_drain__field_that_only_a_newer_version_of_the_code_knows_waits_for_it(
    drain: Draining, task_of: TaskOf
) -> None:
    [bad, *_] = [Post.objects.create(title=title) for title in "abcd"]
    EmbeddingTask.objects.filter(object_id=bad.pk).update(field="new_name")

    drain()

    task = task_of(bad, "new_name")
    assert (task.status, task.error_kind, task.attempts) == ("scheduled", "configuration", 0)
    assert_others_are_done(bad, "embedding")


@pytest.mark.parametrize("column", ["title", "embedding"])
def test_drain__column_that_the_database_does_not_have_is_waited_for(
    column: str, drain: Draining, task_of: TaskOf
) -> None:
    posts = [Post.objects.create(title=title) for title in "abc"]
    memo = Memo.objects.create(text="of another table")
    EmbeddingTask.objects.filter(object_id=str(memo.pk)).update(status="pending", available_at=None)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE testapp_post RENAME COLUMN {column} TO another")
        try:
            drain()
        finally:
            cursor.execute(f"ALTER TABLE testapp_post RENAME COLUMN another TO {column}")

    assert task_of(memo).status == "completed"
    for task in map(task_of, posts):
        assert (task.status, task.error_kind, task.attempts) == ("scheduled", "configuration", 0)
        assert task.error_message == f"testapp.post.embedding: column testapp_post.{column} does not exist"

    EmbeddingTask.objects.filter(status="scheduled").update(available_at=Now())
    drain()
    assert counts() == {"completed": 4}


def test_drain__model_that_the_code_does_not_have(drain: Draining) -> None:
    chair = ContentType.objects.create(app_label="attic", model="chair")
    try:
        task = make_task(content_type=chair, object_id="3")
        EmbeddingTask.objects.update(created_at=Now() - LONG_AGO)

        drain()

        task.refresh_from_db()
        assert (task.status, task.error_kind, task.error_class) == ("failed", "configuration", "UnknownTarget")
        assert task.error_message.startswith("attic.chair 3: No model field is embedded as 'embedding'")
    finally:
        chair.delete()


def test_take__content_type_that_is_deleted_meanwhile_takes_its_tasks_along() -> None:
    chair = ContentType.objects.create(app_label="attic", model="chair")
    make_task(content_type=chair, object_id="3")
    claims = ledger.claim("default", 1, worker="w")
    ContentType.objects.get(pk=chair.pk).delete()
    ContentType.objects.clear_cache()

    taken = intake.take(claims, "default")

    [(claim, failure)] = taken.failures
    assert ledger.fail([claim], failure, is_final=True) == 0
    assert not EmbeddingTask.objects.exists()


@pytest.mark.parametrize(("model", "text", "key"), [(Post, "title", "x1"), (Memo, "text", "12")])
def test_drain__key_that_no_object_can_have(model: Any, text: str, key: str, drain: Draining) -> None:
    [bad, *_] = [model.objects.create(**{text: words}) for words in "abcd"]
    EmbeddingTask.objects.filter(status="scheduled").update(status="pending", available_at=None)
    EmbeddingTask.objects.filter(object_id=str(bad.pk)).update(object_id=key)

    drain()

    task = EmbeddingTask.objects.get(object_id=key)
    assert (task.status, task.error_kind, task.error_class, task.attempts) == ("failed", "input", "ImpossibleKey", 1)
    assert task.error_message.startswith(f"{model._meta.label} {key}: ")
    assert counts() == {"completed": 3, "failed": 1}


def test_drain__key_that_is_too_large_for_its_type_is_that_of_no_object(drain: Draining) -> None:
    post = Post.objects.create(title="x")
    EmbeddingTask.objects.filter(object_id=post.pk).update(object_id="9" * 30)

    drain()

    assert not EmbeddingTask.objects.exists()


# Providers that are configured no more.


def test_sweep__gives_a_task_of_a_provider_that_is_no_more_to_the_one_its_field_has_now(drain: Draining) -> None:
    """Not claimed by anybody, it would wait for ever and say nothing."""
    for title in ("done", "waits"):
        Post.objects.create(title=title)
    drain()
    EmbeddingTask.objects.update(provider="removed")
    EmbeddingTask.objects.filter(object_id=Post.objects.last().pk).update(status="pending", completed_at=None)

    Sweep("a worker that starts").run()

    assert set(EmbeddingTask.objects.values_list("status", "provider")) == {
        ("completed", "removed"),
        ("pending", "default"),
    }
    drain()
    assert counts() == {"completed": 2}


def test_drain__field_whose_provider_is_not_configured_waits(drain: Draining, task_of: TaskOf) -> None:
    try:
        registry.register(Foreign, "vector", "words", provider="removed")
        foreign = Foreign.objects.create(words="x")
        EmbeddingTask.objects.update(provider="default")
        drain()
    finally:
        registry.register(Foreign, "vector", "words")

    task = task_of(foreign, "vector")
    assert (task.status, task.error_kind, task.attempts) == ("scheduled", "configuration", 0)
    assert task.error_message.startswith("testapp.foreign.vector: EMBEDDING_PROVIDERS has no 'removed'")


# What providers return.


class OddProvider(DummyProvider):
    """Does as `oddity` says with the vector of each bad text."""

    oddity: ClassVar[Callable[[list[float]], Any]]

    def embed(self, texts: Sequence[str]) -> Embedded:
        embedded = super().embed(texts)
        odd = OddProvider.oddity
        vectors = [odd(v) if BAD in text else v for text, v in zip(texts, embedded.vectors, strict=True)]
        return Embedded(vectors, embedded.tokens)


@pytest.fixture
def odd_provider(settings: Any) -> Iterator[Callable[[Callable[[list[float]], Any]], None]]:
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": f"{__name__}.OddProvider"}}

    def use(oddity: Callable[[list[float]], Any]) -> None:
        OddProvider.oddity = oddity

    return use


def first_replaced(value: Any) -> Callable[[list[float]], Any]:
    return lambda vector: [value, *vector[1:]]


NO_VECTORS: dict[str, Callable[[list[float]], Any]] = {
    "nan": first_replaced(math.nan),
    "infinity": first_replaced(math.inf),
    "minus infinity": first_replaced(-math.inf),
    "both infinities": lambda vector: [math.inf, -math.inf, *vector[2:]],
    "array with nan": lambda vector: np.array([math.nan, *vector[1:]], dtype="f4"),
    "too large for 32 bits": first_replaced(1e39),
    "too large for 64 bits": lambda vector: [1.7e308] * len(vector),
    "words": lambda vector: ["0.5"] * len(vector),
    "none in it": first_replaced(None),
    "a list in it": first_replaced([0.5]),
    "lists": lambda vector: [[number] for number in vector],
    "nothing": lambda vector: None,
    "a number": lambda vector: 0.5,
    "one short": lambda vector: vector[1:],
    "empty": lambda vector: [],
}


@pytest.mark.parametrize("name", NO_VECTORS)
def test_drain__fails_only_the_object_whose_vector_is_none(
    name: str, odd_provider: Any, drain: Draining, task_of: TaskOf
) -> None:
    odd_provider(NO_VECTORS[name])
    [_, _, bad, _] = [Post.objects.create(title=title) for title in ("one", "two", BAD, "three")]

    drain()

    task = task_of(bad)
    assert (task.status, task.attempts) == ("failed", 1)
    assert task.error_kind in {"input", "configuration"}
    assert task.error_message.startswith(f"testapp.Post {bad.pk}: ")
    assert_others_are_done(bad, "embedding")
    assert not ProviderState.objects.exclude(blocked_reason="").exists()


def test_drain__fails_only_the_object_whose_vector_is_too_large_for_a_half(
    odd_provider: Any, drain: Draining, task_of: TaskOf
) -> None:
    odd_provider(first_replaced(65520.0))
    [bad, *_] = [Memo.objects.create(text=text) for text in (BAD, "one", "two", "three")]
    EmbeddingTask.objects.update(status="pending", available_at=None)

    drain()

    task = task_of(bad)
    assert (task.status, task.error_kind, task.attempts) == ("failed", "input", 1)
    assert task.error_message.startswith(f"testapp.Memo {bad.pk}: ")
    assert_others_are_done(bad, "embedding")


@pytest.mark.parametrize(
    "odd", [lambda vector: [0.0] * len(vector), first_replaced(1e-42), first_replaced(-0.0), lambda v: [1] * len(v)]
)
def test_drain__takes_odd_numbers(odd: Any, odd_provider: Any, drain: Draining) -> None:
    """A vector of zeros has no direction: a search by meaning finds it last."""
    odd_provider(odd)
    for title in ("one", "two", BAD):
        Post.objects.create(title=title)

    drain()

    assert counts() == {"completed": 3}


def test_search__object_with_a_vector_of_zeros_does_no_harm(odd_provider: Any, drain: Draining) -> None:
    odd_provider(lambda vector: [0.0] * len(vector))
    for title in ("one", "two", BAD):
        Post.objects.create(title=title)
    drain()

    found = list(Post.objects.search("one", mode="semantic"))

    assert all(math.isfinite(post.score) for post in found)
    assert found[0].title == "one"


class BrokenProvider(DummyProvider):
    """Never works; `answer` says how."""

    answer: ClassVar[Callable[[Embedded], Any]]

    def embed(self, texts: Sequence[str]) -> Any:
        return BrokenProvider.answer(super().embed(texts))


def raising(error: BaseException) -> Callable[[Embedded], Any]:
    def answer(embedded: Embedded) -> Any:
        raise error

    return answer


BROKEN: dict[str, Callable[[Embedded], Any]] = {
    "exception": raising(Exception("a bug")),
    "exit": raising(SystemExit(1)),
    "interrupt": raising(KeyboardInterrupt()),
    "nothing": lambda embedded: None,
    "a list": lambda embedded: embedded.vectors,
    "a generator": lambda embedded: (vector for vector in embedded.vectors),
    "a generator of vectors": lambda embedded: Embedded(iter(embedded.vectors)),  # type: ignore[arg-type]
    "one too few": lambda embedded: Embedded(embedded.vectors[1:]),
    "one too many": lambda embedded: Embedded([*embedded.vectors, embedded.vectors[0]]),
    "wrong dimensions": lambda embedded: Embedded([vector[1:] for vector in embedded.vectors]),
    "nan": lambda embedded: Embedded([[math.nan] * DIMENSIONS for _ in embedded.vectors]),
    "words": lambda embedded: Embedded([["x"] * DIMENSIONS for _ in embedded.vectors]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_drain__provider_that_never_works_costs_no_task_an_attempt(name: str, settings: Any, drain: Draining) -> None:
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": f"{__name__}.BrokenProvider"}}
    BrokenProvider.answer = BROKEN[name]
    Post.objects.bulk_create([Post(title=f"text {n}") for n in range(4)])

    for _ in range(6):
        drain()
        EmbeddingTask.objects.filter(status="scheduled").update(available_at=Now())

    assert not EmbeddingTask.objects.exclude(status__in=["pending", "scheduled"]).exists()
    assert not EmbeddingTask.objects.filter(attempts__gt=0).exists()
    assert ProviderState.objects.exclude(blocked_reason="").exists()


# What errors quote. Operators see messages who may not see the objects.

SECRET = "Jane Roe, born 1970, has tested positive."


def test_drain__message_of_a_source_does_not_quote_its_object(drain: Draining, task_of: TaskOf) -> None:
    registry.register(Foreign, "vector", lambda foreign: int(foreign.words))
    bad = Foreign.objects.create(words=SECRET)
    try:
        drain()
    finally:
        registry.register(Foreign, "vector", "words")

    assert task_of(bad, "vector").error_message.endswith(
        "failed: ValueError: invalid literal for int() with base 10: '…'"
    )


class QuotingProvider(DummyProvider):
    """Refuses a text and says which."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        if SECRET in texts:
            raise InputRejected(f"cannot embed: {texts[0]}")
        return super().embed(texts)


def test_drain__message_of_a_provider_does_not_quote_the_text(settings: Any, drain: Draining, task_of: TaskOf) -> None:
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "BACKEND": f"{__name__}.QuotingProvider"}}
    bad = Post.objects.create(title=SECRET)

    drain()

    assert task_of(bad).error_message == f"testapp.Post {bad.pk}: cannot embed: …"


def test_drain__message_of_the_database_does_not_quote_the_row(drain: Draining, task_of: TaskOf) -> None:
    bad = Post.objects.create(title=SECRET)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_post ADD CONSTRAINT without_vector CHECK (embedding IS NULL)")
        try:
            drain()
        finally:
            cursor.execute("ALTER TABLE testapp_post DROP CONSTRAINT without_vector")

    task = task_of(bad)
    assert (task.status, task.error_class) == ("failed", "IntegrityError")
    assert task.error_message == (
        f'testapp.Post {bad.pk}: new row for relation "testapp_post" violates check constraint "without_vector"'
    )
