"""A backfill of a table that has an HNSW index: with the index live, and by `requeue_missing --rebuild-index`.

The whole way is timed, as an operator sees it: from the start of the command until every vector is there and the index
is valid again: counting the rows, queueing them, filling by workers, and on one side dropping and building. On the
other side rows are filled by the same command without the option. Both sides have the same texts of different words,
the same worker processes, which wait before the clock starts, and an index that is empty at the start.

Not in it: the cost of searches meanwhile, which compare every row while the index is gone.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.core.management import call_command
from django.db import connection

from benchmarks import crew
from benchmarks.models import IndexedPage
from benchmarks.rounds import in_turns, seconds_of
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings import indexes, registry
from embeddings.models import EmbeddingTask, IndexRebuild

MODEL = "benchmarks.indexedpage"
FILL_SECONDS = 600.0
SEED = 7
# Real words, so that texts mean different things, and their vectors lie apart.
PAGES = Path(__file__).resolve().parents[2] / "project" / "content" / "samples" / "handbook"


def measure(scale: Scale) -> Iterator[Row]:
    rows = scale.of(15_000, 2_500, 30)
    for workers, rounds in ((1, scale.of(2, 1, 1)), (2, scale.of(1, 0, 0))):
        if not rounds:
            continue
        with crew.started(workers):
            ours, theirs = in_turns(lambda: rows / _filled(rows, _rebuild), lambda: rows / _filled(rows, _live), rounds)
        yield Row(
            "index",
            f"backfill of {rows:,} rows with an HNSW index, {workers} worker{'s' if workers > 1 else ''}",
            "rows/s",
            Side("--rebuild-index", tuple(ours)),
            Side("index live", tuple(theirs)),
            ratio_at_least=3.0 if scale.name == "full" else None,
        )


def _filled(rows: int, fill: Callable[[], None]) -> float:
    """Seconds until all rows have their vectors, and the index is whole."""
    _empty()
    _insert(rows)
    took = seconds_of(fill)
    [target] = registry.get(MODEL)
    [index] = indexes.of_target(target, "default")
    if not index.is_valid or IndexedPage.objects.filter(embedding=None).exists():
        raise SystemExit("The backfill has ended, and not all is there.")
    return took


def _rebuild() -> None:
    _requeue("--rebuild-index")


def _live() -> None:
    _requeue()
    open_tasks = EmbeddingTask.objects.exclude(status="completed")
    crew.wait_until(lambda: not open_tasks.exists(), FILL_SECONDS, "all rows were filled")


def _requeue(*arguments: str) -> None:
    call_command("requeue_missing", "--yes", "--model", MODEL, *arguments, stdout=io.StringIO())


def _empty() -> None:
    with connection.cursor() as cursor:
        for model in (IndexedPage, EmbeddingTask, IndexRebuild):
            cursor.execute(f"TRUNCATE {connection.ops.quote_name(model._meta.db_table)} CASCADE")


def _insert(rows: int) -> None:
    """As another system leaves them: no signal, no task; about 100 characters, the same in every round."""
    chance = random.Random(SEED)
    words = sorted({word for page in PAGES.glob("*.md") for word in re.findall(r"[a-z]{3,}", page.read_text().lower())})
    made = [IndexedPage(title=_text(chance, words, 3), body=_text(chance, words, 11)) for _ in range(rows)]
    IndexedPage._base_manager.bulk_create(made, batch_size=5_000)
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {connection.ops.quote_name(IndexedPage._meta.db_table)}")


def _text(chance: random.Random, words: Sequence[str], count: int) -> str:
    return " ".join(chance.choices(words, k=count))
