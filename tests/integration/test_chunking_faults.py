"""What happens while a text is being split: edits, locks, deletions, other workers, a splitter that breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from embeddings import context, ledger, pipeline, registry
from embeddings.chunking import pieces
from embeddings.models import EmbeddingTask
from embeddings.providers.dummy import DummyProvider
from tests.integration import sessions
from tests.integration.conftest import wait_until
from tests.integration.pages import content, is_ready, make_doc, paragraph, tasks_of
from tests.testapp.models import Doc, DocChunk

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)


@pytest.fixture
def while_splitting(monkeypatch) -> Callable[[Callable[[], Any]], None]:
    """Let something happen once, between the reading of a text and the writing of its chunks."""

    def arrange(happen: Callable[[], Any]) -> None:
        split, waiting = pieces.split, [happen]

        def splitting_slowly(*args: Any) -> Any:
            if waiting:
                waiting.pop()()
            return split(*args)

        monkeypatch.setattr(pieces, "split", splitting_slowly)

    return arrange


def elsewhere(statement: str, *params: Any) -> None:
    """Run a statement in a session of its own, committed."""
    with sessions.session() as other:
        other.execute(statement, params)


def save_elsewhere(doc: Doc, **values: Any) -> None:
    def save() -> None:
        Doc(pk=doc.pk, **{"title": doc.title, "content": doc.content, **values}).save()

    sessions.in_thread(save)()


class TestEdits:
    def test_edit__saved_while_split_is_split_again(self, drain, while_splitting, task_of):
        doc = make_doc(4)
        while_splitting(lambda: save_elsewhere(doc, content=content(6)))

        drain()

        assert is_ready(doc)
        assert doc.chunks.count() == 6
        assert (task_of(doc, "chunking").attempts, task_of(doc, "chunking").version) == (1, 2)
        assert DummyProvider.inputs == 6  # None of an older text.

    def test_edit__of_other_fields_while_split_costs_nothing(self, drain, while_splitting, task_of):
        doc = make_doc(4)
        while_splitting(lambda: elsewhere("UPDATE testapp_doc SET views = 7"))

        drain()

        assert is_ready(doc)
        assert DummyProvider.inputs == 4

    def test_edit__by_raw_sql_while_split_is_seen(self, settings, drain, while_splitting, task_of):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BACKOFF_BASE_SECONDS": 0}
        doc = make_doc(4)
        while_splitting(lambda: elsewhere("UPDATE testapp_doc SET content = %s", content(2)))

        drain()

        wait_until(lambda: drain() and is_ready(doc))
        assert doc.chunks.count() == 2
        assert task_of(doc, "chunking").attempts == 2  # Nobody had said that it would change.

    def test_edit__of_a_chunked_text_while_its_chunks_are_embedded(self, drain, monkeypatch):
        doc = make_doc(4)
        embed, waiting = DummyProvider.embed, [1]

        def embed_slowly(self, texts):
            if waiting:
                waiting.pop()
                save_elsewhere(doc, content=doc.content.replace("Paragraph 2 says", "Paragraph 2 cries"))
            return embed(self, texts)

        monkeypatch.setattr(DummyProvider, "embed", embed_slowly)
        drain()

        assert is_ready(doc)


class TestLocks:
    @pytest.mark.parametrize("table", ["testapp_doc", "testapp_docchunk"])
    def test_lock__of_a_row_is_waited_for_elsewhere(self, drain, while_splitting, table, task_of):
        doc, other = make_doc(4), make_doc(3)
        drain()
        for each, size in ((doc, 5), (other, 4)):
            each.content = content(size)
            each.save()
        with sessions.session() as holder:
            holder.execute("BEGIN")
            column = "id" if table == "testapp_doc" else "doc_id"
            holder.execute(f"SELECT 1 FROM {table} WHERE {column} = {doc.pk} FOR UPDATE")
            done = sessions.in_thread(lambda: pipeline.Drain("test", seconds=30).run())
            wait_until(lambda: task_of(other, "chunking").status == "completed")  # Its neighbour is not held up.
            assert task_of(doc, "chunking").status == "processing"
            holder.execute("ROLLBACK")
        done()

        assert is_ready(doc)
        assert is_ready(other)

    def test_lock__that_lasts_is_left_for_later(self, task_of):
        doc = make_doc(4)
        with sessions.session() as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT 1 FROM testapp_doc FOR UPDATE")

            pipeline.Drain("test", seconds=0.2).run()

            task = task_of(doc, "chunking")
            assert (task.status, task.error_class, task.attempts) == ("scheduled", "RowLocked", 0)

    def test_lock__a_drain_that_is_stopped_gives_back(self, task_of):
        doc = make_doc(4)
        stopped = threading.Event()
        with sessions.session() as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT 1 FROM testapp_doc FOR UPDATE")
            done = sessions.in_thread(lambda: pipeline.Drain("test", seconds=30, stop=stopped.is_set).run())
            wait_until(lambda: task_of(doc, "chunking").status == "processing")

            stopped.set()
            done()

            assert (task_of(doc, "chunking").status, task_of(doc, "chunking").attempts) == ("pending", 0)

    def test_lock__of_the_batch_by_a_save_is_not_waited_for(self, task_of):
        """A save that holds the batch and wants the row that is split: neither may wait for the other in a ring."""
        with context.batch("upload"):
            doc = make_doc(4)
        with sessions.session() as saver:
            saver.execute("BEGIN")
            saver.execute("UPDATE embeddings_embeddingbatch SET total = total + 1")
            saver.execute("SET LOCAL lock_timeout = 500")
            done = sessions.in_thread(lambda: pipeline.Drain("test", seconds=2).run())
            wait_until(lambda: task_of(doc, "chunking").status == "processing")
            time.sleep(0.3)  # The worker has locked the row, and met the batch.

            saver.execute("UPDATE testapp_doc SET views = 1")
            saver.execute("COMMIT")
            done()

        assert is_ready(doc)

    def test_stop__gives_back_the_texts_that_are_not_begun(self, while_splitting, task_of):
        docs = [make_doc(2), make_doc(2)]
        stop = threading.Event()
        while_splitting(stop.set)

        pipeline.Drain("test", seconds=30, stop=stop.is_set).run()

        first, second = (task_of(doc, "chunking") for doc in docs)
        assert (first.status, second.status, second.attempts) == ("completed", "pending", 0)

    def test_drains__side_by_side_end_right(self):
        docs = [make_doc(3, title=str(number)) for number in range(12)]

        drains = [sessions.in_thread(lambda: pipeline.Drain("test", seconds=20).run()) for _ in range(3)]
        for number, doc in enumerate(docs):
            doc.content = content(1 + number % 5)
            doc.save()
        for ended in drains:
            ended()
        pipeline.Drain("test", seconds=20).run()

        assert all(is_ready(doc) for doc in docs)
        assert tasks_of(DocChunk).count() == DocChunk.objects.count()


class TestDeletions:
    def test_delete__takes_chunks_and_all_tasks_along(self, drain):
        doc = make_doc(4)
        drain()

        doc.delete()

        assert not DocChunk.objects.exists()
        assert not EmbeddingTask.objects.exists()

    def test_delete__costs_the_same_statements_whatever_the_chunks(self, drain):
        few, many = make_doc(2), make_doc(40)
        drain()

        with CaptureQueriesContext(connection) as of_few:
            Doc.objects.filter(pk=few.pk).delete()
        with CaptureQueriesContext(connection) as of_many:
            Doc.objects.filter(pk=many.pk).delete()

        assert len(of_few) == len(of_many)
        assert not EmbeddingTask.objects.exists()

    def test_delete__waits_for_a_save_and_not_in_a_ring(self, drain):
        """The save's transaction wants the chunks too: as where they are embedded with a field of their text."""
        doc = make_doc(3)
        drain()
        with sessions.session() as saver:
            saver.execute("BEGIN")
            saver.execute("UPDATE testapp_doc SET views = 1")
            deleted = sessions.in_thread(lambda: Doc.objects.get(pk=doc.pk).delete())
            time.sleep(0.3)

            saver.execute("SELECT 1 FROM testapp_docchunk FOR NO KEY UPDATE")
            saver.execute("COMMIT")
            deleted()

        assert not DocChunk.objects.exists()
        assert not EmbeddingTask.objects.exists()

    def test_delete__of_one_chunk_forgets_its_task(self, drain):
        doc = make_doc(3)
        drain()

        doc.chunks.first().delete()

        assert tasks_of(DocChunk).count() == 2

    def test_delete__while_split_drops_the_task(self, drain, while_splitting):
        doc = make_doc(4)
        while_splitting(lambda: sessions.in_thread(lambda: Doc.objects.get(pk=doc.pk).delete())())

        drain()

        assert not DocChunk.objects.exists()
        assert not EmbeddingTask.objects.exists()

    def test_delete__of_a_text_that_a_worker_just_split(self, drain):
        """The worker's chunks are committed after the deletion has looked for chunks, and before it locks the row."""
        doc = make_doc(4)
        collected, written = threading.Event(), threading.Event()
        with transaction.atomic(), _after_collecting(doc, collected, written):
            split = sessions.in_thread(lambda: (collected.wait(10), drain(), written.set()))
            doc.delete()
        split()

        assert not DocChunk.objects.exists()
        drain()
        assert not EmbeddingTask.objects.exists()

    def test_delete__that_is_not_committed_keeps_the_worker_off(self, drain):
        doc = make_doc(4)
        with transaction.atomic():
            doc.delete()
            sessions.in_thread(lambda: pipeline.Drain("test", seconds=0.2).run())()

        assert not DocChunk.objects.exists()
        ledger.retry(EmbeddingTask.objects.all())
        drain()
        assert not EmbeddingTask.objects.exists()


