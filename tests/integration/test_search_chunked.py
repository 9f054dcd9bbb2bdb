"""Searches of long texts: chunks are read, the objects that have the texts are found."""

from __future__ import annotations

import pytest
from django.db import transaction

from embeddings import search
from embeddings.models import EmbeddingTask
from tests.testapp.models import Doc, DocChunk

pytestmark = pytest.mark.django_db

MODES = ["semantic", "keyword", "hybrid"]
LOCAL = {
    "default": {
        "BACKEND": "embeddings.providers.local.LocalProvider",
        "MODEL": "l2_supercat_256",
        "DIMENSIONS": 256,
    }
}
FRUIT = "# Apples\n\n" + "Red apples are sweet and grow on trees in an orchard. " * 6
TOOLS = "# Hammers\n\n" + "A claw hammer drives nails into wood, and pulls them out again. " * 6


@pytest.fixture(autouse=True)
def local_provider(settings):
    settings.EMBEDDING_PROVIDERS = LOCAL


@pytest.fixture
def docs(drain):
    docs = {
        "both": Doc.objects.create(title="Garden and shed", content=f"{FRUIT}\n\n{TOOLS}", views=1),
        "tools": Doc.objects.create(title="Shed", content=TOOLS, views=2),
        "fruit": Doc.objects.create(title="Garden", content=FRUIT, views=3),
    }
    drain()
    assert DocChunk.objects.filter(embedding=None).count() == 0
    return docs


@pytest.mark.parametrize("mode", MODES)
def test_search__finds_each_text_once_by_its_best_chunk(docs, mode, django_assert_num_queries):
    Doc.objects.search("hammer nails", mode=mode)

    found = Doc.objects.search("hammer nails", mode=mode)
    with django_assert_num_queries(1):
        found = list(found)

    assert {doc.title for doc in found[:2]} == {"Garden and shed", "Shed"}
    assert len({doc.pk for doc in found}) == len(found)
    for doc in found[:2]:
        assert "hammer" in doc.passage
        assert doc.content[doc.passage_start :].startswith(doc.passage)
        assert DocChunk.objects.get(pk=doc.chunk_id).text == doc.passage
    expected = {"semantic": "semantic", "keyword": "keyword", "hybrid": "both"}
    assert found[0].found_by == expected[mode]


@pytest.mark.parametrize("mode", MODES)
def test_search__stays_within_the_queryset(docs, mode):
    found = Doc.objects.filter(views__gte=2).search("hammer nails", mode=mode)

    assert {doc.title for doc in found} <= {"Shed", "Garden"}
    assert found[0].title == "Shed"
    assert found.filter(views=3).exclude(title="Shed").count() == len(found) - 1


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_search__unsplit_texts_are_found_by_their_own_words(docs, mode):
    Doc.objects.create(title="New", content="A mallet is a hammer of wood.")

    found = {doc.title: doc for doc in Doc.objects.search("mallet hammer", mode=mode)}

    assert found["New"].found_by == "keyword"
    assert (found["New"].passage, found["New"].passage_start, found["New"].chunk_id) == (None, None, None)
    assert found["Shed"].passage


def test_search__only_unsplit_texts():
    Doc.objects.create(title="New", content="A mallet is a hammer of wood.")

    assert [doc.passage for doc in Doc.objects.search("hammer")] == [None]
    assert [hit.passage for hit in search.across([Doc.objects.all()], "hammer").hits] == [None]


@pytest.mark.parametrize("status", ["pending", "failed", "cancelled", "empty"])
def test_search__asks_the_ledger_which_texts_are_unsplit(docs, status):
    doc = Doc.objects.create(title="New", content="A mallet is a hammer of wood.")
    EmbeddingTask.objects.filter(object_id=str(doc.pk), field="chunking").update(status=status)
    DocChunk.objects.filter(doc=docs["tools"]).delete()  # behind the ledger's back, which says that it is split

    found = {doc.title: doc.passage for doc in Doc.objects.search("hammer", mode="keyword")}

    assert found.keys() == {"New", "Garden and shed"}
    assert found["New"] is None


def test_search__switched_off_finds_texts_of_which_no_ledger_knows(settings):
    settings.EMBEDDINGS = {"ENABLED": False}
    Doc.objects.create(title="New", content="A mallet is a hammer of wood.")

    assert not EmbeddingTask.objects.exists()
    assert [doc.title for doc in Doc.objects.search("mallet")] == ["New"]


def test_search__locks_the_objects_only(docs):
    with transaction.atomic():
        found = Doc.objects.select_for_update().search("hammer nails")[:2]

        assert {doc.title for doc in found} == {"Garden and shed", "Shed"}


def test_search__chunks_themselves(docs):
    found = DocChunk.objects.filter(doc__views=2).search("hammer nails")

    assert {chunk.doc for chunk in found} == {docs["tools"]}


def test_search__degraded_keeps_passages(docs, settings):
    openai = {"BACKEND": "embeddings.providers.openai.OpenAIProvider", "MODEL": "m", "DIMENSIONS": 256}
    settings.EMBEDDING_PROVIDERS = {"default": {**openai, "OPTIONS": {"BASE_URL": "http://127.0.0.1:9/v1"}}}

    found = Doc.objects.search("hammer")

    assert found.degraded
    assert found[0].passage
    assert all("hammer" in doc.passage.lower() for doc in found)


def test_across__texts_carry_their_passages(docs):
    (first, *_) = search.across([Doc.objects.all()], "hammer nails").hits

    assert "hammer" in first.passage
    assert first.object in {docs["both"], docs["tools"]}
    assert first.found_by == "both"
