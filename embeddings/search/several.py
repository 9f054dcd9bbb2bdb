"""One search of several models."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet

from embeddings import sql
from embeddings.search.candidates import Asked, Candidates, lists_of
from embeddings.search.choice import source_of
from embeddings.search.finding import asked_of
from embeddings.search.modes import CANDIDATES, RRF_K, SearchMode
from embeddings.search.sources import Source
from embeddings.search.statement import compiled
from embeddings.search.words import is_searchable
from embeddings.text import clean


@dataclass(frozen=True, slots=True)
class Hit:
    """One object that was found. `passage` is the text of its best chunk, where it has some."""

    object: Any
    score: float
    # "semantic", "keyword" or "both".
    found_by: str
    passage: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The hits, best first; `degraded` says that a provider could not be asked, so that only words counted there."""

    hits: list[Hit]
    degraded: bool


# What is searched; of a model with several embedded fields, the name of one of them is said with it.
Searched = QuerySet[Any] | tuple[QuerySet[Any], str]
# An object: the number of its queryset, and its key. A piece of it: with the key of the chunk, if it has some.
Key = tuple[int, str]
Piece = tuple[int, str, str | None]


@dataclass(slots=True)
class _Fused:
    """What the rankings say of one object."""

    score: float = 0.0
    by_meaning: bool = False
    by_words: bool = False
    chunk: str | None = None

    @property
    def found_by(self) -> str:
        return "both" if self.by_meaning and self.by_words else "semantic" if self.by_meaning else "keyword"


def across(querysets: Iterable[Searched], query: str, *, mode: SearchMode = "hybrid", limit: int = 20) -> Found:
    """The best objects of several models, each queryset with its own filters and permissions.

    Where a model has several embedded fields, give `(queryset, "field")` in the place of the queryset.
    Vectors of one model are ranked together by distance, those of each other by themselves, words by text rank; the
    score is the ranks fused. A queryset whose text no query can read is searched by meaning only.
    """
    query = clean(query)
    wanted = [source_of(*each) if isinstance(each, tuple) else source_of(each, None) for each in querysets]
    if not query:
        return Found([], degraded=False)
    asked = {alias: asked_of(query, mode, alias, CANDIDATES) for alias in {source.target.provider for source in wanted}}
    rankings = _rankings(wanted, {alias: each for alias, (each, _) in asked.items()})
    fused = _fused(rankings)
    best = sorted(fused, key=lambda key: (-fused[key].score, wanted[key[0]].label, key[1]))[:limit]
    hits = _hits(wanted, {key: fused[key] for key in best})
    return Found(hits, degraded=any(is_degraded for _, is_degraded in asked.values()))


def _rankings(wanted: Sequence[Source], asked: dict[str, Asked]) -> dict[tuple[Any, ...], list[Piece]]:
    """The pieces of each ranking, best first: one of the distances to each model's vector, one of each way by words."""
    rankings: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for using in sorted({source.using for source in wanted}):
        lists = {
            number: lists_of(source, asked[source.target.provider])
            for number, source in enumerate(wanted)
            if source.using == using and _is_possible(source, asked[source.target.provider])
        }
        for number, part, key, chunk, far in _fetched(lists, using):
            source = wanted[number]
            ranking = (part, *asked[source.target.provider].made_by) if part == "semantic" else (part,)
            order = math.isnan(far), far, source.label, key, chunk or ""
            rankings[ranking].append((order, (number, key, chunk)))
    return {ranking: [piece for _, piece in sorted(rows)] for ranking, rows in rankings.items()}


def _is_possible(source: Source, asked: Asked) -> bool:
    return asked.vector is not None or is_searchable(source.target)


def _fetched(lists: Mapping[int, Sequence[Candidates]], using: str) -> list[tuple[Any, ...]]:
    """(number, part, key, chunk, far) of every candidate of one database, in one statement."""
    connection = connections[using]
    selects: list[str] = []
    params: tuple[Any, ...] = ()
    for number, each in lists.items():
        with suppress(EmptyResultSet):
            candidates, its_params = compiled(each, connection)
            selects.append(sql.load("candidates_of").format(number=number, candidates=candidates))
            params += its_params
    if not selects:
        return []
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        return list(cursor.fetchall())


def _fused(rankings: Mapping[tuple[Any, ...], Sequence[Piece]]) -> dict[Key, _Fused]:
    """Reciprocal ranks summed up for each piece. An object has the score of its best piece."""
    scores: dict[Piece, float] = defaultdict(float)
    fused: dict[Key, _Fused] = defaultdict(_Fused)
    for (part, *_), pieces in rankings.items():
        for place, piece in enumerate(pieces, 1):
            scores[piece] += 1 / (RRF_K + place)
            found = fused[piece[:2]]
            found.by_meaning |= part == "semantic"
            found.by_words |= part != "semantic"
    for piece, score in sorted(scores.items(), key=lambda item: (-item[1], item[0][2] or "")):
        found = fused[piece[:2]]
        if not found.score:
            found.score, found.chunk = score, piece[2]
    return fused


def _hits(wanted: Sequence[Source], best: Mapping[Key, _Fused]) -> list[Hit]:
    """With their objects, as the querysets give them: one query a queryset, one more for the texts of chunks."""
    objects: dict[Key, Any] = {}
    passages: dict[tuple[int, str | None], str] = {}
    for number, source in enumerate(wanted):
        ours = {key: fused for (its_number, key), fused in best.items() if its_number == number}
        if ours:
            objects |= {(number, key): found for key, found in source.objects(ours).items()}
            chunks = [fused.chunk for fused in ours.values() if fused.chunk is not None]
            passages |= {(number, key): text for key, text in source.texts(chunks).items()}
    return [
        Hit(objects[key], fused.score, fused.found_by, passages.get((key[0], fused.chunk)))
        for key, fused in best.items()
        if key in objects  # not deleted meanwhile
    ]
