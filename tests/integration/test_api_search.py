"""Search over the API."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from embeddings import exceptions
from embeddings.providers import get_search_provider
from project.content.models import Article
from tests.integration.api_clients import API, problem
from tests.testapp.models import Doc, Post, Receipt, Word

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
class TestSearch:
    def search(self, client: APIClient, **parameters: Any) -> Any:
        return client.get(f"{API}search/", {"model": "content.article", "q": "run a program", **parameters})

    def test_search__finds_by_both_ways(self, api, drain):
        article = Article.objects.create(slug="subprocess.run", title="subprocess.run", content="run a program")
        Article.objects.create(slug="math.sin", title="math.sin", content="the sine of x")
        drain()

        data = self.search(api("view_article")).json()["data"]

        (best, *_) = data["results"]
        assert data["degraded"] is False
        assert best["score"] > 0
        assert {name: best[name] for name in ("object_id", "title", "found_by", "url")} == {
            "object_id": str(article.pk),
            "title": "subprocess.run",
            "found_by": "both",
            "url": article.get_absolute_url(),
        }

    @pytest.mark.parametrize("mode", ["semantic", "keyword"])
    def test_search__finds_by_the_way_that_is_asked_for(self, api, drain, mode):
        for name in ("one", "two", "three"):
            Article.objects.create(slug=name, title=name, content="run a program")
        drain()

        results = self.search(api("view_article"), mode=mode, limit=2).json()["data"]["results"]

        assert [hit["found_by"] for hit in results] == [mode, mode]

    def test_search__costs_few_queries(self, api, drain, django_assert_num_queries):
        for number in range(10):
            Article.objects.create(slug=f"a{number}", title="run", content="a program")
        drain()
        client = api("view_article")
        self.search(client)

        # The query's vector and words are remembered: whether there are vectors of other models, and the search.
        with django_assert_num_queries(2):
            assert len(self.search(client).json()["data"]["results"]) == 10

    def test_search__says_when_only_words_were_compared(self, api, monkeypatch):
        Article.objects.create(slug="a", title="run a program")
        _break_provider(monkeypatch)

        data = self.search(api("view_article")).json()["data"]

        assert data["degraded"] is True
        assert [hit["found_by"] for hit in data["results"]] == ["keyword"]

    def test_search__has_no_address_where_there_is_none(self, api):
        Post.objects.create(title="run a program")

        data = self.search(api("view_post"), model="testapp.Post", mode="keyword").json()["data"]

        assert [hit["url"] for hit in data["results"]] == [None]

    def test_search__asks_for_the_field_where_there_are_several(self, api):
        Receipt.objects.create(merchant="Baker", text="bread")
        client = api("view_receipt")
        parameters = {"model": "testapp.receipt", "q": "bread", "mode": "keyword"}

        code, message = problem(self.search(client, **parameters), 400)
        data = self.search(client, **parameters, field="text_embedding").json()["data"]

        assert code == "unsearchable"
        assert message.endswith("merchant_embedding, text_embedding.")
        assert len(data["results"]) == 1

    def test_search__says_what_to_do_where_words_are_not_searchable(self, api, drain):
        Word.objects.create(word="run", meaning="to move fast")
        drain()
        client = api("view_word")

        code, message = problem(self.search(client, model="testapp.word", mode="keyword"), 400)
        data = self.search(client, model="testapp.word").json()["data"]

        assert code == "unsearchable"
        assert message.endswith("Search it with mode=semantic.")
        assert [hit["object_id"] for hit in data["results"]] == ["run"]

    @pytest.mark.parametrize("mode", ["semantic", "hybrid"])
    def test_search__by_nothing_but_meaning_needs_the_provider(self, api, monkeypatch, mode):
        _break_provider(monkeypatch)

        response = self.search(api("view_word"), model="testapp.word", mode=mode)

        assert problem(response, 503)[0] == "unavailable"

    @pytest.mark.parametrize(
        ("parameters", "said"),
        [
            ({"q": ""}, "q: This field may not be blank."),
            ({"q": "x" * 1001}, "q: Ensure this field has no more than 1000 characters."),
            ({"q": "\0"}, "q: Null characters are not allowed."),
            ({"mode": "magic"}, 'mode: "magic" is none of hybrid, semantic, keyword.'),
            ({"limit": 101}, "limit: Ensure this value is less than or equal to 100."),
            ({"limit": 0}, "limit: Ensure this value is greater than or equal to 1."),
            ({"model": ""}, "model: This field may not be blank."),
        ],
    )
    def test_search__says_which_parameter_is_wrong(self, api, parameters, said):
        assert problem(self.search(api("view_article"), **parameters), 400) == ("invalid", said)

    def test_search__finds_in_several_models(self, api, drain):
        article = Article.objects.create(slug="a", title="run a program")
        post = Post.objects.create(title="run a program")
        doc = Doc.objects.create(title="Running", content="How to run a program.")
        drain()
        client = api("view_article", "view_post", "view_doc")

        data = self.search(client, model=["content.article", "testapp.Post", "testapp.doc"], limit=3).json()["data"]

        assert data["degraded"] is False
        hits = {hit["model"]: hit for hit in data["results"]}
        assert {model: hit["object_id"] for model, hit in hits.items()} == {
            "content.article": str(article.pk),
            "testapp.post": str(post.pk),
            "testapp.doc": str(doc.pk),
        }
        assert hits["testapp.doc"]["passage"] == "How to run a program."
        assert (hits["testapp.post"]["passage"], hits["testapp.post"]["url"]) == (None, None)

    def test_search__of_several_models_needs_each_permission(self, api):
        response = self.search(api("view_article"), model=["content.article", "testapp.post"])

        assert problem(response, 403)[1] == "This needs the permission testapp.view_post."

    def test_search__takes_a_field_of_one_model_only(self, api):
        response = self.search(api("view_article"), model=["content.article", "testapp.post"], field="embedding")

        assert problem(response, 400)[1] == "Name one model together with `field`, or several without it."

    def test_search__of_several_models_reads_the_own_field_of_one_that_has_inherited_another(self, api):
        response = self.search(api("view_article", "view_restaurant"), model=["content.article", "testapp.restaurant"])

        assert response.status_code == 200

    @pytest.mark.parametrize("label", ["auth.user", "nothing", "content.article.title"])
    def test_search__takes_only_embedded_models(self, api, label):
        code, message = problem(self.search(api("view_user"), model=label), 400)

        assert (code, message) == ("unsearchable", f"Nothing is embedded under '{label}'; write app.model.")


def _break_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(texts: list[str]) -> None:
        raise exceptions.TransientError("It is down.")

    monkeypatch.setattr(get_search_provider("default"), "embed", refuse)
