from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from embeddings.models import EmbeddingTask, Status
from project.content.models import Article, Note, Page, Receipt, Workspace
from project.content.progress import Progress, counts_of, progress

pytestmark = pytest.mark.django_db(transaction=True)


def make_page(content: str = "One paragraph.") -> Page:
    workspace, _ = Workspace.objects.get_or_create(name="Handbook")
    return Page.objects.create(workspace=workspace, title="Backups", content=content)


def test_progress__nothing_there():
    assert progress() == Progress(total=0, ready=0, waiting=0, failed=0)


def test_progress__counts_vectors_of_all_models_in_two_queries(embed, django_assert_num_queries):
    Article.objects.create(slug="a", title="a")
    Receipt.objects.create(merchant="Bakery", purchased_on="2026-01-01", total=1, text="Bread")
    make_page()
    embed()
    Article.objects.create(slug="b", title="b")
    progress()  # Django keeps the content types from the first time on.

    with django_assert_num_queries(2):
        counts = progress()

    assert counts == Progress(total=5, ready=4, waiting=1, failed=0)  # a receipt has two, a page one a chunk


def test_progress__a_page_that_waits_to_be_split():
    make_page()

    assert progress() == Progress(total=1, ready=0, waiting=1, failed=0)


def test_progress__a_note_in_its_box():
    Note.objects.create_boxed(slug="n", title="n", text="text")

    assert progress() == Progress(total=1, ready=0, waiting=1, failed=0)


def test_progress__failed_and_without_text(embed):
    Article.objects.create(slug="a", title="a [[reject]]")
    Receipt.objects.create(merchant="Bakery", purchased_on="2026-01-01", total=1)
    make_page("")
    embed()

    assert progress() == Progress(total=3, ready=2, waiting=0, failed=1)


def test_progress__rows_past_the_signals_are_missing():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO content_article (slug, title, signature, keywords, content, source, kind, updated_at)"
            " SELECT n, 'title', '', '', '', '', 'written', now() FROM generate_series(1, 3) n"
        )

    assert progress() == Progress(total=3, ready=0, waiting=0, failed=0)


def test_progress__tasks_of_other_apps_do_not_count():
    Article.objects.create(slug="a", title="a")
    EmbeddingTask.objects.update(content_type=ContentType.objects.get_for_model(Workspace), status=Status.CANCELLED)

    assert progress() == Progress(total=1, ready=0, waiting=0, failed=0)


def test_counts_of__also_of_what_nobody_sees():
    Article.objects.create(slug="a", title="a")

    counts = counts_of({Article: Article.objects.all(), Note: Note.objects.none()})

    assert counts == {Article: 1, Note: 0}
