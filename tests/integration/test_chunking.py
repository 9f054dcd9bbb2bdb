"""Long texts are split in the background, and only the chunks that changed are embedded again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from embeddings import pipeline, registry, stats
from embeddings.models import DONE, EmbeddingBatch, EmbeddingTask, ProviderState
from embeddings.providers.dummy import DummyProvider, vector
from tests.integration import sessions
from tests.integration.conftest import dummy, wait_until
from tests.integration.pages import content, is_ready, keys, make_doc, paragraph, tasks_of
from tests.testapp.models import DIMENSIONS, Chapter, ChapterChunk, Course, Doc, DocChunk, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


def statements(function: Callable[[], object]) -> list[str]:
    """The kinds of statements that it runs, in order."""
    with CaptureQueriesContext(connection) as captured:
        function()
    return [query["sql"].split()[0] for query in captured]


def is_done() -> bool:
    tasks = EmbeddingTask.objects.all()
    return tasks.exists() and not tasks.exclude(status__in=DONE).exists()


def inputs(log: Path) -> int:
    """How many texts the provider got, of all processes; pings not counted."""
    return sum(int(line.split()[0]) for line in log.read_text().splitlines())


def split_only() -> None:
    """Split all texts, and embed none of the chunks."""
    ids = list(EmbeddingTask.objects.filter(provider="").values_list("pk", flat=True))
    ProviderState.objects.create(alias="default", blocked_reason="configuration", blocked_until="2100-01-01T00:00Z")
    pipeline.Drain("test", seconds=10).run_tasks(ids, "default")
    ProviderState.objects.all().delete()


class TestSaves:
    def test_save__opens_one_task_and_splits_nothing(self, task_of):
        doc = make_doc(5)

        task = task_of(doc, "chunking")
        assert (task.status, task.provider, task.priority) == ("pending", "", "normal")
        assert not doc.chunks.exists()

    def test_save__costs_what_it_costs_for_an_embedded_model(self):
        Post.objects.create(title="first")  # the first save of each reads its content type
        make_doc(1)
        post, doc = Post(title="a", body="b"), Doc(title="a", content="b")

        assert statements(doc.save) == statements(post.save)
        post.title, doc.title = "c", "c"
        assert statements(doc.save) == statements(post.save)

    def test_save__of_other_fields_costs_nothing(self, drain, task_of):
        doc = make_doc(3)
        drain()
        before = task_of(doc, "chunking").version

        doc.views = 5
        doc.save(update_fields=["views"])
        doc.save()

        assert task_of(doc, "chunking").version == before

    def test_save__rolled_back_leaves_no_task(self):
        with transaction.atomic():
            make_doc(3)
            transaction.set_rollback(True)

        assert not EmbeddingTask.objects.exists()

    def test_bulk_writes__are_split_too(self, drain):
        Doc.objects.bulk_create(Doc(title=f"Doc {n}", content=content(2)) for n in range(3))
        drain()
        first = Doc.objects.first()
        first.content = content(3)
        Doc.objects.bulk_update([first], ["content"])
        Doc.objects.exclude(pk=first.pk).update(title="New")

        drain()

        assert all(is_ready(doc) for doc in Doc.objects.all())
        assert [doc.chunks.count() for doc in Doc.objects.order_by("pk")] == [3, 2, 2]

    def test_save__with_the_app_off_splits_nothing(self, settings, drain):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}
        doc = make_doc(3)

        drain()

        assert not EmbeddingTask.objects.exists()
        assert not doc.chunks.exists()


class TestSplits:
    def test_drain__splits_and_embeds(self, drain, task_of):
        doc = make_doc(5)

        outcome = drain()

        assert is_ready(doc)
        assert doc.chunks.count() == 5
        assert (outcome.completed, outcome.failed) == (6, 0)
        task = task_of(doc, "chunking")
        assert (task.status, task.tokens, task.model_id, task.dimensions) == ("completed", 0, "", None)

    def test_drain__an_edit_embeds_only_what_changed(self, drain):
        doc = make_doc(50)
        drain()
        before = keys(doc)
        DummyProvider.reset()

        doc.content = doc.content.replace("Paragraph 20 says", "Paragraph 20 whispers")
        doc.save()
        drain()

        assert is_ready(doc)
        assert DummyProvider.inputs == 1
        assert keys(doc) == before

    def test_drain__an_insertion_at_the_top_moves_the_others(self, drain):
        doc = make_doc(50)
        drain()
        before = keys(doc)
        DummyProvider.reset()

        doc.content = f"{paragraph(100)}\n\n{doc.content}"
        doc.save()
        drain()

        assert is_ready(doc)
        assert DummyProvider.inputs == 1
        assert keys(doc)[1:] == before
        assert not tasks_of(DocChunk).filter(version__gt=1).exists()

    def test_drain__a_moved_chunk_whose_place_is_embedded_gets_a_new_vector(self, drain, request):
        registry.register(DocChunk, "embedding", ["index", "text"])
        request.addfinalizer(lambda: registry.register(DocChunk, "embedding", ["context", "text"]))
        doc = make_doc(3)
        drain()

        doc.content = f"{paragraph(77)}\n\n{doc.content}"
        doc.save()
        drain()

        for chunk in doc.chunks.all():
            own = vector(f"{chunk.index}\n\n{chunk.text}", DIMENSIONS)
            assert chunk.embedding == pytest.approx(own, abs=1e-6)

    def test_drain__shorter_text_removes_chunks_and_their_tasks(self, drain):
        doc = make_doc(10)
        drain()
        DummyProvider.reset()

        doc.content = content(4)
        doc.save()
        drain()

        assert is_ready(doc)
        assert (doc.chunks.count(), tasks_of(DocChunk).count(), DummyProvider.inputs) == (4, 4, 0)

    def test_drain__another_context_embeds_all_anew(self, drain):
        doc = make_doc(4)
        drain()
        DummyProvider.reset()

        doc.title = "Another"
        doc.save()
        drain()

        assert is_ready(doc)
        assert DummyProvider.inputs == 4

    def test_drain__no_text_removes_all(self, drain, task_of):
        doc = make_doc(3)
        drain()

        doc.content = " \n "
        doc.save()
        drain()

        assert not doc.chunks.exists()
        assert not tasks_of(DocChunk).exists()
        assert task_of(doc, "chunking").status == "empty"

    def test_drain__chunks_are_as_urgent_as_their_text_and_of_its_batch(self, task_of):
        batch = EmbeddingBatch.objects.create(name="upload")
        doc = make_doc(2)
        task = task_of(doc, "chunking")
        EmbeddingTask.objects.filter(pk=task.pk).update(priority="high", batch=batch)

        split_only()

        assert set(tasks_of(DocChunk).values_list("priority", "batch", "status")) == {("high", batch.pk, "pending")}

    def test_drain__splits_while_the_provider_is_down(self, drain, settings):
        settings.EMBEDDING_PROVIDERS = dummy()
        ProviderState.objects.create(alias="default", blocked_reason="configuration", blocked_until="2100-01-01T00:00Z")
        doc = make_doc(4)

        drain()

        assert doc.chunks.count() == 4
        assert set(tasks_of(DocChunk).values_list("status", flat=True)) == {"pending"}

    def test_drain__chunks_deleted_behind_our_back_come_again(self, drain):
        doc = make_doc(6)
        drain()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM testapp_docchunk WHERE index = 3")

        doc.content += "\n\nThe end."
        doc.save()
        drain()

        assert is_ready(doc)

    def test_drain__works_other_databases(self, settings, drain):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
        doc = Doc.objects.using("other").create(title="Title", content=content(3))

        drain()

        assert is_ready(doc)
        assert not EmbeddingTask.objects.exists()
        assert EmbeddingTask.objects.using("other").filter(status="completed").count() == 4


class TestSources:
    def make(self, **values) -> Chapter:
        course = Course.objects.create(title="Course")
        return Chapter.objects.create(course=course, text=paragraph(1), **values)

    def test_chunks__of_several_sources_with_a_related_context(self, drain):
        chapter = self.make(note="A note.")

        drain()

        chunk = ChapterChunk.objects.get(chapter=chapter)
        assert (chunk.context, chunk.text) == ("Course", f"{chapter.text}\n\n{chapter.note}")

    def test_chunks__follow_a_related_object(self, drain):
        chapter = self.make()
        drain()

        chapter.course.title = "Renamed"
        chapter.course.save()
        drain()

        chunk = ChapterChunk.objects.get()
        assert chunk.context == "Renamed"
        assert is_done()

    def test_chunks__only_where_wanted(self, drain):
        chapter = self.make(is_public=False)
        drain()
        assert not ChapterChunk.objects.exists()

        chapter.is_public = True
        chapter.save()
        drain()

        assert ChapterChunk.objects.exists()

    def test_chunks__text_of_one_source_is_split_as_it_is(self, drain):
        doc = Doc.objects.create(content=f"\n\n   {content(3)}\n\n")

        drain()

        assert is_ready(doc)
        assert doc.chunks.first().start > 0


class TestWithoutQueue:
    @pytest.fixture(autouse=True)
    def _no_queue(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}

    def test_save__splits_and_embeds_after_its_commit(self):
        with transaction.atomic():
            doc = make_doc(5)
            assert not doc.chunks.exists()

        assert is_ready(doc)

    def test_save__edit_embeds_what_changed(self):
        doc = make_doc(20)
        DummyProvider.reset()

        doc.content = doc.content.replace("Paragraph 7 says", "Paragraph 7 knows")
        doc.save()

        assert is_ready(doc)
        assert DummyProvider.inputs == 1

    def test_save__without_a_provider_splits_all_the_same(self):
        ProviderState.objects.create(alias="default", blocked_reason="configuration", blocked_until="2100-01-01T00:00Z")

        doc = make_doc(3)

        assert doc.chunks.count() == 3


class TestWorkers:
    def test_workers__edit_of_one_paragraph_of_fifty_embeds_one_chunk(self, workers, tmp_path):
        log = tmp_path / "requests"
        workers.started(providers=dummy(LOG=str(log)))
        workers.started(providers=dummy(LOG=str(log)))
        doc = make_doc(50)
        wait_until(lambda: doc.chunks.count() == 50 and is_done())
        assert inputs(log) == 50

        doc.content = doc.content.replace("Paragraph 20 says", "Paragraph 20 whispers")
        doc.save()

        wait_until(lambda: is_ready(doc) and is_done())
        assert inputs(log) == 51

    def test_workers__many_edits_of_many_texts_end_right(self, workers):
        for _ in range(3):
            workers.started(embeddings={"BATCH_SIZE": 16})
        docs = [make_doc(6, title=f"Doc {n}") for n in range(20)]
        for step in range(4):
            for number, doc in enumerate(docs):
                doc.content = content(2 + (number + step) % 7) + f"\n\n{paragraph(100 + step)}"
                doc.save()

        wait_until(lambda: is_done() and all(is_ready(doc) for doc in docs))

        assert tasks_of(DocChunk).count() == DocChunk.objects.count()


class TestProgress:
    def test_chunk_progress__from_a_save_to_ready(self, drain, django_assert_num_queries):
        doc, other = make_doc(4), make_doc(2)
        waiting = stats.chunk_progress([doc])[doc.pk]
        split_only()
        split = stats.chunk_progress([doc])[doc.pk]
        drain()

        with django_assert_num_queries(2):
            ready = stats.chunk_progress([doc, other])

        assert (waiting.is_split, waiting.total, waiting.is_settled) == (False, 0, False)
        assert (split.is_split, split.ready, split.total, split.is_settled) == (True, 0, 4, False)
        assert [(p.ready, p.total, p.is_split, p.is_settled) for p in ready.values()] == [
            (4, 4, True, True),
            (2, 2, True, True),
        ]

    def test_chunk_progress__counts_failures(self, drain):
        doc = Doc.objects.create(title="T", content=f"{content(2)}\n\n[[reject]] {paragraph(3)}")
        drain()

        progress = stats.chunk_progress([doc])[doc.pk]

        assert (progress.ready, progress.total, progress.failed, progress.is_settled) == (2, 3, 1, True)

    def test_chunk_progress__of_uuid_keys_and_of_nothing(self, drain):
        chapter = Chapter.objects.create(course=Course.objects.create(title="C"), text=paragraph(1))
        drain()

        assert stats.chunk_progress([]) == {}
        assert stats.chunk_progress([chapter])[chapter.pk].ready == 1

    def test_chunk_progress__while_an_edit_waits(self, drain):
        doc = make_doc(3)
        drain()
        doc.content = content(5)
        doc.save()

        progress = stats.chunk_progress([doc])[doc.pk]

        assert (progress.is_split, progress.is_settled, progress.total) == (False, False, 3)
