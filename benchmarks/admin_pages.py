"""Every page of the app's admin at a million tasks: `python -m benchmarks.admin_pages`. Ends with 1 if one is slow."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.test import Client

    from benchmarks.pages import Opened

# A page's 95th percentile must not be above.
LIMIT_MS = 300.0
# A page that is too slow at times is opened so many times more, as something else may have kept the machine busy.
MORE_TIMES = 15
# One that takes longer has failed already.
HOPELESS_MS = 1000.0
# Of a statement, in the table.
SQL_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a page takes, in milliseconds, and its statements."""

    url: str
    status: int
    median_ms: float
    p95_ms: float
    statements: int
    slowest_ms: float
    slowest_sql: str

    @property
    def is_bad(self) -> bool:
        return self.p95_ms > LIMIT_MS or self.status not in {200, 302, 403, 405}


def main() -> int:
    options = _options()
    client = _set_up(options.tasks)
    from benchmarks.pages import PageFinder

    finder = PageFinder(client, pairs=options.pairs)
    timings = [_timing(client, page, options.times) for page in finder.open_all()]
    timings.sort(key=lambda timing: (not timing.is_bad, -timing.p95_ms))
    bad = [timing for timing in timings if timing.is_bad]
    _write("\n".join(_table(timings, options.show)))
    if options.json:
        options.json.write_text(json.dumps([asdict(timing) for timing in timings], indent=1))
    for route in finder.missed:
        _write(f"Nothing leads to {route}: it was not measured.")
    _write(f"{len(timings)} pages at {options.tasks:,} tasks; {len(bad)} fail or have a p95 over {LIMIT_MS:.0f} ms.")
    return 1 if bad else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admin_pages", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5, help="how often each page is opened after the first time")
    parser.add_argument("--pairs", type=int, default=40, help="how many lists by two filters at once")
    parser.add_argument("--show", type=int, default=20, help="pages in the table, the slowest first")
    parser.add_argument("--json", type=Path, help="a file for all timings")
    return parser.parse_args()


def _set_up(tasks: int) -> Client:
    """Start servers, fill them, and log an operator in."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from benchmarks import ledger, operator

    call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)
    user = operator.make()
    start = time.perf_counter()
    ledger.fill(tasks, operator=user)
    _write(f"{tasks:,} tasks made in {time.perf_counter() - start:.0f} s.")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def _timing(client: Client, page: Opened, times: int) -> Timing:
    slowest = max(page.statements, key=lambda statement: statement.seconds, default=None)
    milliseconds = list(_opened_again(client, page.url, times))
    if max(milliseconds) > LIMIT_MS and min(milliseconds) < HOPELESS_MS:
        milliseconds += _opened_again(client, page.url, MORE_TIMES)
    return Timing(
        url=page.url,
        status=page.response.status_code,
        median_ms=statistics.median(milliseconds),
        p95_ms=sorted(milliseconds)[math.ceil(0.95 * len(milliseconds)) - 1],
        statements=len(page.statements),
        slowest_ms=1000 * slowest.seconds if slowest else 0.0,
        slowest_sql=" ".join(slowest.sql.split()) if slowest else "",
    )


def _opened_again(client: Client, url: str, times: int) -> Iterator[float]:
    for number in range(times):
        start = time.perf_counter()
        client.get(url)
        yield (taken := 1000 * (time.perf_counter() - start))
        if taken > HOPELESS_MS and number >= 1:
            return


def _table(timings: list[Timing], lines: int) -> Iterator[str]:
    yield f"{'median':>8} {'p95':>8} {'queries':>7} {'slowest':>8}  page, and its slowest statement (ms)"
    for timing in timings[:lines]:
        status = "" if timing.status == 200 else f" ({timing.status})"
        figures = f"{timing.median_ms:8.0f} {timing.p95_ms:8.0f} {timing.statements:7d} {timing.slowest_ms:8.0f}"
        yield f"{figures}  {timing.url}{status}"
        if timing.is_bad:
            yield f"{'':36}{_abbreviated(timing.slowest_sql)}"


def _abbreviated(sql: str) -> str:
    """The end says most: what a statement looks for, and in what order."""
    return sql if len(sql) <= SQL_CHARACTERS else f"… {sql[-SQL_CHARACTERS:]}"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
