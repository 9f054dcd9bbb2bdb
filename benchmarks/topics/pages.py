"""What operators and programs open, at 1,000,000 tasks with all that surrounds them, beside the same at 10,000.

Pages are answered by Django's test client: without a network, a web server's queue, or a browser. An operator is logged
in who is no superuser. Of each page the 95th percentile is taken; the slowest of the admin and of the API are shown.
`python -m benchmarks.admin_pages` opens every page there is, in five minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from django.db import connection, connections
from django.test import Client

from benchmarks import copies, ledger, operator
from benchmarks.rounds import in_turns, percentile, seconds_of
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings import census
from embeddings.monitoring import prometheus

ADMIN, API = "/admin/embeddings", "/api/embeddings"
OVERVIEW, METRICS = f"{ADMIN}/overview/", "/metrics"
# `last` is the task that was tried most often.
ADMIN_PAGES = (
    f"{ADMIN}/embeddingtask/",
    f"{ADMIN}/embeddingtask/?p=9",
    f"{ADMIN}/embeddingtask/?status__exact=failed",
    f"{ADMIN}/embeddingtask/?status__exact=pending",
    f"{ADMIN}/embeddingtask/?provider=second&status__exact=failed",
    f"{ADMIN}/embeddingtask/?field=embedding",
    f"{ADMIN}/embeddingtask/?batch=200",
    f"{ADMIN}/embeddingtask/?q=7",
    f"{ADMIN}/embeddingtask/?q=no-such-object",
    f"{ADMIN}/embeddingtask/{{last}}/change/",
    f"{ADMIN}/embeddingtask/bulk/retry/?status__exact=failed",
    f"{ADMIN}/failuregroup/",
    f"{ADMIN}/embeddingbatch/",
    f"{ADMIN}/embeddingbatch/200/change/",
    f"{ADMIN}/embeddingoperation/",
    f"{ADMIN}/providercall/",
    f"{ADMIN}/auditevent/?q=7",
    f"{ADMIN}/workerstatus/",
)
API_PAGES = (
    f"{API}/queue/status/",
    f"{API}/health/",
    f"{API}/stats/",
    f"{API}/tasks/",
    f"{API}/tasks/?status=failed",
    f"{API}/tasks/?status=completed&model=content.article",
    f"{API}/tasks/?batch=200",
    f"{API}/tasks/{{last}}/",
    f"{API}/batches/",
    f"{API}/batches/200/",
    f"{API}/operations/",
    f"{API}/workers/",
    f"{API}/providers/",
    "/health/ready/",
)
PAGE_MS, METRICS_MS = 300.0, 100.0


def measure(scale: Scale) -> Iterator[Row]:
    many, few = scale.of(1_000_000, 100_000, 2_000), scale.of(10_000, 10_000, 1_500)
    ledgers = _Ledgers({f"{many:,} tasks": many, f"{few:,} tasks": few})
    rounds, times = scale.of(3, 1, 1), scale.of(7, 3, 1)
    measured = partial(_row, ledgers, rounds, times)
    pages, answers = scale.of(len(ADMIN_PAGES), 6, 1), scale.of(len(API_PAGES), 6, 1)
    yield measured(OVERVIEW, "the overview", PAGE_MS)
    yield _slowest(measured(url, f"admin, the slowest of {pages} pages", PAGE_MS) for url in ADMIN_PAGES[:pages])
    yield _slowest(measured(url, f"API, the slowest of {answers} answers", PAGE_MS) for url in API_PAGES[:answers])
    yield measured(METRICS, "metrics", METRICS_MS)


class _Ledgers:
    """Two databases that one client asks in turns, as if each was the default one."""

    def __init__(self, tasks: dict[str, int]) -> None:
        """{name: how many tasks it has}, the default database's first."""
        self._tasks = tasks
        self.labels = tuple(tasks)
        self._client = Client(raise_request_exception=False)
        user = operator.make()
        self._client.force_login(user)
        first, *others = tasks
        self._names = {first: connection.settings_dict["NAME"]}
        self._names |= {name: connections.databases[copies.copy(name)]["NAME"] for name in others}
        for name, count in tasks.items():
            self._choose(name)
            ledger.fill(count, operator=user)

    def p95(self, name: str, url: str, times: int) -> float:
        """Milliseconds that a page takes, after the first time."""
        self._choose(name)
        # As a worker does when it is time: without workers the counts would soon be too old to be shown.
        census.take_if_due("default")
        url = url.format(last=self._tasks[name])
        self._open(url)
        return 1000 * percentile([seconds_of(lambda: self._open(url)) for _ in range(times)], 0.95)

    def _choose(self, name: str) -> None:
        connection.close()
        connection.settings_dict["NAME"] = self._names[name]

    def _open(self, url: str) -> None:
        # A scrape is to be read anew each time.
        prometheus.collector.forget()
        response = self._client.get(url)
        # Without workers, health is bad, which is an answer.
        assert response.status_code in {200, 503}, f"{url}: {response.status_code}"


def _row(ledgers: _Ledgers, rounds: int, times: int, url: str, what: str, limit: float) -> Row:
    many, few = ledgers.labels
    taken = in_turns(lambda: ledgers.p95(many, url, times), lambda: ledgers.p95(few, url, times), rounds)
    sides = (Side(label, tuple(values)) for label, values in zip((many, few), taken, strict=True))
    return Row("pages", f"{what}, {url}, p95 at {many} : at {few}", "ms", *sides, ours_at_most=limit)


def _slowest(rows: Iterable[Row]) -> Row:
    return max(rows, key=lambda row: row.ours.median)
