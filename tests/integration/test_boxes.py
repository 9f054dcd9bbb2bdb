"""Objects that are created in boxes: nothing of them is stored until the vector is there, and then all at once."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import connection, models, transaction
from django.db.models import Value
from django.db.models.signals import post_save
from django.utils import timezone

import embeddings
from embeddings import boxes, ledger, operations, registry, requeue
from embeddings.exceptions import ConfigurationError, TransientError
from embeddings.models import EmbeddingTask, ProviderCall, Status
from embeddings.pipeline import intake, storing
from embeddings.pipeline.intake import Effect, Settlement
from embeddings.providers.dummy import DummyProvider, vector
from tests.integration import sessions
from tests.integration.conftest import Draining, TaskOf, Workers, child_of, counts, wait_until
from tests.testapp.models import DIMENSIONS, Memo, Parcel, PinnedPost, Post, Receipt, Restaurant, Sender

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


def holds(value: Any, text: str) -> bool:
    return value is not None and list(value) == pytest.approx(vector(text, DIMENSIONS), abs=1e-3)


def task(task_id: int | None) -> EmbeddingTask:
    return EmbeddingTask.objects.get(pk=task_id)


def time_passes() -> None:
    """What waits for its time is due."""
    EmbeddingTask.objects.filter(available_at__isnull=False).update(available_at=timezone.now())


@pytest.fixture
def receiver() -> Iterator[Callable[..., None]]:
    """Connect receivers to the saves of a model, until the test ends."""
    connected: list[tuple[Any, type[models.Model]]] = []

    def connect(function: Callable[..., None], model: type[models.Model] = Parcel) -> None:
        post_save.connect(function, sender=model)
        connected.append((function, model))

    yield connect
    for function, model in connected:
        post_save.disconnect(function, sender=model)


# The call.


def test_create_boxed__stores_nothing_but_the_box() -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    assert isinstance(boxed.entity_id, uuid.UUID)
    assert not Parcel.objects.exists()
    assert (task(boxed.task_id).status, task(boxed.task_id).object_id) == ("pending", str(boxed.entity_id))
    assert DummyProvider.calls == 0


def test_create_boxed__costs_few_statements(django_assert_num_queries: Any) -> None:
    Parcel.objects.create_boxed(slug="b", text="words")  # content types are cached from here on
    Post.objects.create_boxed(title="b")

    # Is the key free, is the slug; BEGIN, the task, its box, COMMIT.
    with django_assert_num_queries(6):
        Parcel.objects.create_boxed(slug="a", text="words")
    # The sequence in place of both questions.
    with django_assert_num_queries(5):
        Post.objects.create_boxed(title="a")


def test_create_boxed__the_row_appears_with_its_vector(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    outcome = drain()

    parcel = Parcel.objects.get(pk=boxed.entity_id)
    assert holds(parcel.embedding, "words")
    assert (outcome.claimed, outcome.completed) == (1, 1)
    done = task(boxed.task_id)
    assert (done.status, done.payload, done.version, done.attempts) == ("completed", None, 1, 1)
    assert DummyProvider.calls == 1


def test_create_boxed__keeps_every_value(drain: Draining) -> None:
    sender = Sender.objects.create(name="Ann")
    due = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
    values = {
        "slug": "a",
        "text": "töxt \N{PACKAGE} \\u0000 \x7f",
        "sender": sender,
        "weight": Decimal("123.45"),
        "due_at": due,
        "takes": timedelta(days=3, microseconds=7),
        "seal": b"\x00\xff",
        "rank": 1e300,
        "scan": "scans/1.pdf",
    }

    Parcel.objects.create_boxed(**values, contents={"when": due, "n": [1, None, "x"]})
    drain()

    parcel = Parcel.objects.get()
    stored = {name: getattr(parcel, name) for name in values}
    stored["seal"] = bytes(stored["seal"])
    assert stored == values
    assert parcel.contents == {"when": "2030-01-02T03:04:05.678Z", "n": [1, None, "x"]}
    assert (parcel.state, parcel.length) == ("new", len(values["text"]))
    assert holds(parcel.embedding, f"{values['text']}\n\nAnn")


def test_create_boxed__automatic_keys_come_from_the_sequence(drain: Draining) -> None:
    before = Post.objects.create(title="before")

    boxed = Post.objects.create_boxed(title="boxed")
    after = Post.objects.create(title="after")
    drain()

    assert (boxed.entity_id, after.pk) == (before.pk + 1, before.pk + 2)
    assert holds(Post.objects.get(pk=boxed.entity_id).embedding, "boxed")


def test_create_boxed__honours_priority_and_delay() -> None:
    boxed = Memo.objects.create_boxed(text="words")

    assert (task(boxed.task_id).status, task(boxed.task_id).priority) == ("scheduled", "normal")
    assert task(boxed.task_id).available_at is not None


def test_create_boxed__on_another_database(drain: Draining, settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}

    boxed = Parcel.objects.using("other").create_boxed(slug="a", text="words")
    drain()

    assert holds(Parcel.objects.using("other").get(pk=boxed.entity_id).embedding, "words")
    assert not Parcel.objects.exists()


def test_create_boxed__rolled_back_with_its_transaction() -> None:
    with transaction.atomic():
        Parcel.objects.create_boxed(slug="a", text="words")
        transaction.set_rollback(True)

    assert not EmbeddingTask.objects.exists()


# What is refused at the call.


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"slug": "no slug"}, "slug"),
        ({"slug": "taken"}, "slug"),
        ({"slug": "x" * 51}, "slug"),
        ({"slug": None}, "slug"),
        ({"slug": "a", "weight": "heavy"}, "weight"),
        ({"slug": "a", "due_at": "soon"}, "due_at"),
        ({"slug": "a", "sender_id": 987654}, "sender"),
        ({"slug": "a", "id": "no key"}, "id"),
        ({"slug": "a", "text": Value("x")}, "text"),
        ({"slug": "a", "text": "nul \0"}, "text"),
        ({"slug": "a", "text": "half \ud800"}, "text"),
        ({"slug": "a", "contents": {"x": float("nan")}}, "contents"),
        ({"slug": "a", "contents": {"x": "\0"}}, "contents"),
        ({"slug": "a", "scan": ContentFile(b"x", name="x.pdf")}, "scan"),
        ({"slug": "a", "embedding": [0.0] * DIMENSIONS}, "embedding"),
    ],
)
def test_create_boxed__refuses_invalid_values(values: dict[str, Any], field: str) -> None:
    Parcel.objects.create(slug="taken")
    EmbeddingTask.objects.all().delete()

    with pytest.raises(ValidationError) as refusal:
        Parcel.objects.create_boxed(**values)

    assert list(refusal.value.message_dict) == [field]
    assert not EmbeddingTask.objects.exists()


def test_create_boxed__refuses_unknown_names() -> None:
    with pytest.raises(TypeError, match="colour"):
        Parcel.objects.create_boxed(slug="a", colour="red")


def test_create_boxed__refuses_unsaved_references() -> None:
    with pytest.raises(ValueError, match="unsaved related object 'sender'"):
        Parcel.objects.create_boxed(slug="a", sender=Sender(name="Ann"))


@pytest.mark.parametrize("is_boxed", [True, False])
def test_create_boxed__refuses_a_key_that_is_taken(is_boxed: bool) -> None:
    key = uuid.uuid4()
    if is_boxed:
        first = Parcel.objects.create_boxed(id=key, slug="a", text="first").task_id
    else:
        Parcel.objects.create(id=key, slug="a")
        first = EmbeddingTask.objects.get().pk
    before = EmbeddingTask.objects.values().get()

    with pytest.raises(ValidationError) as refusal:
        Parcel.objects.create_boxed(id=key, slug="b", text="second")

    assert list(refusal.value.message_dict) == ["id"]
    assert EmbeddingTask.objects.values().get(pk=first) == before


def test_create_boxed__takes_over_the_task_of_an_object_that_is_gone(drain: Draining) -> None:
    parcel = Parcel.objects.create(slug="a", text="old")
    drain()
    with sessions.session() as other:
        other.execute("DELETE FROM testapp_parcel")

    boxed = Parcel.objects.create_boxed(id=parcel.pk, slug="a", text="new")
    assert task(boxed.task_id).fingerprint == ""  # of a vector that is gone
    drain()

    assert holds(Parcel.objects.get().embedding, "new")


def test_create_boxed__of_a_key_whose_old_task_is_in_hand(drain: Draining) -> None:
    parcel = Parcel.objects.create(slug="a", text="old")
    claims = ledger.claim("default", 10, worker="one")
    with sessions.session() as other:
        other.execute("DELETE FROM testapp_parcel")
    Parcel.objects.create_boxed(id=parcel.pk, slug="a", text="new")

    intake.take(claims, "default")

    assert task(None if not claims else claims[0].id).payload is not None
    drain()
    assert holds(Parcel.objects.get().embedding, "new")


def test_create_boxed__refuses_models_of_several_tables() -> None:
    with pytest.raises(ConfigurationError, match=r"testapp\.Restaurant cannot be boxed"):
        Restaurant.objects.create_boxed(name="a", menu="b")


def test_create_boxed__refuses_to_guess_among_several_fields() -> None:
    with pytest.raises(ConfigurationError, match="merchant_embedding, text_embedding"):
        Receipt.objects.create_boxed(merchant="a", text="b")


def test_create_boxed__of_a_proxy_stores_a_proxy(drain: Draining, receiver: Any) -> None:
    saved: list[type] = []
    receiver(lambda sender, **kwargs: saved.append(sender), PinnedPost)

    PinnedPost.objects.create_boxed(title="words")
    drain()

    assert saved == [PinnedPost]
    assert holds(Post.objects.get().embedding, "words")
    assert counts() == {"completed": 1}


def test_create_boxed__appears_with_one_of_several_vectors(drain: Draining) -> None:
    boxed = Receipt.objects.create_boxed(field="text_embedding", merchant="ann", text="words")
    claims = ledger.claim("default", 10, worker="one")
    taken = intake.take(claims, "default")

    assert [item.text.text for request in taken.requests for items in request.items for item in items] == ["words"]
    ledger.release(claims)
    drain()

    receipt = Receipt.objects.get(pk=boxed.entity_id)
    assert holds(receipt.text_embedding, "words")
    assert holds(receipt.merchant_embedding, "ann")
    assert counts() == {"completed": 2}
    assert [list(texts) for texts in DummyProvider.requests] == [["words"], ["ann"]]


# Switches.


def test_create_boxed__without_the_queue_is_stored_after_the_commit(settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}

    with transaction.atomic():
        boxed = Parcel.objects.create_boxed(slug="a", text="words")
        assert not Parcel.objects.exists()

    assert holds(Parcel.objects.get().embedding, "words")
    assert task(boxed.task_id).status == "completed"


def test_create_boxed__without_the_queue_the_next_takes_along_what_was_left(settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
    left = Parcel.objects.create_boxed(slug="a", text="[[transient]]")
    assert task(left.task_id).status == "scheduled"
    EmbeddingTask.objects.update(
        payload={"model": "testapp.parcel", "fields": {"id": str(left.entity_id), "text": "a"}}
    )

    Parcel.objects.create_boxed(slug="b", text="b")
    assert task(left.task_id).status == "scheduled"  # its time had not come
    time_passes()
    Parcel.objects.create_boxed(slug="c", text="c")

    assert holds(Parcel.objects.get(pk=left.entity_id).embedding, "a")


def test_create_boxed__switched_off_is_stored_at_once(settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    assert boxed.task_id is None
    assert Parcel.objects.get(pk=boxed.entity_id).embedding is None
    assert boxes.state_of(Parcel, boxed.entity_id) is None
    assert not EmbeddingTask.objects.exists()


# The worker.


def test_store__empty_text_is_stored_without_a_vector(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text=" ")

    drain()

    assert Parcel.objects.get().embedding is None
    assert task(boxed.task_id).status == "empty"
    assert DummyProvider.calls == 0


def test_store__row_and_vector_and_task_are_seen_at_once_by_others(drain: Draining, receiver: Any) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    question = """
        SELECT (SELECT count(*) FROM testapp_parcel WHERE embedding IS NOT NULL), (SELECT count(*) FROM testapp_parcel),
            status, payload IS NULL FROM embeddings_embeddingtask
    """
    seen = []
    with sessions.session() as other:
        # After the INSERT, in the worker's transaction.
        receiver(lambda **kwargs: seen.append(other.execute(question).fetchone()))
        drain()
        seen.append(other.execute(question).fetchone())

    assert seen == [(0, 0, "processing", False), (1, 1, "completed", True)]
    assert boxed.entity_id


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda: Parcel.objects.create(slug="a"), id="unique value"),
        pytest.param(lambda: Sender.objects.all().delete(), id="foreign key"),
        pytest.param(lambda: Parcel.objects.create(slug="k", id=KEY), id="key"),
    ],
)
@pytest.mark.parametrize("is_read", [False, True])
def test_store__what_cannot_be_stored_fails_with_the_box_intact(
    disturb: Callable[[], Any], is_read: bool, drain: Draining
) -> None:
    sender = Sender.objects.create(name="Ann")
    with transaction.atomic():
        boxed = Parcel.objects.create_boxed(id=KEY, slug="a", text="secret words of a customer", sender=sender)
        others = [Parcel.objects.create_boxed(slug=f"b{number}", text=f"b{number}") for number in range(5)]
    before = task(boxed.task_id).payload
    if is_read:
        claims = ledger.claim("default", 10, worker="one")
        taken = intake.take(claims, "default")
        disturb()
        fates = [_fate(item) for request in taken.requests for items in request.items for item in items]
        assert sorted(fates) == ["IntegrityError", *["done"] * 5]
        ledger.release(claims)
    else:
        disturb()

    drain()

    failed = task(boxed.task_id)
    assert (failed.status, failed.error_kind, failed.attempts) == ("failed", "input", 1)
    assert "secret" not in failed.error_message
    assert failed.payload == before
    assert Parcel.objects.filter(pk__in=[other.entity_id for other in others], embedding__isnull=False).count() == 5


def test_store__finds_a_missing_reference_before_the_commit() -> None:
    sender = Sender.objects.create(name="Ann")
    Parcel.objects.create_boxed(slug="a", text="words", sender=sender)
    taken = intake.take(ledger.claim("default", 10, worker="one"), "default")
    sender.delete()

    with transaction.atomic():
        assert _fate(taken.requests[0].items[0][0]) == "IntegrityError"


def test_store__waits_for_a_rival_without_a_lock_on_the_task() -> None:
    """A save takes its row first and then its task: who did it the other way round would deadlock with it."""
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    item = intake.take(ledger.claim("default", 10, worker="one"), "default").requests[0].items[0][0]
    with sessions.session() as rival:
        with rival.transaction():
            rival.execute("SET LOCAL lock_timeout = '2s'")
            rival.execute(f"{INSERT_PARCEL} VALUES (%s, 'b', '', 1, '', '{{}}', '', now())", [boxed.entity_id])
            stored = sessions.in_thread(lambda: _fate(item))
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid' AND query LIKE '%parcel%'"
            wait_until(lambda: _rows(waiting))
            rival.execute("UPDATE embeddings_embeddingtask SET updated_at = now()")

        assert stored() == "IntegrityError"
    assert task(boxed.task_id).payload is not None


KEY = uuid.UUID(int=7)
INSERT_PARCEL = "INSERT INTO testapp_parcel (id, slug, text, weight, seal, contents, scan, created_at)"


def _fate(item: Any) -> str:
    try:
        settlement = Settlement(item, Effect.WRITE, vector(item.text.text, DIMENSIONS))
        return storing.store(settlement).value
    except Exception as exc:
        return type(exc).__name__


def test_retry__after_mending_stores_the_box(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    Parcel.objects.create(slug="a")
    drain()
    assert task(boxed.task_id).status == "failed"
    Parcel.objects.update(slug="b")

    operations.retry(EmbeddingTask.objects.filter(pk=boxed.task_id))
    drain()

    assert holds(Parcel.objects.get(pk=boxed.entity_id).embedding, "words")
    assert task(boxed.task_id).status == "completed"


def test_delete__of_the_object_that_took_the_key_leaves_the_box(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    parcel = Parcel.objects.create(id=boxed.entity_id, slug="b", text="taker")
    drain()
    assert task(boxed.task_id).status == "failed"
    assert "taken the key" in task(boxed.task_id).error_message

    parcel.delete()
    operations.retry(EmbeddingTask.objects.filter(pk=boxed.task_id))
    drain()

    assert holds(Parcel.objects.get().embedding, "words")


def test_discard__gives_the_object_that_took_the_key_its_vector(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    Parcel.objects.create(id=boxed.entity_id, slug="b", text="taker")
    drain()

    assert boxes.discard(boxed.task_id)
    assert not boxes.discard(boxed.task_id)
    drain()

    assert holds(Parcel.objects.get().embedding, "taker")


def test_discard__of_a_box_in_hand_is_not_stored() -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    taken = intake.take(ledger.claim("default", 10, worker="one"), "default")

    boxes.discard(boxed.task_id)

    assert [_fate(taken.requests[0].items[0][0]), Parcel.objects.count(), EmbeddingTask.objects.count()] == [
        "lost",
        0,
        0,
    ]


@pytest.mark.parametrize("is_read", [False, True])
def test_cancel__keeps_the_box_and_retry_brings_it_back(drain: Draining, is_read: bool) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    tasks = EmbeddingTask.objects.filter(pk=boxed.task_id)
    if is_read:
        taken = intake.take(ledger.claim("default", 10, worker="one"), "default")
        operations.cancel(tasks)
        assert _fate(taken.requests[0].items[0][0]) == "lost"
    operations.cancel(tasks)
    drain()
    assert not Parcel.objects.exists()

    operations.retry(tasks)
    drain()

    assert holds(Parcel.objects.get().embedding, "words")


def test_store__of_a_task_that_somebody_holds_is_tried_again(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    taken = intake.take(ledger.claim("default", 10, worker="one"), "default")
    item = taken.requests[0].items[0][0]
    with sessions.session() as other, other.transaction():
        other.execute("SELECT 1 FROM embeddings_embeddingtask FOR UPDATE")

        assert _fate(item) == "busy"
        assert not Parcel.objects.exists()

    assert _fate(item) == "done"
    assert task(boxed.task_id).status == "completed"


def test_store__not_twice_after_the_lease_was_lost() -> None:
    Parcel.objects.create_boxed(slug="a", text="words")
    first = intake.take(ledger.claim("default", 10, worker="one"), "default").requests[0].items[0][0]
    ledger.rescue(worker="one")
    second = intake.take(ledger.claim("default", 10, worker="two", crashes=1), "default").requests[0].items[0][0]

    assert [_fate(first), _fate(second), _fate(first), _fate(second)] == ["lost", "done", "lost", "lost"]
    assert Parcel.objects.count() == 1


def test_store__a_receiver_that_raises_costs_attempts_and_no_box(drain: Draining, receiver: Any) -> None:
    def refuse(instance: Parcel, **kwargs: object) -> None:
        raise ValueError(f"No place for {instance.text!r}")

    receiver(refuse)
    boxed = Parcel.objects.create_boxed(slug="a", text="secret words")
    other = Memo.objects.create(text="x")

    for _ in range(3):
        drain()
        time_passes()

    failed = task(boxed.task_id)
    assert (failed.status, failed.error_kind, failed.attempts) == ("failed", "transient", 3)
    assert "secret" not in failed.error_message
    assert failed.payload is not None
    assert not Parcel.objects.exists()
    assert holds(Memo.objects.get(pk=other.pk).embedding, "x")


def test_store__a_model_that_refuses_itself_fails_at_once(drain: Draining, receiver: Any) -> None:
    def refuse(instance: Parcel, **kwargs: object) -> None:
        raise ValidationError({"text": f"“{instance.text}” is no text for a parcel."})

    receiver(refuse)
    boxed = Parcel.objects.create_boxed(slug="a", text="secret words")

    drain()

    failed = task(boxed.task_id)
    assert (failed.status, failed.error_kind, failed.attempts) == ("failed", "input", 1)
    assert failed.error_message.endswith(": '…' is no text for a parcel.")
    assert failed.payload is not None


def test_store__a_receiver_that_saves_again_with_another_text(drain: Draining, receiver: Any) -> None:
    def correct(instance: Parcel, created: bool, **kwargs: object) -> None:
        if created:
            instance.text = "corrected"
            instance.save()

    receiver(correct)
    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    drain()

    assert holds(Parcel.objects.get().embedding, "corrected")
    assert (task(boxed.task_id).status, task(boxed.task_id).payload) == ("completed", None)
    assert [list(texts) for texts in DummyProvider.requests] == [["words"], ["corrected"]]


def test_store__a_receiver_that_deletes_it_keeps_the_box(drain: Draining, receiver: Any) -> None:
    receiver(lambda instance, **kwargs: Parcel.objects.filter(pk=instance.pk).delete())
    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    drain()

    assert (task(boxed.task_id).status, task(boxed.task_id).error_kind) == ("failed", "input")
    assert task(boxed.task_id).payload is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "testapp.gone"}, "a model that is gone"),
        ({"fields": {"colour": "secret colour"}}, "'colour', a field that testapp.Parcel has no more"),
        ({"fields": {"weight": "secret weight"}}, "'weight' that the field does not take any more"),
    ],
)
def test_unbox__of_a_model_that_has_changed(change: dict[str, Any], message: str, drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    payload = {**task(boxed.task_id).payload, **change}
    EmbeddingTask.objects.update(payload=payload)

    drain()

    failed = task(boxed.task_id)
    assert (failed.status, failed.error_kind, failed.payload) == ("failed", "input", payload)
    assert message in failed.error_message
    assert "secret" not in failed.error_message
    assert DummyProvider.calls == 0


def test_unbox__a_text_that_cannot_be_made_fails_alone(drain: Draining, monkeypatch: Any) -> None:
    boxed = Post.objects.create_boxed(title="words")
    registry.register(Post, "embedding", source=lambda post: 1 / 0)
    try:
        drain()
    finally:
        registry.register(Post, "embedding", source=["title", "body"])

    assert (task(boxed.task_id).status, task(boxed.task_id).error_kind) == ("failed", "input")
    assert not Post.objects.exists()


def test_provider__refuses_the_text_of_a_box(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="[[reject]] secret")
    good = Parcel.objects.create_boxed(slug="b", text="good")

    drain()

    assert (task(boxed.task_id).status, task(good.task_id).status) == ("failed", "completed")
    assert task(boxed.task_id).payload is not None
    assert "secret" not in task(boxed.task_id).error_message


def test_provider__rate_limit_defers_the_box(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="[[rate-limit]]")

    drain()

    assert (task(boxed.task_id).status, task(boxed.task_id).attempts) == ("rate_limited", 0)
    assert task(boxed.task_id).payload is not None


# What looks for rows.


def test_requeue__leaves_boxes_alone(drain: Draining) -> None:
    boxed = Post.objects.create_boxed(title="words")
    (target,) = registry.get("testapp.post")
    batch = embeddings.models.EmbeddingBatch.objects.create(name="x")

    assert requeue.survey(target).gone == 0
    assert requeue.requeue(target, batch).gone == 0
    assert ledger.forget_orphans(EmbeddingTask.objects.all()) == 0

    drain()
    assert holds(Post.objects.get(pk=boxed.entity_id).embedding, "words")


# States.


def test_state__from_box_to_row(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    before = boxes.state(boxed.task_id)
    drain()
    after = boxes.state(boxed.task_id)

    assert before == boxes.BoxState(boxed.task_id, boxed.entity_id, "testapp.parcel", "pending", None, False)
    assert after == boxes.BoxState(boxed.task_id, boxed.entity_id, "testapp.parcel", "completed", None, True)
    assert boxes.state_of(Parcel, boxed.entity_id) == boxes.state_of(Parcel, str(boxed.entity_id)) == after


def test_state__says_what_went_wrong(drain: Draining) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    Parcel.objects.create(slug="a")
    drain()

    state = boxes.state_of(Parcel, boxed.entity_id)

    assert (state.status, state.is_stored, state.error.kind) == ("failed", False, "input")
    assert "parcel_slug" in state.error.message


def test_state__does_not_load_the_payload(django_assert_num_queries: Any) -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    with django_assert_num_queries(1) as queries:
        boxes.state(boxed.task_id)

    assert '"payload",' not in queries.captured_queries[0]["sql"]


def test_state_of__several_fields_is_that_of_the_box(drain: Draining) -> None:
    boxed = Receipt.objects.create_boxed(field="text_embedding", merchant="ann", text="words")

    assert boxes.state_of(Receipt, boxed.entity_id).task_id == boxed.task_id
    drain()
    assert boxes.state_of(Receipt, boxed.entity_id).task_id == boxed.task_id


@pytest.mark.parametrize("key", [uuid.UUID(int=1), "no key", None])
def test_state_of__nothing(key: Any) -> None:
    assert boxes.state_of(Parcel, key) is None
    assert boxes.state(987654) is None
    assert boxes.state_of(Sender, 1) is None


# The synchronous twin.


def test_create_now__stores_row_vector_and_task(django_assert_num_queries: Any, task_of: TaskOf) -> None:
    parcel = Parcel.objects.create_now(slug="a", text="words")

    stored = Parcel.objects.get()
    assert stored.pk == parcel.pk
    assert holds(stored.embedding, "words")
    assert holds(parcel.embedding, "words")
    done = task_of(parcel)
    assert (done.status, done.tokens, done.attempts, done.payload) == ("completed", 1, 1, None)
    assert [(call.outcome, call.inputs, call.tokens) for call in ProviderCall.objects.all()] == [("ok", 1, 1)]


def test_create_now__is_not_embedded_again(drain: Draining) -> None:
    parcel = Post.objects.create_now(title="words")
    parcel.save()

    drain()

    assert DummyProvider.calls == 1


def test_create_now__stores_nothing_if_the_provider_fails() -> None:
    with pytest.raises(TransientError):
        Parcel.objects.create_now(slug="a", text="[[transient]]")

    assert not Parcel.objects.exists()
    assert not EmbeddingTask.objects.exists()
    assert [call.outcome for call in ProviderCall.objects.all()] == ["transient"]


def test_create_now__asks_in_no_transaction(monkeypatch: Any) -> None:
    open_ones = []
    embed = DummyProvider.embed
    monkeypatch.setattr(
        DummyProvider, "embed", lambda self, texts: open_ones.append(connection.in_atomic_block) or embed(self, texts)
    )

    Parcel.objects.create_now(slug="a", text="words")

    assert open_ones == [False]


def test_create_now__refuses_invalid_values() -> None:
    with pytest.raises(ValidationError):
        Parcel.objects.create_now(slug="no slug")

    assert DummyProvider.calls == 0


def test_create_now__refuses_a_key_that_waits_in_a_box() -> None:
    boxed = Parcel.objects.create_boxed(slug="a", text="words")

    with pytest.raises(ValidationError, match="waits in a box"):
        Parcel.objects.create_now(id=boxed.entity_id, slug="b", text="x")

    assert not Parcel.objects.exists()
    assert task(boxed.task_id).status == "pending"


def test_create_now__without_text(task_of: TaskOf) -> None:
    parcel = Parcel.objects.create_now(slug="a")

    assert (task_of(parcel).status, Parcel.objects.get().embedding) == ("empty", None)


def test_create_now__other_fields_follow(drain: Draining) -> None:
    Receipt.objects.create_now(field="text_embedding", merchant="ann", text="words")
    assert Receipt.objects.get().merchant_embedding is None

    drain()

    assert holds(Receipt.objects.get().merchant_embedding, "ann")


def test_create_now__switched_off(settings: Any) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    assert Parcel.objects.create_now(slug="a", text="words").embedding is None
    assert Parcel.objects.count() == 1


# Worker processes.


def test_worker__stores_boxes(workers: Workers) -> None:
    workers.started()
    workers.started()
    boxed = [Parcel.objects.create_boxed(slug=f"p{number}", text=f"text {number}") for number in range(200)]

    wait_until(lambda: counts() == {"completed": 200})

    assert Parcel.objects.filter(embedding__isnull=False).count() == len(boxed)


def test_worker__killed_between_answer_and_insert_loses_nothing(workers: Workers) -> None:
    """The INSERT waits for a lock on the table; then its worker dies."""
    boxed = Parcel.objects.create_boxed(slug="a", text="words")
    with sessions.session() as other, other.transaction():
        other.execute("LOCK TABLE testapp_parcel IN SHARE ROW EXCLUSIVE MODE")
        worker = workers.start(embeddings={"LOCK_TIMEOUT_SECONDS": 60})
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO%parcel%'"
        wait_until(lambda: _rows(waiting))
        os.kill(child_of(worker), signal.SIGKILL)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert not Parcel.objects.exists()
    assert task(boxed.task_id).payload is not None
    EmbeddingTask.objects.filter(status=Status.PROCESSING).update(lease_until=timezone.now())

    workers.start()

    wait_until(lambda: counts() == {"completed": 1})
    assert holds(Parcel.objects.get().embedding, "words")


def _rows(question: str) -> list[Any]:
    with sessions.session() as other:
        return other.execute(question).fetchall()
