"""From what a reader typed to the results that are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from django.utils.safestring import SafeString

from embeddings import conf
from project.content import passages
from project.content.grouping import Group, each_alone, grouped
from project.content.models import Article
from project.content.states import State, states_of

MAX_QUERY = 400
MAX_SOURCE = 200
# The best articles that are looked at, and how many groups of them are shown.
CANDIDATES = 100
MAX_GROUPS = 20

MODES = {"hybrid": "Both", "semantic": "Meaning", "keyword": "Words"}
FOUND_BY = {"both": "meaning and words", "semantic": "meaning", "keyword": "words"}


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: in one source only, if one is named. `was_cut` says that more was typed than is looked for."""

    text: str
    mode: str
    source: str = ""
    was_cut: bool = False

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Query:
        """From a query string, whatever is in it. Without vectors, by words is the only way."""
        typed, source = _line(data.get("q", "")), _line(data.get("source", ""))
        mode = data.get("mode", "hybrid")
        if not conf.current().enabled:
            mode = "keyword"
        mode = mode if mode in MODES else "hybrid"
        return cls(typed[:MAX_QUERY].strip(), mode, source[:MAX_SOURCE], len(typed) > MAX_QUERY)


@dataclass(frozen=True, slots=True)
class Result:
    """One article as it is listed; `score` is None where only words were compared."""

    article: Article
    title: SafeString
    passage: SafeString
    score: float | None
    found_by: str
    state: State | None


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """The best article of one source, others of it that are named below, and how many more were found there."""

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
        """The articles that are shown."""
        return sum(1 + len(group.others) for group in self.groups)


def find(query: Query) -> Results:
    """The best articles for a query that is not empty: by their source, or those of the source that it names."""
    started = perf_counter()
    articles = Article.objects.filter(source=query.source) if query.source else Article.objects.all()
    found = articles.search(query.text, mode=query.mode)
    best = found.defer("embedding")[:CANDIDATES]
    groups = each_alone(best) if query.source else grouped(best)[:MAX_GROUPS]
    degraded = bool(getattr(found, "degraded", False))
    milliseconds = round((perf_counter() - started) * 1000)
    return Results(_presented(groups, query), degraded, milliseconds)


def _presented(groups: list[Group], query: Query) -> list[ResultGroup]:
    states = states_of(article for group in groups for article in group.shown)
    wanted = passages.pattern(query.text)
    presented = []
    for group in groups:
        best, *others = [_result(article, wanted, states.get(article.pk)) for article in group.shown]
        presented.append(ResultGroup(best, others, group.hidden))
    return presented


def _result(article: Article, wanted: re.Pattern[str] | None, state: State | None) -> Result:
    return Result(
        article=article,
        title=passages.marked(article.title, wanted),
        passage=passages.passage(article.content, wanted),
        score=article.score,
        found_by=FOUND_BY.get(article.found_by, article.found_by),
        state=state,
    )


def _line(typed: str) -> str:
    """As one line, without what PostgreSQL cannot hold."""
    return " ".join(typed.replace("\0", " ").split())
