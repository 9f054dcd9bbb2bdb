from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from embeddings import pipeline
from project.content.kinds import Kind
from project.content.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/content/article/"


def make(count: int) -> None:
    Article.objects.bulk_create(
        Article(slug=f"m.{number}", title=f"m.{number}", content="text", kind=Kind.DOCUMENTATION)
        for number in range(count)
    )


def queries(client: Client) -> list[str]:

    with CaptureQueriesContext(connection) as captured:
        assert client.get(LIST).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def test_list__states(admin_client, redis_client):
    make(2)
    waiting = admin_client.get(LIST).content.decode()
    pipeline.Drain("test", seconds=30).run()
    ready = admin_client.get(LIST).content.decode()

    assert waiting.count(">embedding…<") == 2
    assert ready.count(">ready<") == 2


def test_list__no_query_a_row_and_no_vectors(admin_client):
    make(2)
    few = queries(admin_client)
    Article.objects.all().delete()
    make(40)
    many = queries(admin_client)

    assert len(few) == len(many)
    assert not [sql for sql in many if '"content_article"."embedding"' in sql]


def test_save__is_the_editors_and_is_embedded_again(admin_client, redis_client):
    make(1)
    pipeline.Drain("test", seconds=30).run()
    article = Article.objects.get()
    before = list(article.embedding)
    data = {"title": article.title, "slug": article.slug, "content": "Other text.", "source": ""}

    response = admin_client.post(f"{LIST}{article.pk}/change/", data)
    pipeline.Drain("test", seconds=30).run()

    article = Article.objects.get()
    assert response.status_code == 302
    assert article.kind == Kind.WRITTEN
    assert article.content == "Other text."
    assert list(article.embedding) != before


def test_save__unchanged_stays_the_loaders(admin_client):
    make(1)
    article = Article.objects.get()
    data = {"title": article.title, "slug": article.slug, "content": article.content, "source": ""}

    admin_client.post(f"{LIST}{article.pk}/change/", data)

    assert Article.objects.get().kind == Kind.DOCUMENTATION


def test_add__refuses_an_address_that_is_none(admin_client):
    data = {"title": "T", "slug": "/two//slashes", "content": "", "source": ""}

    response = admin_client.post(f"{LIST}add/", data)

    assert "Use words with dots" in response.content.decode()
    assert not Article.objects.exists()
