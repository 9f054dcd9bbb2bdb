from __future__ import annotations

import pytest
from django.test import Client
from django.utils.text import slugify

from embeddings.exceptions import TransientError
from embeddings.models import EmbeddingTask
from embeddings.providers.dummy import DummyProvider
from project.content.finding import CANDIDATES, MAX_GROUPS, MAX_QUERY
from project.content.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

HTMX = {"HX-Request": "true"}


@pytest.fixture
def articles() -> list[Article]:
    return [
        Article.objects.create(slug="m.sort", title="m.sort", content="Sort <b>apples</b> by size.", source="m"),
        Article.objects.create(slug="m.split", title="m.split", content="Split pears & plums.", source="m"),
    ]


@pytest.fixture
def switched_off(settings) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}


def make(count: int, source: str) -> None:
    Article.objects.bulk_create(
        Article(slug=f"{slugify(source) or 'none'}.{number}", title="apples", content="More apples.", source=source)
        for number in range(count)
    )


def page(client: Client, path: str, **options: object) -> str:
    response = client.get(path, **options)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_search__nothing_asked(client, articles):
    html = page(client, "/")

    assert "For example:" in html
    assert '<ol class="results">' not in html


def test_search__nothing_loaded(client):
    assert "load_content" in page(client, "/")
    assert "load_content" in page(client, "/?q=anything")


def test_search__by_words_while_no_vector_is_there(client, articles):
    html = page(client, "/?q=apples")

    assert html.count("<h2>") == 1
    assert '<a href="/articles/m.sort/">m.sort</a>' in html
    assert "Sort &lt;b&gt;<mark>apples</mark>&lt;/b&gt; by size." in html
    assert f'<span id="state-article-{articles[0].pk}" class="state working">embedding…</span>' in html


def test_search__by_meaning_when_vectors_are_there(client, articles, embed):
    embed()

    html = page(client, "/?q=whatever&mode=semantic")

    assert html.count("<h2>") == 1
    assert html.count('class="state ready"') == 2
    assert "2 best matches in" in html


def test_search__htmx_gets_results_alone(client, articles):
    html = page(client, "/?q=apples", headers=HTMX)

    assert "<html" not in html
    assert '<div id="progress" class="progress" hx-swap-oob="true"' in html
    assert "<mark>apples</mark>" in html


def test_search__htmx_restoring_history_gets_a_page(client, articles):
    html = page(client, "/?q=apples", headers={**HTMX, "HX-History-Restore-Request": "true"})

    assert "<html" in html


def test_search__caches_tell_page_and_results_apart(client):
    assert "HX-Request" in client.get("/").headers["Vary"]


def test_search__nothing_found(client, articles):
    html = page(client, "/", data={"q": "<zebra>", "mode": "keyword"})

    assert "Nothing was found for “&lt;zebra&gt;”." in html
    assert 'href="/?q=%3Czebra%3E&amp;mode=semantic">searching by meaning' in html


def test_search__no_vector_to_search_by_meaning(client, articles):
    html = page(client, "/?q=apples&mode=semantic")

    assert "No text has its vector yet." in html


@pytest.mark.parametrize("query", ["   ", "\0", "%00"])
def test_search__blank_query(client, articles, query):
    assert "For example:" in page(client, "/", data={"q": query.replace("%00", "\0")})


@pytest.mark.parametrize("query", ["a\0pples'", '"', "a & | ! b", "👩‍👩‍👧 ", "\\", "'; DROP TABLE x; --", "the of and"])
def test_search__any_query(client, articles, embed, query):
    embed()

    for mode in ("hybrid", "semantic", "keyword", "nonsense"):
        assert 'id="results"' in page(client, "/", data={"q": query, "mode": mode})


def test_search__too_long_query(client, articles):
    html = page(client, "/", data={"q": "apples " * MAX_QUERY})

    assert f"Only the first {MAX_QUERY} characters were looked for." in html
    assert "<mark>apples</mark>" in html


def test_search__at_most_so_many_groups(client):
    make(MAX_GROUPS + 5, source="")

    assert page(client, "/?q=apples&mode=keyword").count("<h2>") == MAX_GROUPS


def test_search__one_source_together(client):
    make(8, source="A & b")

    html = page(client, "/?q=apples&mode=keyword")

    assert html.count("<h2>") == 1
    assert html.count('name="shown" value="article.') == html.count("embedding…") == 3
    assert "3 best matches in" in html
    assert '<a class="more" href="/?q=apples&amp;mode=keyword&amp;source=A+%26+b">5 more from A &amp; b</a>' in html


def test_search__nothing_more_from_a_source_that_is_shown_whole(client):
    make(3, source="m")

    assert "more from" not in page(client, "/?q=apples")


def test_search__in_one_source(client):
    make(MAX_GROUPS + 8, source="m")
    make(3, source="other")

    html = page(client, "/?q=apples&mode=keyword&source=m")

    assert html.count("<h2>") == MAX_GROUPS + 8
    assert html.count("/articles/other.") == 0
    assert f"{MAX_GROUPS + 8} best matches in" in html
    assert '<p class="filter"><a href="/?q=apples&amp;mode=keyword"' in html
    assert '<input type="hidden" form="search" name="source" value="m">' in html


def test_search__in_one_source_and_nothing_found(client, articles):
    html = page(client, "/?q=zebra&mode=keyword&source=m")

    assert "Nothing was found for “zebra” in m." in html
    assert 'href="/?q=zebra&amp;mode=semantic&amp;source=m">searching by meaning' in html


