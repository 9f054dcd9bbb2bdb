"""From what a reader typed to the results that are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from django.utils.safestring import SafeString

from embeddings import conf
from embeddings.search import Hit, across
from project.content import markdown, passages
from project.content.catalogue import COLLECTIONS, Collection, collection_of
from project.content.grouping import Group, each_alone, grouped, source_of
from project.content.states import State, states_by_object
from project.content.visibility import User

MAX_QUERY = 400
MAX_SOURCE = 200
# The best hits that are looked at, and how many groups of them are shown.
CANDIDATES = 100
MAX_GROUPS = 20

MODES = {"hybrid": "Both", "semantic": "Meaning", "keyword": "Words"}
FOUND_BY = {"both": "meaning and words", "semantic": "meaning", "keyword": "words"}


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: in one collection or one source of articles only, if it is named.

    `was_cut` says that more was typed than is looked for.
    """

    text: str
    mode: str
    only: str = ""
    source: str = ""
    was_cut: bool = False

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Query:
        """From a query string, whatever is in it. Without vectors, by words is the only way."""
        typed, source = _line(data.get("q", "")), _line(data.get("source", ""))
        mode, only = data.get("mode", "hybrid"), data.get("only", "")
        if not conf.current().enabled:
            mode = "keyword"
        mode = mode if mode in MODES else "hybrid"
        only = only if only in COLLECTIONS else ""
        if only and only != "articles":
            source = ""
        return cls(typed[:MAX_QUERY].strip(), mode, only, source[:MAX_SOURCE], len(typed) > MAX_QUERY)


@dataclass(frozen=True, slots=True)
class Result:
    """One object as it is listed; `source` is an article's."""

    object: Any
    collection: Collection
    source: str
    title: SafeString
    passage: SafeString
    score: float
    found_by: str
    state: State | None


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """The best hit of one source, others of it that are named below, and how many more were found there."""

    best: Result
    others: list[Result]
    hidden: int


@dataclass(frozen=True, slots=True)
class Results:
    """What was found, best first; `degraded` says that the provider could not be asked, so only words counted."""

    groups: list[ResultGroup]
    degraded: bool
    milliseconds: int

    @property
    def count(self) -> int:
        """The objects that are shown."""
        return sum(1 + len(group.others) for group in self.groups)


def find(query: Query, user: User) -> Results:
    """The best of what `user` may see, for a query that is not empty: by source, or those of the source it names."""
    started = perf_counter()
    if query.source or query.only == "articles":
        groups, degraded = _in_articles(query, user)
    else:
        groups, degraded = _in_collections(query, user)
    milliseconds = round((perf_counter() - started) * 1000)
    return Results(_presented(groups, query), degraded, milliseconds)


def _in_articles(query: Query, user: User) -> tuple[list[Group], bool]:
    articles = COLLECTIONS["articles"].visible(user)
    if query.source:
        articles = articles.filter(source=query.source)
    found = articles.search(query.text, mode=query.mode)
    hits = [Hit(each, each.score, each.found_by) for each in found[:CANDIDATES]]
    return each_alone(hits) if query.source else grouped(hits)[:MAX_GROUPS], found.degraded


def _in_collections(query: Query, user: User) -> tuple[list[Group], bool]:
    collections = [COLLECTIONS[query.only]] if query.only else COLLECTIONS.values()
    wanted = [(each.visible(user), each.embedded) for each in collections]
    found = across(wanted, query.text, mode=query.mode, limit=CANDIDATES)
    return grouped(found.hits)[:MAX_GROUPS], found.degraded


def _presented(groups: list[Group], query: Query) -> list[ResultGroup]:
    states = states_by_object(hit.object for group in groups for hit in group.shown)
    wanted = passages.pattern(query.text)
    presented = []
    for group in groups:
        best, *others = [_result(hit, wanted, states.get(hit.object)) for hit in group.shown]
        presented.append(ResultGroup(best, others, group.hidden))
    return presented


def _result(hit: Hit, wanted: re.Pattern[str] | None, state: State | None) -> Result:
    collection = collection_of(hit.object)
    text = hit.passage or getattr(hit.object, collection.text)
    return Result(
        object=hit.object,
        collection=collection,
        source=source_of(hit),
        title=passages.marked(str(hit.object), wanted),
        passage=passages.passage(markdown.as_plain(text) if collection.is_markdown else text, wanted),
        score=hit.score,
        found_by=FOUND_BY.get(hit.found_by, hit.found_by),
        state=state,
    )


def _line(typed: str) -> str:
    """As one line, without what PostgreSQL cannot hold."""
    return " ".join(typed.replace("\0", " ").split())
