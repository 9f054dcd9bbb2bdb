"""Searches by hand: one statement of pgvector or of PostgreSQL's full text each, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

# What a row is shown by.
Answer = list[tuple[int, str, float]]
Embed = Callable[[str], Any]

CANDIDATES = 100

SEMANTIC = """
SELECT id, title, 1 - (embedding <=> %(vector)s::vector) AS score
FROM benchmarks_searchedpage {where}
ORDER BY embedding <=> %(vector)s::vector LIMIT 10
"""

# No index serves the sum.
EXACT = SEMANTIC.replace("ORDER BY embedding <=> %(vector)s::vector", "ORDER BY (embedding <=> %(vector)s::vector) + 0")

# All words, as everybody writes it; ours looks for most of them, and then for fewer.
KEYWORD = """
SELECT id, title, ts_rank(words, asked) AS score
FROM benchmarks_searchedpage, websearch_to_tsquery('english', %(query)s) AS asked
WHERE words @@ asked {filter}
ORDER BY score DESC LIMIT 10
"""

HYBRID = f"""
WITH meaning AS (
    SELECT id, row_number() OVER (ORDER BY far) AS place FROM (
        SELECT id, embedding <=> %(vector)s::vector AS far FROM benchmarks_searchedpage {{where}}
        ORDER BY embedding <=> %(vector)s::vector LIMIT {CANDIDATES}
    ) AS near
), words AS (
    SELECT id, row_number() OVER (ORDER BY rank DESC) AS place FROM (
        SELECT id, ts_rank(words, asked) AS rank
        FROM benchmarks_searchedpage, websearch_to_tsquery('english', %(query)s) AS asked
        WHERE words @@ asked {{filter}}
        ORDER BY rank DESC LIMIT {CANDIDATES}
    ) AS worded
), fused AS (
    SELECT id, sum(1.0 / (60 + place))::float8 AS score
    FROM (SELECT * FROM meaning UNION ALL SELECT * FROM words) AS ranked GROUP BY id
)
SELECT id, title, score FROM fused JOIN benchmarks_searchedpage USING (id) ORDER BY score DESC LIMIT 10
"""


class Searcher:
    """On a connection of its own, with the settings of HNSW that ours has, so that both find the same share."""

    def __init__(self, url: str, embed: Embed, ef_search: int) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(f"SET hnsw.ef_search = {ef_search:d}")
        self._connection.execute("SET hnsw.iterative_scan = relaxed_order")
        self._embed = embed

    def search(self, query: str, mode: str, kind: int | None = None) -> Answer:
        """The ten best of all, or of one kind."""
        template = {"semantic": SEMANTIC, "keyword": KEYWORD, "hybrid": HYBRID}[mode]
        where, condition = ("", "") if kind is None else ("WHERE kind = %(kind)s", "AND kind = %(kind)s")
        params: dict[str, Any] = {"query": query, "kind": kind}
        if mode != "keyword":
            params["vector"] = str(self._embed(query).tolist())
        return self._connection.execute(template.format(where=where, filter=condition), params).fetchall()

    def exact(self, query: str, kind: int | None = None) -> Answer:
        """The same by meaning, each row compared: what there is to find."""
        where = "" if kind is None else "WHERE kind = %(kind)s"
        params = {"vector": str(self._embed(query).tolist()), "kind": kind}
        return self._connection.execute(EXACT.format(where=where), params).fetchall()

    def close(self) -> None:
        self._connection.close()
