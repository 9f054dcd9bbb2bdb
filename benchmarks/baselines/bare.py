"""A script without a queue or a ledger: it reads rows in blocks by key, embeds their texts and writes the vectors.

What a good developer writes for one run over a table that nobody else changes. It retries nothing, does not look
whether a row has changed meanwhile, and remembers nothing but the vectors themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import wordllama
from pgvector import Vector
from pgvector.psycopg import register_vector

from embeddings.providers import Embedded, Provider

# Rows of a block. Of 250 to 4,000 no size is reliably faster with the local model; 250 is slower.
BLOCK = 1_000

Block = Sequence[tuple[int, str, str]]


class WordLlama:
    """The local model by its library's own means."""

    def prepare(self) -> None:
        """Load it."""
        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(self._model.embed(list(texts), norm=True))


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection that knows vectors and commits each statement."""
    connection = psycopg.connect(url, autocommit=True)
    register_vector(connection)
    return connection


def embed_all(connection: psycopg.Connection[Any], table: str, provider: Provider, *, block: int = BLOCK) -> None:
    """Fill the vectors of all rows, one block after the other. `table` is trusted."""
    for rows in _blocks(connection, table, block):
        _write(connection, table, rows, _embed(provider, rows))


def embed_all_with_threads(
    connection: psycopg.Connection[Any], table: str, provider: Provider, *, block: int, threads: int
) -> None:
    """The same with up to `threads` requests of `block` texts on their way; reading and writing go on meanwhile."""
    waiting: deque[tuple[Block, Future[list[Any]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for rows in _blocks(connection, table, block):
            # One more than threads, so that none is idle while this one writes.
            if len(waiting) > threads:
                _write_oldest(connection, table, waiting)
            waiting.append((rows, pool.submit(_embed, provider, rows)))
        while waiting:
            _write_oldest(connection, table, waiting)


def _write_oldest(
    connection: psycopg.Connection[Any], table: str, waiting: deque[tuple[Block, Future[list[Any]]]]
) -> None:
    rows, vectors = waiting.popleft()
    _write(connection, table, rows, vectors.result())


def _blocks(connection: psycopg.Connection[Any], table: str, size: int) -> Iterator[Block]:
    select = f"SELECT id, title, body FROM {table} WHERE id > %s ORDER BY id LIMIT %s"
    last = 0
    while rows := connection.execute(select, [last, size], binary=True).fetchall():
        last = rows[-1][0]
        yield rows


def _embed(provider: Provider, rows: Block) -> list[Any]:
    return [Vector(vector) for vector in provider.embed([f"{title}\n{body}" for _, title, body in rows]).vectors]


def _write(connection: psycopg.Connection[Any], table: str, rows: Block, vectors: list[Any]) -> None:
    # Binary arrays: as text, PostgreSQL would parse each number.
    update = (
        f"UPDATE {table} AS page SET embedding = made.vector "
        "FROM unnest(%b::bigint[], %b::vector[]) AS made (id, vector) WHERE page.id = made.id"
    )
    connection.execute(update, [[key for key, *_ in rows], vectors])
