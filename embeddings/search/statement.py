"""The one statement of a search, made of lists of candidates that Django compiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet

from embeddings import sql
from embeddings.search.candidates import Candidates
from embeddings.search.modes import RRF_K, SearchMode
from embeddings.search.sources import Passages

Compiled = tuple[str, tuple[Any, ...]]

# What an HNSW scan keeps in view: more finds more, and takes longer. Measured at 100,000 rows of 256 dimensions:
# recall@10 0.93 with 100, 0.95 with 200.
EF_SEARCH = 200

_SCORES: dict[SearchMode, str] = {
    # A vector of zeros has no direction: its distance is NaN, which sorts last and is no number for JSON.
    "semantic": "max(coalesce(nullif(1 - far, 'NaN'), 0))",
    "keyword": "max(-far)",
    "hybrid": f"sum(1.0 / ({RRF_K} + place))::float8",
}


def hits(lists: Sequence[Candidates], mode: SearchMode, passages: Passages | None, connection: Any) -> Compiled:
    """Rows of (key, score, found_by), and of chunked models (…, passage, passage_start, chunk_id)."""
    candidates, params = compiled(lists, connection)
    passage = chunks = ""
    if passages is not None:
        table, key, text, start = map(
            connection.ops.quote_name, (passages.table, passages.key, passages.text, passages.start)
        )
        passage = f", best.chunk AS chunk_id, piece.{text} AS passage, piece.{start} AS passage_start"
        chunks = f"LEFT JOIN {table} AS piece ON piece.{key} = best.chunk"
    template = sql.load("hits")
    return template.format(candidates=candidates, score=_SCORES[mode], passage=passage, chunks=chunks), params


def compiled(lists: Sequence[Candidates], connection: Any) -> Compiled:
    """Rows of (part, key, chunk, far) of all lists; raises EmptyResultSet if it is known that there are none."""
    ctes: list[str] = []
    names: set[str] = set()
    params: tuple[Any, ...] = ()
    for each in lists:
        try:
            inner, inner_params = each.rows.get_compiler(connection=connection).as_sql()
        except EmptyResultSet:
            continue
        gate = _gate(each, names)
        ctes.append(f"{each.name} AS MATERIALIZED (SELECT * FROM ({inner}) AS row ({each.columns}){gate})")
        names.add(each.name)
        params += tuple(inner_params)
    read = [each for each in lists if each.name in names]
    if not read:
        raise EmptyResultSet
    scanned = [f"(SELECT count(*) FROM {each.name})" for each in read if each.is_approximate]
    statement = sql.load("candidates").format(
        ef_search=EF_SEARCH,
        lists=",\n".join(ctes),
        scanned=" + ".join(scanned) or "0",
        candidates=" UNION ALL ".join(map(_select, read)),
    )
    return statement, params


def _gate(each: Candidates, known: set[str]) -> str:
    """Conditions that are judged once, before the list is read."""
    if each.is_approximate:
        return " WHERE (SELECT count(*) FROM setting) = 1"
    conditions = [f"(SELECT count(*) FROM {name}) < {each.enough:d}" for name in each.unless if name in known]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _select(each: Candidates) -> str:
    chunk = "chunk" if "chunk" in each.columns else "NULL"
    return f"SELECT '{each.part}', key, {chunk}, far FROM {each.name}"
