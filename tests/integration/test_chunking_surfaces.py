"""How operators see texts that are split: requeue_missing, checks, the admin and the API."""

# ruff: noqa: DJ008

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models
from django.db.models import Deferrable, ForeignKey
from django.test.utils import isolate_apps
from rest_framework.test import APIClient

from embeddings import checks, registry
from embeddings.chunking import pieces
from embeddings.chunks import Chunk, Chunking
from embeddings.fields import EmbeddingField
from embeddings.models import EmbeddingBatch, EmbeddingTask
from embeddings.providers.dummy import DummyProvider
from embeddings.registry import Splitting
from tests.integration.pages import content, is_ready, make_doc, tasks_of
from tests.testapp.models import Chapter, Doc, DocChunk, Post

LIST = "/admin/embeddings/embeddingtask/"


def execute(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def requeue(*arguments: str) -> str:
    out = io.StringIO()
    call_command("requeue_missing", "--model", "testapp.doc", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
class TestRequeue:
    def insert(self, count: int) -> None:
        """Docs that no signal has seen."""
        execute(
            "INSERT INTO testapp_doc (title, content, views) SELECT 'Title', %s, 0 FROM generate_series(1, %s)",
            content(3),
            count,
        )

    def test_dry_run__counts_and_writes_nothing(self):
        self.insert(3)

        output = requeue("--dry-run")

        assert "testapp.doc.chunking: 3 missing." in output
        assert (
            "To queue: the chunks of 3 objects, about 0 tokens, $0.0000, about 1 s; "
            "what chunks cost is known once the texts are split." in output
        )
        assert not EmbeddingTask.objects.exists()

    def test_requeue__splits_and_embeds_texts_that_were_never_split(self, drain):
        self.insert(3)

        output = requeue("--yes")
        drain()

        batch = EmbeddingBatch.objects.get()
        assert f"Queued the chunks of 3 objects as batch {batch.pk}." in output
        assert all(is_ready(doc) for doc in Doc.objects.all())
        assert set(tasks_of(DocChunk).values_list("priority", "batch")) == {("low", batch.pk)}

    def test_requeue__finds_a_text_that_was_changed_behind_our_back(self, drain):
        docs = [make_doc(3), make_doc(3)]
        drain()
        execute("UPDATE testapp_doc SET content = content || ' More.' WHERE id = %s", docs[0].pk)

        assert "1 current, 1 stale" in requeue("--dry-run")
        requeue("--yes")
        drain()

        assert all(is_ready(doc) for doc in docs)

    @pytest.mark.parametrize("which", ["index = 0", "index = 1", "index = 3"])
    def test_requeue__finds_a_text_that_has_lost_a_chunk(self, drain, which):
        doc = make_doc(4)
        drain()
        execute(f"DELETE FROM testapp_docchunk WHERE {which}")
        DummyProvider.reset()

        assert "1 stale" in requeue("--dry-run")
        requeue("--yes")
        drain()

        assert is_ready(doc)
        assert DummyProvider.inputs == 1

    def test_requeue__failed_splits(self, drain, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "split", lambda *args: 1 / 0)
            doc = make_doc(2)
            drain()
        assert "1 failed" in requeue("--dry-run")

        requeue("--yes", "--failed")
        drain()

        assert is_ready(doc)

    def test_requeue__leaves_what_is_current_or_queued(self, drain):
        make_doc(3)
        Doc.objects.create(content="   ")
        drain()
        make_doc(2)

        output = requeue("--dry-run")

        assert "testapp.doc.chunking: 2 current, 1 queued." in output

    def test_requeue__rows_and_texts_together(self):
        self.insert(1)
        execute("INSERT INTO testapp_post (title, body, views) VALUES ('post', '', 0)")
        out = io.StringIO()

        call_command("requeue_missing", "--dry-run", stdout=out)

        assert "To queue: 1 rows and the chunks of 1 object, about 1 tokens" in out.getvalue()


@pytest.mark.django_db
class TestAdminAndApi:
    def test_task_list__shows_tasks_that_split(self, admin_client):
        doc = make_doc(2)

        html = admin_client.get(LIST).content.decode()

        assert f"Doc {doc.pk}" in html

    def test_task_page__says_that_it_splits(self, admin_client, task_of):
        task = task_of(make_doc(2), "chunking")

        html = admin_client.get(f"{LIST}{task.pk}/change/").content.decode()

        assert "none: this task splits a text" in html
        assert "testapp.doc.chunking" in html

    def test_task_list__finds_a_text_by_its_key(self, admin_client):
        doc = make_doc(2)

        html = admin_client.get(LIST, {"q": str(doc.pk)}).content.decode()

        assert f"Doc {doc.pk}" in html

    def test_task_list__filters_tasks_that_split(self, admin_client):
        doc, post = make_doc(2), Post.objects.create(title="a post")

        html = admin_client.get(LIST, {"provider": ""}).content.decode()

        assert f"Doc {doc.pk}" in html
        assert f"Post {post.pk}" not in html
        assert ">none: splits a text<" in html

    def test_api__lists_tasks_that_split(self, admin_user, task_of):
        doc = make_doc(2)
        client = APIClient()
        client.force_authenticate(admin_user)

        (task,) = client.get("/api/embeddings/tasks/", {"model": "testapp.doc"}).json()["data"]["results"]
        detail = client.get(f"/api/embeddings/tasks/{task['id']}/").json()["data"]

        assert (task["model"], task["object_id"], task["field"]) == ("testapp.doc", str(doc.pk), "chunking")
        assert (detail["provider"], detail["model_id"], detail["dimensions"]) == ("", "", None)


@pytest.fixture
def registered() -> Iterator[None]:
    """Forget what a test registers, and restore what it replaces: isolated apps register theirs anew."""
    before = list(registry.all_derived())
    yield
    for each in set(registry.all_derived()).difference(before):
        registry.remove(each.model, each.field)
    for each in before:
        registry.add(each)


def of(**options: Any) -> list[str]:
    """What the checks say of another Chunking in place of Doc's: ids and sentences."""
    (present,) = registry.splittings_for(Doc)
    registry.add(Splitting(**{"model": Doc, "field": "chunking", "source": "content", **options}))
    try:
        found = [f"{message.id}: {message.msg}" for message in checks.check_chunking(None)]
        return [message for message in found if "testapp.doc" in message.lower()]
    finally:
        registry.add(present)


class TestChecks:
    def test_checks__test_models_are_clean(self):
        assert checks.check_chunking(None) == []

    def test_embeddings_E030(self, monkeypatch):
        monkeypatch.setattr(pieces, "is_installed", lambda: False)

        (error,) = checks.check_chunking(None)

        assert (error.id, error.hint) == ("embeddings.E030", 'Run: pip install "django-rq-embeddings[chunks]"')

    def test_embeddings_E031__no_chunk_model(self, registered):
        registry.add(Splitting(model=Post, field="chunking", source="body"))

        errors = checks.check_chunking(None)

        assert [error.id for error in errors] == ["embeddings.E031"]
        assert "testapp.post.chunking has no model for its chunks." in errors[0].msg
        assert "a ForeignKey to testapp.Post" in errors[0].hint

    def test_embeddings_E031__several_chunk_models(self, monkeypatch):
        (field,) = Splitting(model=Doc, field="chunking", source="content").parent_fields()
        monkeypatch.setattr(Splitting, "parent_fields", lambda self: [field, field])

        assert "several foreign keys of chunk models to choose from: testapp.DocChunk.doc" in of()[0]

    def test_embeddings_E032(self, registered):
        registry.add(Splitting(model=Doc, field="more", source="title"))

        errors = checks.check_chunking(None)

        assert {error.id for error in errors} == {"embeddings.E032"}
        assert "testapp.doc.chunking and testapp.doc.more are split into the same chunks." in errors[0].msg

    def test_embeddings_E033(self):
        (target,) = registry.targets_for(DocChunk)
        registry.remove(DocChunk, "embedding")
        try:
            errors = checks.check_chunking(None)
        finally:
            registry.add(target)

        assert [error.id for error in errors] == ["embeddings.E033"]

    @pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (10, 10), (10, -1), ("10", 0)])
    def test_embeddings_E034(self, tokens, overlap):
        (error,) = of(tokens=tokens, overlap=overlap)

        assert error.startswith("embeddings.E034: testapp.doc.chunking needs tokens of 1 or more")

    def test_embeddings_E035(self):
        (error,) = of(tokens=8193)

        assert error.startswith("embeddings.E035: testapp.doc.chunking makes chunks of 8193 tokens")

    def test_embeddings_E036(self, monkeypatch):
        monkeypatch.setattr(ForeignKey, "target_field", Doc._meta.get_field("title"))

        errors = [error for error in of() if "testapp.Doc," in error]

        assert errors == [
            "embeddings.E036: testapp.DocChunk.doc does not refer to the primary key of testapp.Doc, "
            "by which chunks are looked for."
        ]

    @pytest.mark.parametrize(("deferrable", "count"), [(None, 1), (Deferrable.DEFERRED, 0)])
    def test_embeddings_E037(self, monkeypatch, deferrable, count):
        unique = models.UniqueConstraint(fields=["doc", "index"], name="of_doc", deferrable=deferrable)
        monkeypatch.setattr(DocChunk._meta, "constraints", [unique])

        errors = checks.check_chunking(None)

        assert [error.id for error in errors] == ["embeddings.E037"] * count
        assert all("testapp.DocChunk has doc, index unique at every moment" in error.msg for error in errors)

    def test_embeddings_E037__unique_together(self, monkeypatch):
        monkeypatch.setattr(DocChunk._meta, "unique_together", (("doc", "index"),))

        assert [error.id for error in checks.check_chunking(None)] == ["embeddings.E037"]

    @pytest.mark.parametrize("options", [{"source": "nothing"}, {"context": "nothing"}, {"when": "nothing"}])
    def test_embeddings_E008(self, options):
        (error,) = of(**options)

        assert error.startswith("embeddings.E008: testapp.doc.chunking has the source 'nothing'")

    def test_embeddings_E009(self):
        (error,) = of(priority="urgent")

        assert error.startswith("embeddings.E009")


