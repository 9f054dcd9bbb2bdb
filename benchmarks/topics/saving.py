"""What a save costs whoever saves: an object with an embedding, one without, and one that is embedded in its save.

Each save is in autocommit, as in a request, and its own transaction; objects with and without take turns, one by one.
PostgreSQL flushes each commit to disk here, as it does in production, so that the ratio depends on the disk; the rows
"not flushed" (synchronous_commit off) say what it is where a commit costs next to nothing. No worker runs, but Redis
does. A provider in the network would add about 200 ms to a save that embeds; ours never waits for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import filling, prose, trips
from benchmarks.baselines import naive
from benchmarks.baselines.inline import InlinePage
from benchmarks.models import EmbeddedPage, HandmadePage, Page, PlainPage
from benchmarks.rounds import in_turns, percentile, seconds_of
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from benchmarks.statements import recorded

OURS, PLAIN, INLINE = "embedded", "plain", "embeds in its save"
MODELS: dict[str, type[Page]] = {OURS: EmbeddedPage, PLAIN: PlainPage, INLINE: InlinePage}


def measure(scale: Scale) -> Iterator[Row]:
    _saved_in_turns(5)  # connections, caches, the model
    yield from _times(saves=scale.of(1_000, 500, 20), rounds=scale.of(5, 3, 1))
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        yield from _times(saves=scale.of(1_000, 500, 20), rounds=scale.of(5, 3, 1), how=", not flushed")
        cursor.execute("SET synchronous_commit = on")
    yield from _counts(saves=scale.of(200, 50, 10))
    yield _bulk(rows=scale.of(10_000, 10_000, 200), rounds=scale.of(5, 3, 1))


def _times(saves: int, rounds: int, how: str = "") -> Iterator[Row]:
    found = [_saved_in_turns(saves) for _ in range(rounds)]

    def side(label: str, share: float) -> Side:
        return Side(label, tuple(percentile(milliseconds[label], share) for milliseconds in found))

    for name, share, goal in (("p50", 0.5, 1.6), ("p95", 0.95, None)):
        what = f"a save, {name}{how}"
        limit = None if how else goal
        yield Row("saving", what, "ms", side(OURS, share), side(PLAIN, share), ratio_at_most=limit)
        yield Row("saving", what, "ms", side(OURS, share), side(INLINE, share))


def _saved_in_turns(saves: int) -> dict[str, list[float]]:
    """The milliseconds of so many saves of each model."""
    milliseconds: dict[str, list[float]] = {label: [] for label in MODELS}
    for pages in zip(*(prose.pages(model, saves) for model in MODELS.values()), strict=True):
        for label, page in zip(MODELS, pages, strict=True):
            milliseconds[label].append(1000 * seconds_of(page.save))
    return milliseconds


def _counts(saves: int) -> Iterator[Row]:
    """Of the median save: one in two seconds sends a poke, one in a minute looks whether a worker lives."""
    plain = _each(PlainPage, saves, _statements)
    extra = {"ours_at_most": plain + 2}
    yield _count("statements of a save", _each(EmbeddedPage, saves, _statements), plain, PLAIN, **extra)
    everything = (_each(model, saves, _statements_and_transactions) for model in (EmbeddedPage, PlainPage))
    yield _count("statements of a save, BEGIN and COMMIT included", *everything, PLAIN)
    with naive.connected():
        job_a_row = _each(HandmadePage, saves, _round_trips)
    ours = _each(EmbeddedPage, saves, _round_trips)
    yield _count("round trips to Redis of a save", ours, job_a_row, "django-rq job a row", ours_at_most=1)


def _count(what: str, ours: float, theirs: float, label: str, *, ours_at_most: float | None = None) -> Row:
    return Row("saving", what, "a save", Side(OURS, (ours,)), Side(label, (theirs,)), ours_at_most=ours_at_most)


def _each(model: type[Page], saves: int, count: Callable[[Page], int]) -> float:
    return median(count(page) for page in prose.pages(model, saves))


def _statements(page: Page) -> int:
    with recorded() as statements:
        page.save()
    return len(statements)


def _statements_and_transactions(page: Page) -> int:
    with CaptureQueriesContext(connection) as queries:
        page.save()
    return len(queries)


def _round_trips(page: Page) -> int:
    with trips.counted() as count:
        page.save()
    return count[0]


def _bulk(rows: int, rounds: int) -> Row:
    ours, plain = in_turns(partial(_bulk_created, EmbeddedPage, rows), partial(_bulk_created, PlainPage, rows), rounds)
    what = f"bulk_create of {rows:,}"
    return Row("saving", what, "rows/s", Side(OURS, tuple(ours)), Side(PLAIN, tuple(plain)))


def _bulk_created(model: type[Page], rows: int) -> float:
    """Rows a second into an empty table."""
    filling.empty(model)
    pages = list(prose.pages(model, rows))
    return rows / seconds_of(lambda: model._default_manager.bulk_create(pages))
