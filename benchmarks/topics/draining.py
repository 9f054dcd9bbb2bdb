"""Rows a second from the commit to the last vector: the local model, texts of about 100 characters, no index.

All rows are committed at once while the workers wait with their models loaded; the clock starts with the commit. So it
does for the naive ways, which enqueue their jobs as the first thing after it, and for the bare script, which runs in
this process, connected and warm: once with our provider, and once with wordllama's own `embed`, which somebody without
our code would call. Workers claim blocks of the script's size. The saves themselves are measured by `saving`; the start
of a process is not measured. Two workers share two cores with PostgreSQL, so that they cannot be twice as fast as one
on a small machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import django_rq

from benchmarks import crew, filling, prose
from benchmarks.baselines import bare, naive
from benchmarks.models import EmbeddedPage, HandmadePage
from benchmarks.rounds import all_in_turns
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings.providers import get_provider

WHAT = "committed rows, local model, no index"
ONE = "one worker"


def measure(scale: Scale) -> Iterator[Row]:
    rows = scale.of(30_000, 10_000, 200)
    measures = {
        ONE: partial(_ours, 1, rows),
        "two workers": partial(_ours, 2, rows),
        "bare script": partial(_bare, rows, get_provider("default")),
        "bare script, wordllama's embed": partial(_bare, rows, bare.WordLlama()),
        "naive SimpleWorker": partial(_naive, naive.OneProcessWorker, scale.of(600, 300, 20)),
        "naive fork worker": partial(_naive, naive.ForkWorker, scale.of(150, 75, 5)),
    }
    if scale.name == "smoke":  # Each worker takes a second to start.
        measures = {label: measures[label] for label in (ONE, "bare script", "naive SimpleWorker")}
    figures = all_in_turns(list(measures.values()), scale.of(3, 1, 1))
    sides = {label: Side(label, tuple(values)) for label, values in zip(measures, figures, strict=True)}
    return _rows(sides)


def _rows(sides: dict[str, Side]) -> Iterator[Row]:
    one = sides.pop(ONE)
    goals = {
        "bare script": 0.7,
        "bare script, wordllama's embed": 0.7,
        "naive SimpleWorker": 15.0,
        "naive fork worker": 100.0,
    }
    if two := sides.pop("two workers", None):
        yield Row("draining", WHAT, "rows/s", two, one, ratio_at_least=1.6)
    for label, side in sides.items():
        yield Row("draining", WHAT, "rows/s", one, side, ratio_at_least=goals.get(label, 0.7))


def _ours(workers: int, rows: int) -> float:
    filling.empty(EmbeddedPage)
    pages = list(prose.pages(EmbeddedPage, rows))
    with crew.started(workers, embeddings={"BATCH_SIZE": bare.BLOCK}):
        return filling.rows_a_second(EmbeddedPage, lambda: EmbeddedPage.objects.bulk_create(pages))


def _naive(worker: type, rows: int) -> float:
    filling.empty(HandmadePage)
    queue = django_rq.get_queue(naive.QUEUE)
    arguments = [naive.QUEUE, "--worker-class", f"{worker.__module__}.{worker.__qualname__}"]
    pages = list(prose.pages(HandmadePage, rows))
    with crew.at_work(queue, arguments), naive.connected():
        return filling.rows_a_second(HandmadePage, lambda: [page.save() for page in pages])


def _bare(rows: int, model: Any) -> float:
    filling.empty(HandmadePage)
    pages = list(prose.pages(HandmadePage, rows))
    table = HandmadePage._meta.db_table
    model.prepare()
    with bare.connect(os.environ["DATABASE_URL"]) as connection:
        script = partial(bare.embed_all, connection, table, model)
        return filling.rows_a_second(HandmadePage, lambda: HandmadePage.objects.bulk_create(pages), script)
