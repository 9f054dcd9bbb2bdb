"""Memory of web server and worker while many rows are created, and the load of 1,000 clients that create at once.

The web server is one gunicorn process with eight threads and a pool of connections, as `make up` runs it; the worker is
`manage.py rqworker`, with the local model. Memory is what is resident of a process and of all that come of it, the
worker's child for example, looked at every 50 ms; what a child shares with its parent counts twice, so it is less in
truth. The rows are imported through the API, 5,000 a request, the most that it takes, and embedded meanwhile.

Of 1,000 clients each has a connection of its own; all send the creation of one object at once, and are in flight until
they are answered. Timed is how long a thread of the server has a request: authentication, validation, the save with its
task, the poke, the answer. Before that requests wait for one of the eight threads, which is not part of the figure: how
long, follows from the creations a second. In use is a connection to the database that does something or has a
transaction open, the worker's too; it is looked for every 5 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connection
from rest_framework.authtoken.models import Token

from benchmarks import clients, crew, site, watching
from benchmarks.rounds import in_turns, percentile, seconds_of
from benchmarks.row import Row, Side
from benchmarks.scale import Scale
from benchmarks.site import Site
from benchmarks.watching import Seen
from embeddings import operations
from embeddings.models import OPEN, EmbeddingTask, Status
from project.content.models import Page, Workspace

MOST_MEGABYTES = 512.0
# The first rows, for which that is said.
FIRST_ROWS = 10_000
# Of the peak in the last quarter to that in the second.
MOST_GROWTH = 1.1
MOST_MS = 200.0
# One of fewer than ten.
MOST_IN_USE = 9.0

MEMORY_SECONDS, CONNECTIONS_SECONDS = 0.05, 0.005
# Until all that was imported has its vectors.
DRAIN_SECONDS = 300.0
TEXT = "has about a hundred characters, as the texts of the other benchmarks have them."
# Creations before the first that count: all threads have a connection then.
WARM_UP = 32
CREATE = "/api/recommendations/"
NAMES = ("web server", "worker")


def measure(scale: Scale) -> Iterator[Row]:
    user = User.objects.create_superuser("operator")
    with site.started(Token.objects.create(user=user).key) as web, crew.started() as (worker,):
        yield from _memory(web, worker.pid, scale)
        yield from _clients(web, count=scale.of(1_000, 300, 20), rounds=scale.of(3, 1, 1))


# Memory.


def _memory(web: Site, worker: int, scale: Scale) -> Iterator[Row]:
    size, first, rest = scale.of(5_000, 2_500, 100), scale.of(2, 2, 1), scale.of(18, 4, 1)
    page = Page.objects.create(workspace=Workspace.objects.create(name="Benchmark"), title="Imported")
    with watching.watched(lambda: watching.memory(web.pid, worker), MEMORY_SECONDS) as seen:
        time.sleep(5 * MEMORY_SECONDS)
        before = seen.peaks()
        _import(web, page, size, first)
        peaks = seen.peaks()
        began, answered, ended = _import(web, page, size, rest)
    for name, idle, peak in zip(NAMES, before, peaks, strict=True):
        yield _peak_row(name, idle, peak, first * size)
    for number, (name, end) in enumerate(zip(NAMES, (answered, ended), strict=True)):
        second, last = (_peak(seen, number, began, end, quarter) for quarter in (2, 4))
        yield _growth_row(name, second, last, (first + rest) * size)


def _import(web: Site, page: Page, size: int, requests: int) -> tuple[float, float, float]:
    """When it began, when all had been answered, and when all had their vectors."""
    began = time.monotonic()
    for number in range(requests):
        blocks = [{"text": f"Block {began}-{number}-{row} " + TEXT, "position": row} for row in range(size)]
        web.post(f"/api/pages/{page.pk}/blocks/import/", {"blocks": blocks})
    answered = time.monotonic()
    open_tasks = EmbeddingTask.objects.filter(status__in=OPEN)
    operations.retry(open_tasks.filter(status=Status.SCHEDULED))  # blocks wait five seconds for further changes
    crew.wait_until(lambda: not open_tasks.exists(), DRAIN_SECONDS, "all blocks had vectors")
    return began, answered, time.monotonic()


def _peak(seen: Seen, number: int, began: float, ended: float, quarter: int) -> float:
    """Of one quarter of that time, counted from 1."""
    length = (ended - began) / 4
    return seen.peaks(began + (quarter - 1) * length, began + quarter * length)[number]


def _peak_row(name: str, idle: float, peak: float, rows: int) -> Row:
    return Row(
        topic="resources",
        what=f"memory of the {name} while {rows:,} rows are created through it and embedded",
        unit="MB",
        ours=Side("at most", (peak,)),
        theirs=Side("before", (idle,)),
        ours_at_most=MOST_MEGABYTES,
    )


def _growth_row(name: str, second: float, last: float, rows: int) -> Row:
    return Row(
        topic="resources",
        what=f"memory of the {name} over {rows:,} rows",
        unit="MB",
        ours=Side("at most in the last quarter", (last,)),
        theirs=Side("at most in the second", (second,)),
        ratio_at_most=MOST_GROWTH,
    )


# Clients.


@dataclass(frozen=True, slots=True)
class Load:
    """Of creations by clients: milliseconds of each in the server, how many a second, connections at the worst."""

    milliseconds: Sequence[float]
    per_second: float
    in_use: float
    connected: float


def _clients(web: Site, count: int, rounds: int) -> Iterator[Row]:
    _post_together(web, WARM_UP)
    together, alone = in_turns(
        lambda: _load(web, count, lambda: _post_together(web, count)),
        lambda: _load(web, count // 10, lambda: _post_alone(web, count // 10)),
        rounds,
    )

    def row(what: str, unit: str, figure: Callable[[Load], float], ours_at_most: float | None = None) -> Row:
        ours = Side(f"{count:,} clients at once", tuple(map(figure, together)))
        return Row("resources", what, unit, ours, Side("one", tuple(map(figure, alone))), ours_at_most=ours_at_most)

    yield row("95 % of creations take the server", "ms", lambda load: percentile(load.milliseconds, 0.95))
    yield row("each creation takes the server at most", "ms", lambda load: max(load.milliseconds), MOST_MS)
    yield row("creations a second", "a second", lambda load: load.per_second)
    yield row(
        "database connections in use at any moment, at most", "connections", lambda load: load.in_use, MOST_IN_USE
    )
    yield row("database connections, at most", "connections", lambda load: load.connected)


def _load(web: Site, count: int, post: Callable[[], object]) -> Load:
    time.sleep(0.1)  # until what was answered before is logged
    known = len(web.milliseconds())
    connection.close()  # it would count
    with watching.watched(watching.connections, CONNECTIONS_SECONDS) as seen:
        seconds = seconds_of(post)
    crew.wait_until(lambda: len(web.milliseconds()) == known + count, 10, "the last request was logged")
    in_use, connected = seen.peaks()
    return Load(web.milliseconds()[known:], count / seconds, in_use, connected)


def _post_together(web: Site, count: int) -> None:
    answers = clients.post_all(web, CREATE, [_body(number) for number in range(count)])
    if answers != {201: count}:
        raise SystemExit(f"Of {count:,} creations these were answered, by status: {dict(answers)}.")


def _post_alone(web: Site, count: int) -> None:
    for number in range(count):
        web.post(CREATE, _body(number))


def _body(number: int) -> dict[str, str]:
    return {"title": f"Advice {number}", "text": f"Advice {number}, given at {time.monotonic()} {TEXT}"}
