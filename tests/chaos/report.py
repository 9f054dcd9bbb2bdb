"""The tables of faults and outcomes, as Markdown that also reads well in a terminal."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.chaos.backfill import Outcome
from tests.chaos.killing import RANDOM
from tests.chaos.permits import PLANTED, POINTS
from tests.chaos.rescue import TASKS, Rescue

Row = tuple[object, ...]

_PLACES = {
    RANDOM: "at any time",
    "pop": "after the pop, before the fork",
    "start": "as its child begins",
    "claim": "after the claim",
    "request": "during the request",
    "answer": "after the answer, before anything is written",
    "settle": "inside the settle transaction",
    "commit": "after the commit",
    PLANTED: "by the planted text",
}
_FAULTS = {
    "429": "429 with Retry-After",
    "500": "500",
    "503": "503 for everything",
    "cut_before": "connection cut before the answer",
    "cut_body": "connection cut in the answer",
    "garbage": "200 with something else than JSON",
    "slow": "slow answer, some slower than a lease",
}


def of_backfill(outcome: Outcome) -> str:
    """What was done to the backfill, and what came of it."""
    return "\n\n".join(
        [
            _table(
                ("Killed with -9", "Times", "Tasks it left", "Claimed again after, median and longest"), _kills(outcome)
            ),
            _table(("Other faults", "Times"), _faults(outcome)),
            _table(("Outcome", "Tasks, unless it says else"), _outcomes(outcome)),
        ]
    )


def of_rescues(rescues: Iterable[Rescue]) -> str:
    """How long the tasks of a dead worker waited."""
    rows = [
        (
            f"a lease of {rescue.lease_seconds:g} s, another worker that {_told(rescue)}",
            f"{rescue.claimed_after:.1f} s",
            f"{rescue.completed_after:.1f} s",
        )
        for rescue in rescues
    ]
    return _table((f"Worker and child killed with {TASKS} tasks in hand", "All claimed again", "All completed"), rows)


def _told(rescue: Rescue) -> str:
    if not rescue.backlog:
        return "is idle"
    return f"has a backlog ({rescue.still_waiting} tasks still waited at the end)"


def _kills(outcome: Outcome) -> Iterable[Row]:
    """A parent's death leaves no task: its child goes on."""
    victims = Counter((kill.point, kill.victim) for kill in outcome.kills)
    waits: dict[str, list[float]] = defaultdict(list)
    for seconds, kill in outcome.history.back_after:
        waits[kill.point].append(seconds)
    for point in [RANDOM, *POINTS, PLANTED]:
        of_point = {victim: victims[point, victim] for victim in ("child", "parent", "both")}
        told = ", ".join(f"{count} {victim}" for victim, count in of_point.items() if count)
        wait = f"{statistics.median(waits[point]):.1f} s, {max(waits[point]):.1f} s" if waits[point] else ""
        yield _PLACES[point], f"{sum(of_point.values())} ({told})" if told else 0, len(waits[point]), wait


def _faults(outcome: Outcome) -> Iterable[Row]:
    yield from outcome.mischief.items()
    for kind, name in _FAULTS.items():
        yield f"provider: {name}", outcome.provider_faults.get(kind, 0)
    for kind, count in outcome.edits.items():
        yield f"rows meanwhile: {kind}", count


def _outcomes(outcome: Outcome) -> Iterable[Row]:
    history = outcome.history
    yield "rows of the backfill", outcome.rows
    yield "run, and from its last fault until all was done", f"{outcome.seconds:.0f} s, {outcome.settle_seconds:.0f} s"
    yield "kills, without those by the planted text", sum(kill.point != PLANTED for kill in outcome.kills)
    yield "claimed, rescued from the dead, completed", f"{history.claimed}, {history.rescued}, {history.completed}"
    yield "waited for the provider's quota, for another try", f"{history.rate_limited}, {history.retried}"
    yield "texts paid for, vectors written", f"{outcome.paid_inputs}, {history.completed}"
    yield (
        "workers started, of these in vain while a server was away",
        f"{outcome.started_workers}, {outcome.failed_starts}",
    )
    yield "edits that the database refused while it was away", outcome.refused_edits
    yield "longest that anybody waited for an edit", f"{outcome.longest_edit_seconds:.1f} s"
    yield "most connections of one worker", outcome.most_connections
    yield "at the end", ", ".join(f"{count} {status}" for status, count in outcome.statuses.items() if count)
    yield "lost", _count(outcome, "no task", "no vector", "still open")
    yield "stale", _count(outcome, "stale", "fingerprint")
    yield "failed by mistake, or quarantined", _count(outcome, "its task is failed")
    yield "completed by a worker that had lost it", history.stolen
    yield "everything that is wrong", len(outcome.violations)


def _count(outcome: Outcome, *words: str) -> int:
    return sum(any(word in violation for word in words) for violation in outcome.violations)


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *rest = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
    return "\n".join([first, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rest])
