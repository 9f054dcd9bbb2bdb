"""The rows that searches are measured on, with their vectors and indexes as after a first backfill."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import connection
from pgvector.psycopg import register_vector

from benchmarks import documentation
from benchmarks.models import DIMENSIONS, SearchedPage
from embeddings import model_ids, registry
from embeddings.providers import Provider, get_provider
from embeddings.text import source_text

# Three rows in ten are of the first kind, and one in a hundred of each of the other seventy.
COMMON, RARE = 0, 7
KINDS = 70
CHUNK = 2_000


def fill(number: int) -> None:
    """So many rows. The index of vectors is made afterwards, which takes half of the time of one kept up."""
    index = next(index for index in SearchedPage._meta.indexes if index.name == "searched_page_meaning")
    [target] = registry.targets_for(SearchedPage)
    model_ids.record(target, get_provider(target.provider), using="default")
    with connection.schema_editor() as editor:
        editor.remove_index(SearchedPage, index)
    _copy(number)
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
    with connection.schema_editor() as editor:
        editor.add_index(SearchedPage, index)
    with connection.cursor() as cursor:
        cursor.execute("RESET maintenance_work_mem")
        cursor.execute("VACUUM ANALYZE benchmarks_searchedpage")


def _copy(number: int) -> None:
    """By a connection of its own: one that knows the type does not read vectors as Django's does."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        register_vector(session)
        columns = "(title, body, kind, embedding)"
        with session.cursor().copy(f"COPY benchmarks_searchedpage {columns} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["varchar", "text", "int4", "vector"])
            for row in _rows(number):
                copy.write_row(row)


def _rows(number: int) -> Iterator[tuple[Any, ...]]:
    """(title, body, kind, vector)."""
    [target] = registry.targets_for(SearchedPage)
    provider = get_provider(target.provider)
    chooser = random.Random(11)
    pages: list[SearchedPage] = []
    for title, body in documentation.texts(number):
        kind = COMMON if chooser.random() < 0.3 else chooser.randint(1, KINDS)
        pages.append(SearchedPage(title=title, body=body, kind=kind))
        if len(pages) == CHUNK:
            yield from _embedded(pages, target, provider)
            pages.clear()
    yield from _embedded(pages, target, provider)


def _embedded(pages: list[SearchedPage], target: registry.Target, provider: Provider) -> Iterator[tuple[Any, ...]]:
    texts = [source_text(page, target, provider).text for page in pages]
    for page, vector in zip(pages, provider.embed(texts).vectors if texts else [], strict=True):
        assert len(vector) == DIMENSIONS
        yield page.title, page.body, page.kind, vector
