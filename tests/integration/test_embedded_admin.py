"""An object's embedding on the object's own admin page."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote as admin_quote
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import timezone

from embeddings.models import AuditEvent, EmbeddingTask, Priority, Status
from tests.testapp.models import Doc, DocChunk, Essay, Memo, Post, Receipt, Restaurant, Word

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def _own_site(settings) -> None:
    settings.ROOT_URLCONF = "tests.integration.embedded_urls"
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}


@pytest.fixture
def staff(client: Client):
    """Log in a member of staff who has exactly these permissions."""

    def log_in(*names: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        for name in names:
            app, codename = name.split(".")
            user.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label=app))
        client.force_login(user)
        return client

    return log_in


def page_of(obj: Any, site: str = "ops") -> str:
    return f"/{site}/testapp/{obj._meta.model_name}/{quote(str(admin_quote(obj.pk)))}/change/"


def again_url(obj: Any, field: str = "embedding") -> str:
    return page_of(obj).replace("/change/", f"/embed-again/{field}/")


def panel(client: Client, obj: Any, **options: str) -> str:
    """The block, as it is in the page."""
    response = client.get(page_of(obj, **options))

    assert response.status_code == 200
    _, found, rest = response.content.decode().partition("embeddings-panel")
    return rest.partition("</fieldset>")[0] if found else ""


def words(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html.partition(">")[2])).split())


def task_of(obj: Any, field: str = "embedding") -> EmbeddingTask:
    return EmbeddingTask.objects.using(obj._state.db).get(object_id=str(obj.pk), field=field)


def change(task: EmbeddingTask, **values: Any) -> None:
    EmbeddingTask.objects.filter(pk=task.pk).update(**values)


class TestPanel:
    @pytest.mark.parametrize(
        ("obj", "labels"),
        [
            (lambda: Post.objects.create(title="a"), ["Embedding:"]),
            (lambda: Receipt.objects.create(merchant="a", text="b"), ["Merchant embedding:", "Text embedding:"]),
            (lambda: Essay.objects.create(title="a"), ["Embedding:"]),
            (lambda: Restaurant.objects.create(name="a", menu="b"), ["Embedding:", "Menu embedding:"]),
            (lambda: Doc.objects.create(title="a", content="b"), ["Chunks:"]),
        ],
        ids=["fields", "fieldsets", "overridden", "inherited", "split"],
    )
    def test_panel__is_on_any_page(self, admin_client, obj, labels):
        html = panel(admin_client, obj())

        assert re.findall(r"<label[^>]*>([^<]*)</label>", html) == labels
        assert html.count(">pending</span>") == len(labels)
        assert html.count("Embed again…</a>") == len(labels)
        assert html.count('">History</a>') == len(labels)

    def test_panel__is_not_where_an_object_is_added(self, admin_client):
        response = admin_client.get("/ops/testapp/post/add/")

        assert response.status_code == 200
        assert "embeddings-panel" not in response.content.decode()

    def test_panel__is_there_after_a_form_with_errors(self, admin_client):
        post = Post.objects.create(title="a")

        response = admin_client.post(page_of(post), {"title": ""})

        assert "This field is required" in response.content.decode()
        assert "embeddings-panel" in response.content.decode()

    def test_panel__leaves_saving_alone(self, admin_client):
        post = Post.objects.create(title="a")

        response = admin_client.post(page_of(post), {"title": "b", "body": ""})

        post.refresh_from_db()
        assert (response.status_code, post.title) == (302, "b")

    def test_panel__of_what_is_done_says_what_is_there(self, admin_client, drain):
        post = Post.objects.create(title="a")
        drain()

        text = words(panel(admin_client, post))

        assert "completed The vector is stored" in text
        assert re.search(r"A vector of 256 dimensions by \S+, made \d+ s ago\.", text)

    def test_panel__of_a_failure_says_why_and_what_to_do(self, admin_client):
        post = Post.objects.create(title="a")
        error = {
            "error_kind": "input",
            "error_class": "InputTooLong",
            "error_message": "<Too> long.",
            "error_status": 400,
        }
        change(task_of(post), status=Status.FAILED, **error)

        text = words(panel(admin_client, post))

        assert "failed It is not tried again by itself." in text
        assert "InputTooLong, HTTP 400 <Too> long." in text
        assert "Change the object and save it" in text
        assert "There is no vector yet" in text

    def test_panel__of_an_edit_says_that_the_old_vector_is_there_meanwhile(self, admin_client, drain):
        post = Post.objects.create(title="a")
        drain()
        post.title = "b"
        post.save()

        assert "The vector of an older text is there meanwhile: 256 dimensions" in words(panel(admin_client, post))

    def test_panel__of_no_task_says_so_and_offers_one(self, admin_client):
        post = Post.objects.create(title="a")
        EmbeddingTask.objects.all().delete()

        html = panel(admin_client, post)

        assert "no task Nobody has asked for it" in words(html)
        assert "Embed again…" in html
        assert "History" not in html

    def test_panel__of_a_split_text_says_how_many_chunks_are_ready(self, admin_client, drain):
        doc = Doc.objects.create(title="a", content="one two three. " * 100)
        drain()
        chunk = DocChunk.objects.first()
        change(task_of(chunk), status=Status.FAILED, completed_at=None)

        text = words(panel(admin_client, doc))

        total = DocChunk.objects.count()
        assert f"{total - 1} of {total} chunks ready, 1 failed." in text

    def test_panel__shows_a_reader_the_state_and_no_button(self, staff):
        post = Post.objects.create(title="a")

        html = panel(staff("testapp.view_post"), post)

        assert ">pending</span>" in html
        assert "Embed again" not in html
        assert "History" not in html

    def test_panel__leads_to_the_task_only_on_a_site_with_our_pages(self, admin_client):
        post = Post.objects.create(title="a")

        assert f'href="/ops/embeddings/embeddingtask/{task_of(post).pk}/change/"' in panel(admin_client, post)
        assert "History" not in panel(admin_client, post, site="bare")

    @pytest.mark.parametrize("embeddings", [{"ENABLED": False}, {"DATABASES": ["other"]}])
    def test_panel__is_not_where_nothing_is_recorded(self, admin_client, settings, embeddings):
        post = Post.objects.create(title="a")
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, **embeddings}

        assert panel(admin_client, post) == ""
        assert admin_client.post(again_url(post)).status_code == 404


class TestEmbedAgain:
    def test_get__asks_and_changes_nothing(self, admin_client, drain):
        post = Post.objects.create(title="A post")
        drain()

        response = admin_client.get(again_url(post))

        html = response.content.decode()
        assert "not saved" in html
        assert f'<a href="{page_of(post)}">No, take me back</a>' in html
        assert task_of(post).status == Status.COMPLETED

    def test_post__opens_the_task_ahead_of_everything_else(self, admin_client, drain):
        post = Post.objects.create(title="a")
        drain()

        response = admin_client.post(again_url(post), follow=True)

        task = task_of(post)
        assert (task.status, task.priority, task.fingerprint) == (Status.PENDING, Priority.HIGH, "")
        assert response.redirect_chain == [(page_of(post), 302)]
        assert "will be embedded again, ahead of everything else" in response.content.decode()

    def test_post__makes_the_vector_of_an_unchanged_text_anew(self, admin_client, drain):
        post = Post.objects.create(title="a")
        drain()
        post.refresh_from_db()
        before = post.embedding
        Post.objects.update(embedding=[1.0] * 256)

        admin_client.post(again_url(post))
        drain()

        post.refresh_from_db()
        assert post.embedding == before

    def test_post__does_not_wait_for_a_targets_delay(self, admin_client):
        memo = Memo.objects.using("other").create(text="a")

        admin_client.post(again_url(memo))

        task = task_of(memo)
        assert (task.priority, task.available_at is None or task.available_at <= timezone.now()) == ("high", True)

    def test_post__of_an_object_that_was_never_queued(self, admin_client):
        post = Post.objects.create(title="a")
        EmbeddingTask.objects.all().delete()

        admin_client.post(again_url(post))

        assert task_of(post).status == Status.PENDING

    def test_post__of_one_field_leaves_the_other_alone(self, admin_client, drain):
        receipt = Receipt.objects.create(merchant="a", text="b")
        drain()

        admin_client.post(again_url(receipt, "text_embedding"))

        assert task_of(receipt, "text_embedding").status == Status.PENDING
        assert task_of(receipt, "merchant_embedding").status == Status.COMPLETED

    def test_post__of_a_split_text_makes_its_chunks_anew(self, admin_client, drain):
        doc = Doc.objects.create(title="a", content="one two three. " * 100)
        drain()
        before = {chunk.pk: chunk.embedding for chunk in DocChunk.objects.all()}
        DocChunk.objects.update(embedding=[1.0] * 256)

        admin_client.post(again_url(doc, "chunking"))
        drain()

        assert len(before) > 1
        assert {chunk.pk: chunk.embedding for chunk in DocChunk.objects.all()} == before
        assert set(EmbeddingTask.objects.values_list("status", flat=True)) == {Status.COMPLETED}

    @pytest.mark.parametrize("key", ["cat", "ice cream", "a/b", "ü_5F?"])
    def test_post__of_any_key(self, admin_client, drain, key):
        word = Word.objects.create(word=key, meaning="m")
        drain()

        link = re.search(r'href="([^"]*embed-again[^"]*)"', panel(admin_client, word))
        response = admin_client.post(link[1])

        assert response.status_code == 302
        assert task_of(word).status == Status.PENDING

    def test_post__of_the_other_database(self, admin_client):
        memo = Memo.objects.using("other").create(text="a")
        EmbeddingTask.objects.using("other").all().delete()

        html = panel(admin_client, memo)
        admin_client.post(again_url(memo))

        assert "no task" in html
        assert task_of(memo).status == Status.PENDING
        assert not EmbeddingTask.objects.exists()
        entry = LogEntry.objects.get()
        assert entry.object_id == str(memo.pk)

    def test_post__is_logged_for_the_object_and_its_task_and_audited(self, admin_client):
        post = Post.objects.create(title="a")

        admin_client.post(again_url(post))

        types = ContentType.objects.get_for_models(Post, EmbeddingTask)
        entries = set(LogEntry.objects.values_list("content_type_id", "object_id"))
        assert entries == {(types[Post].pk, str(post.pk)), (types[EmbeddingTask].pk, str(task_of(post).pk))}
        event = AuditEvent.objects.get(kind="requested")
        assert (event.by, event.subject) == ("admin", "testapp.post.embedding")
        assert event.message == f"testapp.Post {post.pk} is embedded again."

    @pytest.mark.parametrize(
        "permissions",
        [
            ("testapp.view_post",),
            ("embeddings.retry_embeddingtask",),
            ("testapp.view_post", "embeddings.view_embeddingtask"),
        ],
    )
    def test_post__is_refused_without_both_permissions(self, staff, permissions):
        post = Post.objects.create(title="a")
        version = task_of(post).version
        client = staff(*permissions)

        assert client.get(again_url(post)).status_code == 403
        assert client.post(again_url(post)).status_code == 403
        assert task_of(post).version == version

    def test_post__needs_no_more_than_both_permissions(self, staff):
        post = Post.objects.create(title="a")
        client = staff("testapp.view_post", "embeddings.retry_embeddingtask")

        assert "Embed again…" in panel(client, post)
        assert client.post(again_url(post)).status_code == 302
        assert task_of(post).version == 2

    def test_post__is_refused_where_it_is_forged(self, admin_user):
        post = Post.objects.create(title="a")
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)

        assert client.post(again_url(post)).status_code == 403
        assert task_of(post).version == 1

    def test_post__of_nobody_leads_to_the_login(self, client):
        post = Post.objects.create(title="a")

        assert "/login/" in client.post(again_url(post)).url
        assert task_of(post).version == 1

    @pytest.mark.parametrize(
        "path", ["999999/embed-again/embedding/", "x/embed-again/embedding/", "{}/embed-again/title/"]
    )
    def test_any__of_what_is_not_there(self, admin_client, path):
        post = Post.objects.create(title="a")
        url = f"/ops/testapp/post/{path.format(post.pk)}"

        assert admin_client.get(url).status_code == 404
        assert admin_client.post(url).status_code == 404
