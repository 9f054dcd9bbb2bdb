"""What happened to a task, as a table: each attempt, and what people did."""

from __future__ import annotations

from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from embeddings import conf, stats
from embeddings.admin import labels
from embeddings.models import EmbeddingTask, TaskAttempt
from embeddings.stats import TimelineEntry

# The colours of admin.css that outcomes share with other words.
_COLOURS: dict[str, str] = {TaskAttempt.Outcome.CRASHED: "crash"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    entry: TimelineEntry
    at: str
    outcome: str
    took: str


def timeline(task: EmbeddingTask) -> SafeString:
    """The table, the newest line first; or a sentence where there is none."""
    context = {
        "lines": [_line(entry) for entry in stats.timeline(task)],
        "days": conf.current().attempt_retention_days,
    }
    return render_to_string("embeddings/admin/timeline.html", context)


def _line(entry: TimelineEntry) -> Line:
    outcome = entry.outcome.partition(",")[0]
    return Line(
        entry=entry,
        at=labels.ago(entry.at),
        outcome=labels.pill(_COLOURS.get(outcome, outcome), entry.outcome) if outcome else "",
        took="" if entry.seconds is None else _took(entry.seconds),
    )


def _took(seconds: float) -> str:
    """A short time in full: "340 ms", "1.2 s"; a long one as everywhere."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else labels.duration(seconds)
