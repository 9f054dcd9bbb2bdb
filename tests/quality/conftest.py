"""The loaded Python documentation, and a place in the summary for what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from pgvector.django import HnswIndex
from pytest_django import DjangoDbBlocker

from embeddings import pipeline
from project.content import loading, sources
from project.content.kinds import Kind
from project.content.models import Article

LOCAL = {
    "default": {
        "BACKEND": "embeddings.providers.local.LocalProvider",
        "MODEL": "l2_supercat_256",
        "DIMENSIONS": 256,
    }
}
INDEX = next(index for index in Article._meta.indexes if isinstance(index, HnswIndex))
REPORTS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="package")
def documentation(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[set[str]]:
    """Every article about Python itself, with its vector, committed; gives their slugs.

    Without the READMEs, which are other ones on each machine. Loaded once, as it takes some 8 s.
    """
    with django_db_blocker.unblock(), override_settings(EMBEDDING_PROVIDERS=LOCAL):
        texts = [text for text in sources.all_texts() if text.kind != Kind.README]
        try:
            with _index_made_afterwards():
                loading.carry_out(loading.plan(texts))
                pipeline.Drain("test", seconds=60).run()
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE content_article")
            assert not Article.objects.filter(embedding=None).exists()
            yield {text.slug for text in texts}
        finally:
            call_command("flush", interactive=False, verbosity=0)


@contextlib.contextmanager
def _index_made_afterwards() -> Iterator[None]:
    """The HNSW index made in one go: a row at a time, loading takes more than twice as long."""
    with connection.schema_editor() as editor:
        editor.remove_index(Article, INDEX)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.add_index(Article, INDEX)


@pytest.fixture
def report(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the summary, which is shown without -s too."""
    return pytestconfig.stash.setdefault(REPORTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(REPORTS, []):
        terminalreporter.section("search quality")
        for line in lines:
            terminalreporter.write_line(line)