class TestDeclaration:
    @isolate_apps("tests.testapp")
    def test_chunking__is_inherited_from_an_abstract_model(self, registered):
        class Text(models.Model):
            body = models.TextField()
            chunking = Chunking(source="body", tokens=50)

            class Meta:
                abstract = True
                app_label = "testapp"

        class Essay(Text):
            class Meta:
                app_label = "testapp"

        class ShortEssay(Essay):
            class Meta:
                app_label = "testapp"

        assert [(s.model, s.tokens) for s in registry.splittings_for(Essay)] == [(Essay, 50)]
        assert [s.model for s in registry.splittings_for(ShortEssay)] == [Essay]

    def test_chunk__lies_in_the_order_of_its_text(self):
        assert DocChunk._meta.ordering == ("index",)
        assert issubclass(DocChunk, Chunk)
        assert isinstance(DocChunk._meta.get_field("embedding"), EmbeddingField)

    def test_splitting__knows_its_chunk_model(self):
        (splitting,) = registry.splittings_for(Chapter)

        assert splitting.parent_field.name == "chapter"
        assert splitting.columns is None
        assert splitting.names == ("text", "note", "course.title")

    @pytest.mark.django_db
    def test_chunking__makes_no_migration(self):
        call_command("makemigrations", "testapp", check=True, dry_run=True, verbosity=0)