def _after_collecting(doc: Doc, collected: threading.Event, written: threading.Event) -> Any:
    """At the end of the deletion's search for chunks, before it locks anything, wait for the worker."""

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "FOR UPDATE" in sql and "testapp_doc" in sql and not collected.is_set():
            collected.set()
            assert written.wait(10)
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


class TestOperators:
    def test_cancel__while_split_writes_nothing(self, drain, while_splitting, task_of):
        doc = make_doc(4)
        while_splitting(lambda: sessions.in_thread(lambda: ledger.cancel(EmbeddingTask.objects.all()))())

        drain()

        assert not doc.chunks.exists()
        assert task_of(doc, "chunking").status == "cancelled"

    def test_retry__splits_a_cancelled_text(self, drain, task_of):
        doc = make_doc(4)
        ledger.cancel(EmbeddingTask.objects.all())
        ledger.retry(EmbeddingTask.objects.all())

        drain()

        assert is_ready(doc)

    def test_rescue__splits_the_text_of_a_dead_worker(self, drain, task_of):
        doc = make_doc(4)
        assert len(ledger.claim(registry.NO_PROVIDER, 10, worker="dead")) == 1

        ledger.rescue(worker="dead")
        assert task_of(doc, "chunking").crashes == 1
        drain()

        assert is_ready(doc)
        assert task_of(doc, "chunking").crashes == 0

    def test_drain__takes_a_task_in_the_wrong_lane_to_its_own(self, drain, task_of):
        doc = make_doc(4)
        EmbeddingTask.objects.update(provider="default")

        drain()

        assert is_ready(doc)
        assert task_of(doc, "chunking").provider == ""


