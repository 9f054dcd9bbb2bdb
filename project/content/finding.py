"""From what a reader typed to the results that are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from django.utils.safestring import SafeString

from embeddings import conf
from project.content import passages
from project.content.kinds import Kind
from project.content.models import Article
from project.content.states import State, states_of

MAX_QUERY = 400
MAX_RESULTS = 20

MODES = {"hybrid": "Both", "semantic": "Meaning", "keyword": "Words"}
FOUND_BY = {"both": "meaning and words", "semantic": "meaning", "keyword": "words"}


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; `was_cut` says that more was typed than is looked for."""

    text: str
    mode: str
    was_cut: bool = False

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Query:
        """From a query string, whatever is in it. Without vectors, by words is the only way."""
        typed = " ".join(data.get("q", "").replace("\0", " ").split())
        mode = data.get("mode", "hybrid")
        if not conf.current().enabled:
            mode = "keyword"
        return cls(typed[:MAX_QUERY].strip(), mode if mode in MODES else "hybrid", len(typed) > MAX_QUERY)


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
class Results:
    """What was found, best first; `degraded` says that the provider could not be asked, so only words counted."""

    results: list[Result]
    degraded: bool
    milliseconds: int


def find(query: Query) -> Results:
    """The best articles for a query that is not empty."""
    started = perf_counter()
    found = Article.objects.search(query.text, mode=query.mode)
    articles = list(found.defer("embedding")[:MAX_RESULTS])
    degraded = bool(getattr(found, "degraded", False))
    milliseconds = round((perf_counter() - started) * 1000)
    return Results(_presented(articles, query), degraded, milliseconds)


def _presented(articles: list[Article], query: Query) -> list[Result]:
    states = states_of(articles)
    wanted = passages.pattern(query.text)
    return [
        Result(
            article=article,
            title=passages.marked(article.title, wanted),
            passage=passages.passage(_body(article), wanted),
            score=article.score,
            found_by=FOUND_BY.get(article.found_by, article.found_by),
            state=states.get(article.pk),
        )
        for article in articles
    ]


def _body(article: Article) -> str:
    """Documentation without its first line, the name and parameters, which the title mostly says."""
    if article.kind != Kind.DOCUMENTATION:
        return article.content
    heading, _, body = article.content.partition("\n\n")
    return body or heading
