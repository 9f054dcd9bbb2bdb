"""A queue in one table, by hand: raw SQL on psycopg. Nobody can see what happened to a task, nor pause or retry one.

It relies on rows that nobody edits and on workers that do not outlive their leases: what is written is not compared
with anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector

SQL = Path(__file__).with_suffix(".sql").read_text()

CLAIM = """
UPDATE raw_task SET
    status = 'processing', attempts = attempts + 1, lease_token = %s, lease_until = now() + interval '2 minutes'
WHERE id = ANY (ARRAY(
    SELECT id FROM raw_task WHERE status = 'pending' ORDER BY sort_key LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING id, page_id
"""
END = """
UPDATE raw_task SET status = 'completed', completed_at = now(), lease_token = NULL, lease_until = NULL
WHERE id = ANY (%s) AND lease_token = %s
"""
WRITE = """
UPDATE benchmarks_handmadepage AS page SET embedding = made.vector
FROM unnest(%b::bigint[], %b::vector[]) AS made (id, vector) WHERE page.id = made.id
"""


class RawQueue:
    """One worker of the queue in the database at `url`; psycopg prepares what it executes more than five times."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        register_vector(self._connection)
        self._token = uuid.uuid4()

    def fill(self, tasks: int, *, pages: int) -> None:
        """Make the table, with tasks that wait; the first `pages` have their rows."""
        with psycopg.ClientCursor(self._connection) as cursor:
            cursor.execute(SQL, {"tasks": tasks, "pages": pages})
            cursor.execute("VACUUM (ANALYZE) raw_task, benchmarks_handmadepage")

    def claim(self, limit: int) -> Sequence[tuple[int, int]]:
        """Take the next tasks; returns (id, page's id) of each."""
        return self._connection.execute(CLAIM, [self._token, limit]).fetchall()

    def end(self, claimed: Sequence[tuple[int, int]]) -> None:
        """Tasks that need no vector."""
        self._connection.execute(END, [[key for key, _ in claimed], self._token])

    def settle(self, claimed: Sequence[tuple[int, int]], vectors: Sequence[Any]) -> None:
        """Write the vectors (float32 arrays) and end their tasks, in one transaction."""
        with self._connection.transaction():
            self._connection.execute(WRITE, [[page for _, page in claimed], [Vector(vector) for vector in vectors]])
            self.end(claimed)
