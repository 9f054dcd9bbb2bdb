"""`requeue_missing` over a table of 1,000,000 rows with vectors of 256 dimensions, most of which are there.

The whole command is timed, in this process: what it reads, queues and says. Beside it is the least that anybody could
ask the database: to count the rows without a vector. The vectors lie in the rows themselves (at 1,536 dimensions they
would be in a table of their own, and the scan have less to read), so that both read 1.2 GB.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.management import call_command
from django.db import connection

from benchmarks import indexes
from benchmarks.models import DIMENSIONS, EmbeddedPage
from benchmarks.rounds import in_turns, seconds_of
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings import registry
from embeddings.models import EmbeddingTask
from embeddings.providers import get_provider

SQL = (Path(__file__).parents[1] / "filled.sql").read_text()
MODEL = EmbeddedPage._meta.label_lower
MISSING = 1000


def measure(scale: Scale) -> Iterator[Row]:
    rows, read = scale.of(1_000_000, 200_000, 5_000), scale.of(50_000, 20_000, 2_000)
    rounds = scale.of(5, 3, 1)
    _fill(1, read)
    yield _row("all of it: missing, stale or failed, so that each text is read", read, rounds, _nothing_found)
    _fill(read + 1, rows)
    yield _row("--missing, and none is", rows, rounds, _nothing_found, "--missing", ours_at_least=200_000)
    _empty(MISSING, rows)
    yield _row(f"--missing, and {MISSING:,} are", rows, rounds, _found, "--missing")


def _row(
    what: str, rows: int, rounds: int, check: Callable[[str], None], *options: str, ours_at_least: float | None = None
) -> Row:
    """Rows a second."""

    def ours() -> float:
        out = io.StringIO()
        seconds = seconds_of(
            lambda: call_command("requeue_missing", "--yes", "--model", MODEL, *options, stdout=out, no_color=True)
        )
        check(out.getvalue())
        return rows / seconds

    ours()
    taken = in_turns(ours, lambda: rows / seconds_of(_count), rounds)
    sides = (Side(label, tuple(values)) for label, values in zip(("ours", "count(*)"), taken, strict=True))
    name = f"requeue_missing of {rows:,} rows, {what} : count of the rows without a vector"
    return Row("missing", name, "rows/s", *sides, ours_at_least=ours_at_least)


def _count() -> None:
    EmbeddedPage.objects.filter(embedding=None).count()


def _nothing_found(said: str) -> None:
    assert "Nothing to queue" in said, said


def _found(said: str) -> None:
    """Forgets what was queued, to be found again."""
    assert f"Queued {MISSING:,} rows" in said, said
    EmbeddingTask.objects.filter(status="pending").delete()


def _fill(first: int, last: int) -> None:
    (target,) = registry.targets_for(EmbeddedPage)
    parameters = {
        "first": first,
        "last": last,
        "dimensions": DIMENSIONS,
        "model_id": get_provider(target.provider).model_id,
        "content_type": target.content_type_id("default"),
    }
    with connection.cursor() as cursor:
        with indexes.dropped(cursor, EmbeddingTask._meta.db_table):
            cursor.execute(SQL, parameters)
        cursor.execute("VACUUM (ANALYZE)")


def _empty(count: int, rows: int) -> None:
    """Rows that no signal has seen, here and there, as an import behind the application's back leaves them."""
    keys = [1 + number * rows // count for number in range(count)]
    EmbeddedPage._base_manager.filter(pk__in=keys).update(embedding=None)
    EmbeddingTask.objects.filter(object_id__in=[str(key) for key in keys]).delete()
