"""The page of what went wrong, and the way from it to the tasks."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import timezone

from embeddings import stats
from embeddings.models import EmbeddingTask, Status
from project.content.models import Article
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(databases=["default", "other"])

PAGE = "/admin/embeddings/failuregroup/"
LIST = "/admin/embeddings/embeddingtask/"
SIGNATURE = "input: InputRejected 400: Bad & ugly: …"


@pytest.fixture
def staff(client: Client):
    """Log in a member of staff who has exactly these permissions."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client.force_login(user)
        return client

    return log_in


def shown(client: Client, url: str = PAGE) -> str:
    response = client.get(url)

    assert response.status_code == 200
    return response.content.decode()


def text_of(html: str) -> str:
    """What a reader sees of a page's content."""
    content = html.split('class="embeddings-page">')[1]
    return " ".join(unescape(re.sub("<[^>]+>", " ", content)).split())


def failed(count: int = 1, **values: object) -> list[EmbeddingTask]:
    error = {"error_signature": SIGNATURE, "error_status": 400, "error_message": "Bad & <ugly>: 7."}
    return [make_task(Status.FAILED, **{**error, **values}) for _ in range(count)]


def test_page__without_failures_says_so(admin_client) -> None:
    make_task(Status.COMPLETED)

    assert "Nothing has failed" in shown(admin_client)


def test_page__says_how_many_what_and_what_to_do(admin_client) -> None:
    failed(3)

    text = text_of(shown(admin_client))

    assert text.startswith("3 tasks failed")
    assert "3 tasks : the text was refused, or could not be made" in text
    assert "InputRejected, HTTP 400 Bad & <ugly>: 7." in text
    assert "Change the object and save it" in text
    assert re.search(r"Last seen \d+ s ago First seen \d+ s ago", text)


def test_page__leads_to_exactly_the_tasks_of_a_group(admin_client) -> None:
    mine = failed(2)
    failed(1, error_signature="input: InputRejected 400: Good")
    make_task(Status.SCHEDULED, error_signature=SIGNATURE)

    links = [unescape(link) for link in re.findall(r'href="([^"]*signature[^"]*)"', shown(admin_client))]
    to_mine = [link for link in links if parse_qs(urlsplit(link).query)["signature"] == [SIGNATURE]]

    paths = [urlsplit(link).path for link in to_mine]
    assert paths == [f"{LIST}bulk/retry/", f"{LIST}bulk/cancel/", f"{LIST}bulk/clear/", LIST]
    assert {parse_qs(urlsplit(link).query)["status__exact"][0] for link in to_mine} == {"failed"}
    found = re.findall(r'name="_selected_action" value="(\d+)"', shown(admin_client, to_mine[-1]))
    assert {int(pk) for pk in found} == {task.pk for task in mine}


def test_page__links_examples_and_shows_their_titles_to_who_may_view_them(staff) -> None:
    article = Article.objects.create(slug="a", title="Our secret plans")
    EmbeddingTask.objects.all().delete()
    (task,) = failed(model=Article, object_id=str(article.pk))

    html = shown(staff("view_embeddingtask", "view_article"))

    assert f'<a href="{LIST}{task.pk}/change/">Article {article.pk}</a>' in html
    assert "Our secret plans" in html


def test_page__keeps_titles_from_who_may_not_view_the_objects(staff) -> None:
    article = Article.objects.create(slug="a", title="Our secret plans")
    EmbeddingTask.objects.all().delete()
    failed(model=Article, object_id=str(article.pk))

    html = shown(staff("view_embeddingtask"))

    assert f"Article {article.pk}" in html
    assert "secret" not in html


@pytest.mark.parametrize("key", ["neither number nor UUID", "99999999999999999999"])
def test_page__of_objects_that_cannot_be(admin_client, key) -> None:
    failed(object_id=key)

    assert f"Post {key}" in shown(admin_client)


def test_page__of_models_that_are_gone(admin_client) -> None:
    failed(content_type=ContentType.objects.create(app_label="attic", model="chair"), object_id="3")

    assert "attic.chair 3" in shown(admin_client)


def test_page__costs_the_same_queries_whatever_the_groups(admin_client, django_assert_num_queries) -> None:
    for number in range(20):
        post = Post.objects.create(title=f"Post {number}")
        EmbeddingTask.objects.filter(object_id=str(post.pk)).delete()
        failed(object_id=str(post.pk), error_signature=f"input: E: {'x' * number}")
    shown(admin_client)  # content types are cached from here on

    # Session, user, savepoint, limit, groups, rolled back and released, the examples, their objects.
    with django_assert_num_queries(9):
        html = shown(admin_client)

    assert html.count("embeddings-group") == 20


def test_page__of_another_database_says_where_its_tasks_are_not(admin_client, settings) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
    now = timezone.now()
    EmbeddingTask.objects.using("other").create(
        content_type_id=ContentType.objects.db_manager("other").get_for_model(Post).pk,
        object_id="7",
        field="embedding",
        provider="default",
        status=Status.FAILED,
        error_signature=SIGNATURE,
        sort_key=now,
        created_at=now,
        updated_at=now,
    )

    html = shown(admin_client)

    assert "database other" in text_of(html)
    assert "for the default database only" in html
    assert "/bulk/" not in html
    assert "/change/" not in html.split('class="embeddings-page">')[1]


def test_page__offers_who_may_only_view_no_buttons(staff) -> None:
    failed()

    html = shown(staff("view_embeddingtask"))

    assert "/bulk/" not in html
    assert "See it in the list" in html


@pytest.mark.parametrize("permissions", [(), ("view_embeddingbatch",)])
def test_page__is_for_who_may_view_tasks(staff, permissions) -> None:
    assert staff(*permissions).get(PAGE).status_code == 403


def test_page__is_listed_for_who_may_view_tasks_and_changes_nothing(staff) -> None:
    client = staff("view_embeddingtask")

    assert f'href="{PAGE}"' in shown(client, "/admin/embeddings/")
    assert client.get(f"{PAGE}add/").status_code == 404
    assert client.get(f"{PAGE}1/change/").status_code == 404


def test_page__says_where_counting_was_stopped(admin_client, monkeypatch) -> None:
    monkeypatch.setitem(stats.failures.__globals__, "MOST_COUNTED", 2)
    failed(3)

    text = text_of(shown(admin_client))

    assert "2+ tasks failed" in text
    assert "Retry these 2+…" in text
