"""How much of a provider's quota is used, and how many requests it refuses, if there is more to do than it allows.

The quota is 3,000 requests and 1,000,000 tokens a minute; the server, in a process of its own, keeps it as OpenAI does,
by buckets that fill evenly. Minutes are scaled: the windows in which the workers count, and what fits into a bucket,
are of five seconds, at the same rates. Of texts of about 100 characters it is the tokens that run out; so that requests
do, another quota has fewer of them, and a request at most ten texts. The first window, in which a full bucket is
emptied at once, is not counted: a row has a figure for each that follows. The workers are `manage.py rqworker`, and
share their counts on Valkey.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from benchmarks import crew
from benchmarks.models import DIMENSIONS, EmbeddedPage
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from embeddings import broker
from embeddings.models import OPEN, EmbeddingTask
from tests.openai_server.server import API_KEY

TOKENS_PER_MINUTE = 1_000_000
LATENCY_SECONDS = 0.1
# As long as those of the other benchmarks. Four characters are a token.
TEXT = "Row {number:09} has about a hundred characters, as the texts of the other benchmarks have them, too."
TOKENS_OF_A_ROW = len(TEXT) // 4

LEAST_USED = 0.95
MOST_REFUSED = 0.01


@dataclass(frozen=True, slots=True)
class Windows:
    """So many are measured, each so long; in production they have 60 seconds."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Case:
    """What is used up, by how many workers."""

    name: str
    workers: int
    requests_per_minute: int
    # The most texts in a request.
    batch_size: int

    @property
    def per_minute(self) -> int:
        """What there is of it."""
        return TOKENS_PER_MINUTE if self.name == "tokens" else self.requests_per_minute

    @property
    def rows_per_minute(self) -> float:
        """What can be done with that."""
        return self.per_minute / TOKENS_OF_A_ROW if self.name == "tokens" else self.per_minute * self.batch_size

    @property
    def who(self) -> str:
        return "one worker" if self.workers == 1 else f"{self.workers} workers"

    def settings(self, address: str) -> dict[str, Any]:
        """Of the workers, for `crew.started`."""
        provider = {
            "BACKEND": "embeddings.providers.openai.OpenAIProvider",
            "MODEL": "text-embedding-3-small",
            "DIMENSIONS": DIMENSIONS,
            "OPTIONS": {"API_KEY": API_KEY, "BASE_URL": address, "ENCODING": "base64"},
            "REQUESTS_PER_MINUTE": self.requests_per_minute,
            "TOKENS_PER_MINUTE": TOKENS_PER_MINUTE,
        }
        return {"providers": {"default": provider}, "embeddings": {"BATCH_SIZE": self.batch_size}}


@dataclass(frozen=True, slots=True)
class Count:
    """What the server has counted since its start: requests that were answered, and those that were refused."""

    requests: int
    tokens: int
    refused: int


CASES = (
    Case("tokens", 2, requests_per_minute=3_000, batch_size=256),
    Case("tokens", 1, requests_per_minute=3_000, batch_size=256),
    Case("requests", 1, requests_per_minute=1_200, batch_size=10),
)


def measure(scale: Scale) -> Iterator[Row]:
    windows = Windows(count=scale.of(2, 2, 1), seconds=scale.of(5, 3, 1))
    os.environ["BENCHMARK_WINDOW_SECONDS"] = str(windows.seconds)  # for the workers
    for case in CASES[: scale.of(3, 1, 1)]:
        counts = _measure(case, windows)
        yield _used(case, counts, windows)
        yield _refused(case, counts[-1])


def _used(case: Case, counts: Sequence[Count], windows: Windows) -> Row:
    used = [getattr(after, case.name) - getattr(before, case.name) for before, after in pairwise(counts)]
    return Row(
        topic="quota",
        what=f"{case.name} that {case.who} used of a quota of {case.per_minute:,} a minute",
        unit=f"{case.name} a minute",
        ours=Side("used", tuple(each * 60 / windows.seconds for each in used)),
        theirs=Side("quota", (float(case.per_minute),) * len(used)),
        ratio_at_least=LEAST_USED,
    )


def _refused(case: Case, count: Count) -> Row:
    return Row(
        topic="quota",
        what=f"requests of {case.who} that were answered 429, with as many {case.name} as there may be",
        unit="requests",
        ours=Side("refused", (float(count.refused),)),
        theirs=Side("all", (float(count.requests + count.refused),)),
        ratio_at_most=MOST_REFUSED,
    )


def _measure(case: Case, windows: Windows) -> list[Count]:
    """What the server has counted at the end of the first window and of each that follows."""
    with _server(case, windows) as address, crew.started(case.workers, **case.settings(address)):
        _fill(case, windows)
        crew.wait_until(lambda: _count(address).requests > 0, 30, "the first request was answered")
        started = time.monotonic()
        counts = [_count_at(started + number * windows.seconds, address) for number in range(1, windows.count + 2)]
        _check_backlog()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE benchmarks_embeddedpage, embeddings_embeddingtask CASCADE")
    broker.redis().flushdb()  # the next server has full buckets, so nothing is used yet
    return counts


def _fill(case: Case, windows: Windows) -> None:
    """More to do than the quota allows until the last window is over."""
    rows = round((windows.count + 2) * windows.seconds * case.rows_per_minute / 60)
    EmbeddedPage.objects.bulk_create(EmbeddedPage(title=TEXT.format(number=number)) for number in range(rows))


def _check_backlog() -> None:
    if not EmbeddingTask.objects.filter(status__in=OPEN).exists():
        raise SystemExit("All was done before the last window was over: the quota was not what it waited for.")


def _count_at(moment: float, address: str) -> Count:
    time.sleep(max(0.0, moment - time.monotonic()))
    return _count(address)


def _count(address: str) -> Count:
    with contextlib.closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)) as connection:
        connection.request("GET", "/_stats")
        found = json.loads(connection.getresponse().read())
    statuses = found["statuses"]
    return Count(requests=statuses.get("200", 0), tokens=found["tokens"], refused=statuses.get("429", 0))


@contextlib.contextmanager
def _server(case: Case, windows: Windows) -> Iterator[str]:
    """Its address, with "/v1"."""
    options = {
        "--requests-per-minute": case.requests_per_minute,
        "--tokens-per-minute": TOKENS_PER_MINUTE,
        "--burst-seconds": windows.seconds,
        "--latency-seconds": LATENCY_SECONDS,
    }
    command = [sys.executable, "-m", "tests.openai_server", *(str(each) for pair in options.items() for each in pair)]
    with subprocess.Popen(command, cwd=crew.ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
