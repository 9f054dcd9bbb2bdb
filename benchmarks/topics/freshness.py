"""How soon a person's save has its vector: with a worker that waits, and behind a backfill of 100,000 rows.

Measured from the commit of the save to the vector in the row, which is asked for every 2 ms by another transaction: the
poke, the fork of the job's process, the claim, the local model, the write. The worker is `manage.py rqworker`. Behind
the backfill (`requeue_missing`, low priority) it is at work before the first save, and still is after the last that
counts. Not measured: a web server's own time, and that of a provider elsewhere.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator, Sequence

from django.core.management import call_command
from django.db import connection, transaction

import embeddings
from benchmarks import crew
from benchmarks.models import EmbeddedPage
from benchmarks.rounds import percentile
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings import pauses
from embeddings.models import OPEN, EmbeddingTask

POLL_SECONDS = 0.002
# A save that has no vector after this has failed.
MOST_SECONDS = 30.0
# Before a save, at random: so long that the worker waits again; and so that it comes at any moment of its work.
IDLE_PAUSE_SECONDS, BUSY_PAUSE_SECONDS = (0.1, 0.25), (0.02, 0.08)

IDLE_GOAL_MS = 250.0
BEHIND_GOAL_MS = 1000.0

_FILL = """
    INSERT INTO benchmarks_embeddedpage (title, body)
    SELECT 'Row ' || number, md5(number::text) || ' ' || md5((-number)::text) || ' of a table that was there before'
    FROM generate_series(1, %s) AS number
"""

Waits = list[float]


def measure(scale: Scale) -> Iterator[Row]:
    rows, saves, rounds = scale.of(100_000, 30_000, 8_000), scale.of(50, 12, 3), scale.of(2, 1, 1)
    idle, behind = zip(*(_round(rows, saves) for _ in range(rounds)), strict=True)
    yield _row("half of all saves have their vector within", 0.5, idle, behind, rows)
    yield _row("99 % of all saves have their vector within", 0.99, idle, behind, rows, BEHIND_GOAL_MS)
    yield _idle_row(idle)


def _row(
    what: str, share: float, idle: Sequence[Waits], behind: Sequence[Waits], rows: int, goal: float | None = None
) -> Row:
    return Row(
        topic="freshness",
        what=what,
        unit="ms",
        ours=Side(f"behind {rows:,} tasks of a backfill", _percentiles(behind, share)),
        theirs=Side("with an idle worker", _percentiles(idle, share)),
        ours_at_most=goal,
    )


def _idle_row(idle: Sequence[Waits]) -> Row:
    return Row(
        topic="freshness",
        what="with an idle worker saves have their vector within",
        unit="ms",
        ours=Side("99 % of them", _percentiles(idle, 0.99)),
        theirs=Side("half of them", _percentiles(idle, 0.5)),
        ours_at_most=IDLE_GOAL_MS,
    )


def _percentiles(rounds: Sequence[Waits], share: float) -> tuple[float, ...]:
    return tuple(percentile(waits, share) for waits in rounds)


def _round(rows: int, saves: int) -> tuple[Waits, Waits]:
    """Milliseconds of each save, with an idle worker and behind the backfill."""
    with crew.started():
        _wait_for_vector(IDLE_PAUSE_SECONDS)  # the first time, all is slower
        idle = [_wait_for_vector(IDLE_PAUSE_SECONDS) for _ in range(saves)]
        _backfill(rows)
        behind = _waits_behind(saves)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE benchmarks_embeddedpage, embeddings_embeddingtask CASCADE")
    return idle, behind


def _waits_behind(saves: int) -> Waits:
    """Of so many saves, or of those that came before the backfill was over."""
    waits: Waits = []
    for _ in range(saves):
        wait = _wait_for_vector(BUSY_PAUSE_SECONDS)
        if not EmbeddingTask.objects.filter(status__in=OPEN).exists():
            break
        waits.append(wait)
    if len(waits) < saves / 3:
        raise SystemExit(f"The backfill was over after {len(waits)} of {saves} saves; take more rows.")
    return waits


def _backfill(rows: int) -> None:
    """Begin one: returns when the worker is in the middle of it."""
    pauses.pause(pauses.Kind.EVERYTHING, reason="Nothing is worked before all of it waits.", by="benchmarks")
    time.sleep(pauses.CACHE_SECONDS)  # until the worker knows it
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [rows])
        call_command("requeue_missing", model=["benchmarks.embeddedpage"], yes=True, verbosity=0, stdout=io.StringIO())
        cursor.execute("VACUUM (ANALYZE) benchmarks_embeddedpage, embeddings_embeddingtask")
    waiting = EmbeddingTask.objects.filter(status__in=OPEN)
    if waiting.count() < rows:
        raise SystemExit(f"Only {waiting.count():,} of {rows:,} tasks wait.")
    pauses.resume(pauses.Kind.EVERYTHING, by="benchmarks")
    crew.wait_until(lambda: waiting.count() < rows, 60, "the backfill had begun")


def _wait_for_vector(pause: tuple[float, float]) -> float:
    """Save as a person does; the milliseconds from the commit to the vector."""
    time.sleep(random.uniform(*pause))
    committed: list[float] = []
    with embeddings.by_person(), transaction.atomic():
        transaction.on_commit(lambda: committed.append(time.perf_counter()))  # before the worker is told
        page = EmbeddedPage.objects.create(title="What I have just written", body=f"{random.random()} " * 4)
    while not EmbeddedPage.objects.filter(pk=page.pk, embedding__isnull=False).exists():
        if time.perf_counter() > committed[0] + MOST_SECONDS:
            raise SystemExit(f"A save had no vector after {MOST_SECONDS:.0f} s.")
        time.sleep(POLL_SECONDS)
    return 1000 * (time.perf_counter() - committed[0])
