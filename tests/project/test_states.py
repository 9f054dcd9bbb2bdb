from __future__ import annotations

import pytest

from embeddings.models import EmbeddingTask, Status
from embeddings.stats import ChunkProgress
from project.content.models import Article, Note, Receipt
from project.content.states import state_of_chunks, states_by_object, states_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def receipt() -> Receipt:
    return Receipt.objects.create(merchant="Bakery", purchased_on="2026-01-01", total=1, text="Bread")


@pytest.mark.parametrize(
    ("merchant", "text", "label"),
    [
        (Status.FAILED, Status.PENDING, "failed"),
        (Status.COMPLETED, Status.PENDING, "embedding…"),
        (Status.COMPLETED, Status.EMPTY, "ready"),
        (Status.EMPTY, Status.EMPTY, "no text"),
    ],
)
def test_states_of__several_vectors_are_summed_up(receipt, merchant, text, label):
    values = {"completed_at": "2026-01-01T00:00Z", "fingerprint": "f", "model_id": "m", "dimensions": 2}
    for field, status in (("merchant_embedding", merchant), ("text_embedding", text)):
        done = values if status == Status.COMPLETED else {}
        EmbeddingTask.objects.filter(field=field).update(status=status, **done)

    assert states_of([receipt])[receipt.pk].label == label
    assert states_of([receipt], field="text_embedding")[receipt.pk].label == states_label(text)


def states_label(status: str) -> str:
    return {Status.PENDING: "embedding…", Status.EMPTY: "no text"}[Status(status)]


def test_states_of__no_task():
    article = Article.objects.create(slug="a", title="a")
    EmbeddingTask.objects.all().delete()

    assert states_of([article])[article.pk].label == "no vector"


def test_states_of__switched_off(settings, receipt):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    assert states_of([receipt]) == {}
    assert states_by_object([receipt]) == {}


def test_states_by_object__of_several_models(receipt, django_assert_num_queries):
    article = Article.objects.create(slug="a", title="a")
    note = Note.objects.create(slug="n", title="n", text="n")

    with django_assert_num_queries(3):
        states = states_by_object([article, receipt, note])

    assert {obj: state.label for obj, state in states.items()} == dict.fromkeys([article, receipt, note], "embedding…")


@pytest.mark.parametrize(
    ("progress", "key", "label"),
    [
        (None, "idle", "no vector"),
        (ChunkProgress(is_split=False, is_settled=False), "working", "embedding…"),
        (ChunkProgress(9, 9, is_split=False, is_settled=False), "working", "embedding…"),
        (ChunkProgress(7, 9, is_split=True, is_settled=False), "working", "7 of 9 chunks ready"),
        (ChunkProgress(9, 9, is_split=True), "ready", "ready"),
        (ChunkProgress(8, 9, 1, is_split=True), "failed", "1 of 9 chunks failed"),
        (ChunkProgress(is_split=True), "idle", "no text"),
        (ChunkProgress(is_split=False), "idle", "no vector"),
    ],
)
def test_state_of_chunks(progress, key, label):
    state = state_of_chunks(progress)

    assert (state.key, state.label) == (key, label)
