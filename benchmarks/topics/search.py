"""How long a search takes, how much it finds, and how it does while a backfill runs.

Ours is what a page does: a queryset's `search()`, in each mode, under a filter or not, and the titles of the ten best.
Theirs is one statement written for just that (benchmarks/baselines/searching.py), on a connection of its own. Both
embed the question anew with the local model, except where the row says that it is known. Ours also asks the ledger what
the column holds and whether the provider may be asked, falls back where words or the index find too little, and says
by what each row was found. Not measured: the way over HTTP to the web server, and to a provider that is not here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

from benchmarks import crew, searched_pages
from benchmarks.asking import Asker, forget, milliseconds, questions
from benchmarks.baselines.searching import Searcher
from benchmarks.documentation import texts
from benchmarks.models import EmbeddedPage, SearchedPage
from benchmarks.rounds import in_turns, percentile
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings.models import EmbeddingTask, Status
from embeddings.providers import get_provider
from embeddings.search import SearchMode
from embeddings.search.statement import EF_SEARCH

TOPIC = "search"
MODES: tuple[SearchMode, ...] = get_args(SearchMode)
FILTERS = {"": None, ", filter that keeps 1 %": searched_pages.RARE, ", filter that keeps 30 %": searched_pages.COMMON}
WORST_MS = 20.0
RECALL = 0.95
K = 10
# Vectors are of single precision: as near as the last of the ten best is as good.
EPSILON = 1e-5


def measure(scale: Scale) -> Iterator[Row]:
    rows = scale.of(100_000, 10_000, 400)
    searched_pages.fill(rows)
    asked = questions(scale.of(87, 30, 5))
    searcher = Searcher(os.environ["DATABASE_URL"], _embed, EF_SEARCH)
    try:
        yield from _speed(searcher, asked, rows, scale.of(3, 1, 1))
        yield from _recall(searcher, asked, rows)
    finally:
        searcher.close()
    yield from _beside_a_backfill(asked, scale.of(3, 1, 1), scale.of(20_000, 4_000, 100))


def _speed(searcher: Searcher, asked: list[str], rows: int, rounds: int) -> Iterator[Row]:
    for mode in MODES:
        for name, kind in FILTERS.items():
            what = f"{mode} search of {rows:,} rows{name}"
            ours, theirs = _both(searcher, mode, kind, asked, rounds)
            yield _row(f"{what}, p95", ours.percentiles(0.95), theirs.percentiles(0.95), ours_at_most=WORST_MS)
            if kind is None:
                yield _row(f"{what}, p50", ours.percentiles(0.5), theirs.percentiles(0.5))
    ours, new = (Asker(_ours("hybrid", None), asked, remembers=remembers) for remembers in (True, False))
    new.ask()
    known, unknown = in_turns(ours.ask, new.ask, rounds)
    yield Row(
        TOPIC,
        "hybrid search, the question's vector known : made for it, p95",
        "ms",
        Side("known", tuple(known)),
        Side("made for it", tuple(unknown)),
    )


def _both(searcher: Searcher, mode: SearchMode, kind: int | None, asked: list[str], rounds: int) -> tuple[Asker, Asker]:
    """Warm, and measured."""
    ours = Asker(_ours(mode, kind), asked)
    theirs = Asker(partial(searcher.search, mode=mode, kind=kind), asked)
    for asker in (ours, theirs):
        asker.ask()
        asker.rounds.clear()
    in_turns(ours.ask, theirs.ask, rounds)
    return ours, theirs


def _recall(searcher: Searcher, asked: list[str], rows: int) -> Iterator[Row]:
    for name, kind in FILTERS.items():
        ours, theirs = [], []
        for question in asked:
            nearest = [score for *_, score in searcher.exact(question, kind)]
            found = [page.score for page in _ours("semantic", kind)(question)]
            ours.append(_share(found, nearest))
            theirs.append(_share([score for *_, score in searcher.search(question, "semantic", kind)], nearest))
        yield Row(
            TOPIC,
            f"share of the 10 nearest of {rows:,} rows that is found{name}",
            "of 1",
            Side("search()", (sum(ours) / len(asked),)),
            Side("one statement by hand", (sum(theirs) / len(asked),)),
            ours_at_least=RECALL,
        )


def _share(found: list[float], nearest: list[float]) -> float:
    """Of the nearest, by their scores, that were found."""
    return sum(score >= min(nearest) - EPSILON for score in found) / len(nearest)


def _beside_a_backfill(asked: list[str], rounds: int, backfill: int) -> Iterator[Row]:
    """In each mode in its turn, so that all meet the same backfill."""
    idle: dict[SearchMode, list[float]] = {mode: [] for mode in MODES}
    during: dict[SearchMode, list[float]] = {mode: [] for mode in MODES}
    with crew.started(1):
        for _ in range(rounds):
            for figures, is_backfill in ((idle, False), (during, True)):
                taken = _asked_beside(asked, backfill if is_backfill else 0)
                for mode in MODES:
                    figures[mode].append(percentile(taken[mode], 0.95))
    for mode in MODES:
        yield Row(
            TOPIC,
            f"{mode} search while a worker embeds {backfill:,} other rows : while it waits, p95",
            "ms",
            Side("during a backfill", tuple(during[mode])),
            Side("idle", tuple(idle[mode])),
        )


def _asked_beside(asked: list[str], backfill: int) -> dict[SearchMode, list[float]]:
    """The milliseconds of all questions, or of those for which the backfill lasts."""
    forget()
    taken: dict[SearchMode, list[float]] = {mode: [] for mode in MODES}
    EmbeddedPage.objects.bulk_create(EmbeddedPage(title=title, body=body) for title, body in texts(backfill))
    for question in asked:
        for mode in MODES:
            taken[mode].append(milliseconds(_ours(mode, None), question))
        if backfill and not _is_waiting():
            break
    crew.wait_until(lambda: not _is_waiting(), 120.0, "the backfill was done")
    return taken


def _is_waiting() -> bool:
    return EmbeddingTask.objects.filter(status=Status.PENDING).exists()


def _ours(mode: SearchMode, kind: int | None) -> Any:
    rows = SearchedPage.objects.all() if kind is None else SearchedPage.objects.filter(kind=kind)
    return lambda question: list(rows.search(question, mode=mode).only("title")[:K])


def _embed(text: str) -> Any:
    return get_provider("default").embed([text]).vectors[0]


def _row(what: str, ours: tuple[float, ...], theirs: tuple[float, ...], **goal: float) -> Row:
    return Row(TOPIC, what, "ms", Side("search()", ours), Side("one statement by hand", theirs), **goal)
