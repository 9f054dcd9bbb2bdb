"""Rows a second from the commit to the last vector by a provider in a network: 1,536 dimensions, 200 ms a request.

The provider is the tests' server, in a process of its own, which has made each vector once before. The bare script asks
the same provider with as many texts a request, and as many requests at once, as our worker. As in `draining`, all rows
are committed at once, while workers wait; there is no index. The server and PostgreSQL share the machine's cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from benchmarks import crew, filling, http_provider, prose
from benchmarks.baselines import bare
from benchmarks.models import WideHandmadePage, WidePage
from benchmarks.rounds import all_in_turns
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings.providers import get_provider

SIZES = {"BATCH_SIZE": 256, "CONCURRENCY": 5}
WHAT = "committed rows, 1,536 dimensions, 200 ms a request, 5 at once"
ONE, TWO, BARE = "one worker", "two workers", "bare script"


def measure(scale: Scale) -> Iterator[Row]:
    rows = scale.of(20_000, 10_000, 100)
    with http_provider.served(latency_seconds=0.2) as providers:
        _ask_for_all(rows)
        measures = {
            ONE: partial(_ours, 1, rows, providers),
            BARE: partial(_bare, rows),
            TWO: partial(_ours, 2, rows, providers),
        }
        if scale.name == "smoke":  # Each worker takes a second to start.
            del measures[TWO]
        figures = all_in_turns(list(measures.values()), scale.of(3, 1, 1))
    sides = {label: Side(label, tuple(values)) for label, values in zip(measures, figures, strict=True)}
    yield Row("http", WHAT, "rows/s", sides[ONE], sides[BARE], ratio_at_least=0.7)
    if TWO in sides:
        yield Row("http", WHAT, "rows/s", sides[TWO], sides[ONE])


def _ask_for_all(rows: int) -> None:
    """Let the server make the vectors, which it keeps: no side is to wait for that."""
    provider = get_provider("http")
    texts = [f"{page.title}\n{page.body}" for page in prose.pages(WidePage, rows)]
    for start in range(0, rows, provider.max_inputs):
        provider.embed(texts[start : start + provider.max_inputs])


def _ours(workers: int, rows: int, providers: Mapping[str, Mapping[str, Any]]) -> float:
    filling.empty(WidePage)
    pages = list(prose.pages(WidePage, rows))
    with crew.started(workers, embeddings=SIZES, providers=providers):
        return filling.rows_a_second(WidePage, lambda: WidePage.objects.bulk_create(pages))


def _bare(rows: int) -> float:
    filling.empty(WideHandmadePage)
    pages = list(prose.pages(WideHandmadePage, rows))
    table = WideHandmadePage._meta.db_table
    with bare.connect(os.environ["DATABASE_URL"]) as connection:
        script = partial(
            bare.embed_all_with_threads,
            connection,
            table,
            get_provider("http"),
            block=SIZES["BATCH_SIZE"],
            threads=SIZES["CONCURRENCY"],
        )
        return filling.rows_a_second(WideHandmadePage, lambda: WideHandmadePage.objects.bulk_create(pages), script)