class Panic(BaseException):
    """As Rust's come."""


class TestBadTexts:
    def test_splitter__that_breaks_fails_only_that_text(self, drain, monkeypatch, task_of):
        split = pieces.split

        def fragile(text: str, *args: Any) -> Any:
            if "break" in text:
                raise Panic("at " + text)
            return split(text, *args)

        monkeypatch.setattr(pieces, "split", fragile)
        docs = [Doc.objects.create(content=text) for text in ("One.", "This must break secretly.", "Two.")]

        outcome = drain()

        task = task_of(docs[1], "chunking")
        assert (task.status, task.error_kind, task.error_class) == ("failed", "input", "SplitterFailed")
        assert task.error_message == f"testapp.Doc {docs[1].pk}: testapp.doc.chunking could not be split: Panic."
        assert (is_ready(docs[0]), is_ready(docs[2])) == (True, True)
        assert outcome.failed == 1

    def test_splitter__that_is_not_installed_makes_texts_wait(self, drain, monkeypatch, task_of):
        monkeypatch.setattr(pieces, "is_installed", lambda: False)
        doc = make_doc(2)

        drain()

        task = task_of(doc, "chunking")
        assert (task.status, task.error_kind, task.attempts) == ("scheduled", "configuration", 0)
        assert 'pip install "django-rq-embeddings[chunks]"' in task.error_message

    def test_write__that_the_database_refuses_fails_that_text(self, drain, task_of):
        docs = [Doc.objects.create(content=text) for text in ("Good.", "Evil.")]
        elsewhere("ALTER TABLE testapp_docchunk ADD CONSTRAINT no_evil CHECK (text <> 'Evil.')")
        try:
            drain()
        finally:
            elsewhere("ALTER TABLE testapp_docchunk DROP CONSTRAINT no_evil")

        assert is_ready(docs[0])
        task = task_of(docs[1], "chunking")
        assert (task.status, task.error_class) == ("failed", "IntegrityError")
        assert not docs[1].chunks.exists()


def test_write__never_waits_for_a_task_of_its_chunks(drain):
    """Statements that a save, a split and a settlement run side by side do not end in a deadlock."""
    docs = [make_doc(5, title=str(number)) for number in range(4)]
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            pipeline.Drain("test", seconds=0.5).run()

    def edit(doc: Doc) -> None:
        for step in range(12):
            doc.content = "\n\n".join([*(paragraph(100 + step),), content(3 + step % 3)])
            doc.save()
            DocChunk.objects.filter(doc=doc).update(context=doc.title)

    workers = [sessions.in_thread(work) for _ in range(2)]
    editors = [sessions.in_thread(lambda doc=doc: edit(doc)) for doc in docs]
    for join in editors:
        join()
    stop.set()
    for join in workers:
        join()
    assert not EmbeddingTask.objects.filter(status="failed").exists()
    ledger.retry(EmbeddingTask.objects.all())  # What was locked when a drain's time was over waits for 30 s.
    drain()

    assert all(is_ready(doc) for doc in docs)
