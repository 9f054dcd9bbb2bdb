"""The OpenAPI schema: it says all of every operation, and the server answers as it says."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from drf_spectacular.generators import SchemaGenerator

from embeddings import pauses
from embeddings.models import EmbeddingBatch, EmbeddingTask, Pause, ProviderState, Status
from project.content.models import Article, Block, Note, Page, Receipt, Recommendation, Workspace
from tests.integration import schema_run
from tests.integration.conftest import Workers
from tests.ledger_rows import make_task


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def operations(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{"GET /api/…": the operation}"""
    return {
        f"{method.upper()} {path}": operation
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }


# What it says.


def test_schema__sums_up_and_tags_every_operation(schema):
    wanting = [label for label, each in operations(schema).items() if not (each.get("summary") and each.get("tags"))]

    assert wanting == []


def test_schema__explains_and_shows_every_operation_of_the_package(schema):
    ours = {label: each for label, each in operations(schema).items() if " /api/embeddings/" in label}

    assert [label for label, each in ours.items() if not each.get("description")] == []
    assert [label for label, each in ours.items() if not _has_examples(each)] == []


def _has_examples(operation: dict[str, Any]) -> bool:
    """Of each good answer, and of what is sent."""
    shown = [answer for status, answer in operation["responses"].items() if status < "300" and answer.get("content")]
    shown += [operation["requestBody"]] if "requestBody" in operation else []
    return all(each["content"]["application/json"].get("examples") for each in shown)


@pytest.mark.parametrize("status", ["400", "401", "403", "406"])
def test_schema__tells_what_every_operation_may_answer(schema, status):
    assert [label for label, each in operations(schema).items() if status not in each["responses"]] == []


def test_schema__tells_what_may_be_wrong_with_a_body(schema):
    with_body = {label: each for label, each in operations(schema).items() if "requestBody" in each}

    assert with_body
    assert [label for label, each in with_body.items() if not {"413", "415"} <= set(each["responses"])] == []


@pytest.mark.parametrize(
    "label",
    ["POST /api/embeddings/texts/", "GET /api/embeddings/search/", "POST /api/embeddings/providers/{alias}/ping/"],
)
def test_schema__tells_who_is_throttled(schema, label):
    assert "429" in operations(schema)[label]["responses"]


# What the server says.


@pytest.fixture
def site(live_server: Any, workers: Workers, transactional_db: None) -> str:
    """The address of a site with a worker, an operator who may do everything, and a reader who may do nothing."""
    User.objects.create_superuser("operator", password="operator")
    User.objects.create_user("reader", password="reader")
    workers.started()
    url: str = live_server.url
    return url


def known() -> dict[str, list[Any]]:
    """Keys of objects that are there, by the parameters that take them."""
    page = Page.objects.create(workspace=Workspace.objects.create(name="home"), title="a page", content="Some words.")
    block = Block.objects.create(page=page, text="a block")
    recommendation = Recommendation.objects.create(title="a title", text="a text")
    receipt = Receipt.objects.create(merchant="a shop", purchased_on="2026-01-31", total=1, text="a receipt")
    note = Note.objects.create(slug="a-note", title="a note", text="its text")
    article = Article.objects.create(slug="an-article", title="an article", content="its content")
    batch = EmbeddingBatch.objects.create(name="a batch")
    tasks = [make_task(status, batch=batch).pk for status in Status.values]
    ProviderState.objects.create(alias="default", last_error="503: busy")
    return {
        "path.id": [page.pk, block.pk, recommendation.pk, receipt.pk, str(note.pk)],
        "path.page_id": [page.pk],
        "path.batch_id": [batch.pk],
        "path.task_id": tasks,
        "path.slug": [article.slug],
        "path.alias": ["default"],
        "path.name": ["default"],
        "path.model": ["content.article"],
        "path.object_id": [str(article.pk)],
        "query.q": ["words"],
        "query.model": ["content.article", "content.page"],
        "query.target": ["content.article.embedding"],
        "query.provider": ["default"],
    }


def go_on() -> None:
    """Lift what the last operation has paused, so that the next stands on firm ground."""
    Pause.objects.all().delete()
    pauses.forget()


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize("who", ["operator", "reader", ""])
def test_server__answers_as_the_schema_says(schema, site, who):
    done = schema_run.run(site, schema, known(), who=who, after=go_on)

    labels = set(operations(schema))
    assert not done.problems, str(done)
    assert set(done.statuses) == labels
    if who == "operator":
        assert len(done.succeeded) > 0.7 * len(labels), sorted(labels - done.succeeded)
    else:
        assert done.succeeded == set()
    assert EmbeddingTask.objects.exists()
