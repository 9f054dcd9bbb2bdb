"""What a reader is told about an object's vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from embeddings import conf, registry, stats
from embeddings.models import EmbeddingTask, Status
from embeddings.stats import ChunkProgress
from project.content.models import Page


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
EMBEDDING = State("working", "embedding…")
NO_TEXT = State("idle", "no text")
LABELS = {
    Status.PENDING: EMBEDDING,
    Status.SCHEDULED: State("working", "embedding soon…"),
    Status.RATE_LIMITED: State("working", "waiting for quota…"),
    Status.PROCESSING: EMBEDDING,
    Status.COMPLETED: READY,
    Status.EMPTY: NO_TEXT,
    Status.FAILED: State("failed", "failed"),
    Status.CANCELLED: State("idle", "cancelled"),
}
# Of an object with several vectors, what is said first: what went wrong, what is still to come, what is there.
FIRST_SAID = ("failed", "working", "ready", "idle")


def states_of(objects: Iterable[Model], field: str | None = None) -> dict[Any, State]:
    """The state of each object of one model by its primary key; of none at all while embedding is switched off.

    Of a model with several embedded fields it sums up all, or is that of `field`. One query; two for pages.
    """
    objects = list(objects)
    if not objects or not conf.current().enabled:
        return {}
    if isinstance(objects[0], Page):
        progress = stats.chunk_progress(objects)
        return {page.pk: state_of_chunks(progress.get(page.pk)) for page in objects}
    states = _states_by_object_id(objects, field)
    (target, *_) = registry.targets_for(type(objects[0]))
    return {obj.pk: _summed_up(states.get(target.object_id(obj), [])) for obj in objects}


def state_of_chunks(progress: ChunkProgress | None) -> State:
    """ "7 of 9 chunks ready" while some are on their way, then "ready"."""
    if progress is None:
        return UNKNOWN
    if not progress.is_settled:
        return (
            EMBEDDING
            if not progress.is_split
            else State("working", f"{progress.ready} of {progress.total} chunks ready")
        )
    if progress.failed:
        return State("failed", f"{progress.failed} of {progress.total} chunks failed" if progress.total else "failed")
    if not progress.is_split:
        return UNKNOWN
    return READY if progress.total else NO_TEXT


def states_by_object(objects: Iterable[Model]) -> dict[Model, State]:
    """As `states_of`, for objects of several models, by the objects themselves; at most two queries a model."""
    by_model: defaultdict[type[Model], list[Model]] = defaultdict(list)
    for obj in objects:
        by_model[type(obj)].append(obj)
    states = {model: states_of(members) for model, members in by_model.items()}
    return {obj: state for model in by_model for obj in by_model[model] if (state := states[model].get(obj.pk))}


def _states_by_object_id(objects: Sequence[Model], field: str | None) -> dict[str, list[State]]:
    """The states of each object's vectors, by the key that the ledger has."""
    using = objects[0]._state.db or DEFAULT_DB_ALIAS
    targets = registry.targets_for(type(objects[0]))
    tasks = EmbeddingTask.objects.using(using).filter(
        content_type_id=targets[0].content_type_id(using),
        field__in=[target.field for target in targets if field in {None, target.field}],
        object_id__in=[targets[0].object_id(obj) for obj in objects],
    )
    states = defaultdict(list)
    for object_id, status in tasks.values_list("object_id", "status"):
        states[object_id].append(LABELS[Status(status)])
    return states


def _summed_up(states: list[State]) -> State:
    return min(states, key=lambda state: FIRST_SAID.index(state.key), default=UNKNOWN)