@pytest.mark.parametrize("source", ["\0", "none", "x" * 5_000, "<b>"])
def test_search__in_any_source(client, articles, source):
    assert 'id="results"' in page(client, "/", data={"q": "apples", "source": source})


def test_search__signature_is_shown_but_not_searched(client):
    Article.objects.create(slug="m.f", title="m.f", signature="f(<pears>)", content="apples")

    assert "<code>f(&lt;pears&gt;)</code>" in page(client, "/?q=apples")
    assert "<code>f(&lt;pears&gt;)</code>" in page(client, "/articles/m.f/")
    assert "Nothing was found" in page(client, "/?q=pears&mode=keyword")


def test_search__keywords_are_searched_but_not_shown(client):
    Article.objects.create(slug="m.f", title="m.f", keywords="pears", content="apples")

    html = page(client, "/?q=pears&mode=keyword")

    assert "/articles/m.f/" in html
    assert html.count("pears") == 3  # what was typed: the title, the box, and where a log-in leads back to


def test_search__queries_do_not_grow_with_results(client, articles, django_assert_max_num_queries):
    make(CANDIDATES + 1, source="m")
    make(MAX_GROUPS, source="")

    with django_assert_max_num_queries(12):
        page(client, "/?q=apples&mode=keyword")


def test_search__provider_down(client, articles, embed, monkeypatch):
    embed()

    def fail(self: object, texts: object) -> None:
        raise TransientError

    monkeypatch.setattr(DummyProvider, "embed", fail)

    html = page(client, "/?q=apples")

    assert "these results are by words alone" in html
    assert "<mark>apples</mark>" in html


def test_search__switched_off(client, articles, switched_off):
    html = page(client, "/?q=apples&mode=semantic")

    assert "Search by meaning is switched off" in html
    assert "<mark>apples</mark>" in html
    assert 'name="mode"' not in html
    assert 'class="state' not in html


def test_search__switched_off_and_nothing_found(client, articles, switched_off):
    html = page(client, "/?q=zebra&mode=semantic")

    assert "Try fewer or other words." in html


@pytest.mark.parametrize("path", ["/", "/articles/m.sort/", "/status/", "/status.json"])
def test_pages__nobody_can_write(client, articles, path):
    for method in (client.post, client.put, client.patch, client.delete):
        assert method(path).status_code == 405


def test_article__waiting_then_ready(client, articles, embed):
    waiting = page(client, "/articles/m.sort/")
    embed()
    ready = page(client, "/articles/m.sort/")

    assert "Sort &lt;b&gt;apples&lt;/b&gt; by size." in waiting
    assert "embedding…" in waiting
    assert f'hx-get="/similar/articles/{articles[0].pk}/"' in waiting
    assert 'class="state ready"' in ready
    assert "hx-get" not in ready
    assert '<a href="/articles/m.split/">m.split</a>' in ready


def test_article__unknown(client):
    assert client.get("/articles/none/of/these/").status_code == 404


def test_article__slug_with_slashes(client):
    Article.objects.create(slug="readme/a-b/c", title="C", content="")

    assert '<h1 class="title">C</h1>' in page(client, "/articles/readme/a-b/c/")


def test_article__switched_off(client, articles, switched_off):
    html = page(client, "/articles/m.sort/")

    assert "Similar articles" not in html
    assert 'class="state' not in html


def test_similar__asks_again_until_ready(client, articles, embed):
    path = f"/similar/articles/{articles[0].pk}/"

    waiting = page(client, path)
    embed()
    ready = page(client, path)

    assert f'hx-get="{path}" hx-trigger="every 2s"' in waiting
    assert "hx-get" not in ready
    assert "m.split" in ready


def test_similar__does_not_wait_for_what_will_not_come(client):
    article = Article.objects.create(slug="m.a", title="m.a", content="text")
    EmbeddingTask.objects.all().delete()

    assert "hx-get" not in page(client, f"/similar/articles/{article.pk}/")


def test_status__asks_again_only_while_work_waits(client, articles, embed):
    waiting = page(client, "/status/")
    embed()
    ready = page(client, "/status/")

    assert 'hx-trigger="every 2s"' in waiting
    assert "<b>0</b> of 2 ready" in waiting
    assert "2 waiting" in waiting
    assert "hx-" not in ready
    assert "<b>2</b> of 2 ready" in ready


def test_status__states_of_what_is_shown(client, articles, embed):
    embed()
    keys = [articles[0].pk, "", "x", "-1", "²", "9" * 18, "9" * 30, "0", "\0"]
    shown = [*(f"article.{key}" for key in keys), f"page.{articles[0].pk}", "note.x", "nothing.1", "article", "."]

    html = page(client, "/status/", data={"shown": shown})

    assert html.count("hx-swap-oob") == 1
    assert f'<span id="state-article-{articles[0].pk}" class="state ready" hx-swap-oob="true">ready</span>' in html


def test_status_json__counts(client, articles, embed):
    before = client.get("/status.json").json()
    embed()
    Article.objects.create(slug="m.empty", title="m.new", content="pears")

    assert before == {"total": 2, "ready": 0, "waiting": 2, "failed": 0}
    assert client.get("/status.json").json() == {"total": 3, "ready": 2, "waiting": 1, "failed": 0}


def test_article__nul_is_in_no_slug(client):
    assert client.get("/articles/%00/").status_code == 404
