"""What a reader is told about an object's vector, and about those of all articles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from embeddings import conf, stats
from embeddings.models import DONE, OPEN, Status
from project.content.models import Article


@dataclass(frozen=True, slots=True)
class State:
    """`key` names the look: "ready", "working", "failed" or "idle"."""

    key: str
    label: str

    @property
    def is_settled(self) -> bool:
        return self.key != "working"


READY = State("ready", "ready")
UNKNOWN = State("idle", "no vector")
LABELS = {
    Status.PENDING: State("working", "embedding…"),
    Status.SCHEDULED: State("working", "embedding soon…"),
    Status.RATE_LIMITED: State("working", "waiting for quota…"),
    Status.PROCESSING: State("working", "embedding…"),
    Status.COMPLETED: READY,
    Status.EMPTY: State("idle", "no text"),
    Status.FAILED: State("failed", "failed"),
    Status.CANCELLED: State("idle", "cancelled"),
}


def states_of(objects: Iterable[Model], field: str | None = None) -> dict[Any, State]:
    """The state of each object of one model by its primary key, in one query; of none while embedding is switched off.

    `field` names the embedded field where the model has several.
    """
    objects = list(objects)
    if not objects or not conf.current().enabled:
        return {}
    statuses = stats.states_for(objects, field=field)
    return {each.pk: LABELS.get(statuses.get(str(each.pk)), UNKNOWN) for each in objects}


@dataclass(frozen=True, slots=True)
class Progress:
    """How many articles there are, and how many vectors are ready, on their way, and failed."""

    total: int
    ready: int
    waiting: int
    failed: int


def progress() -> Progress:
    """Counted now. An article without text counts as ready: there is nothing left to do for it."""
    counts = stats.counts_by_status(model=Article)
    return Progress(
        total=Article.objects.count(),
        ready=sum(counts.get(status, 0) for status in DONE),
        waiting=sum(counts.get(status, 0) for status in OPEN),
        failed=counts.get(Status.FAILED, 0),
    )
