"""What the messages say: one of many tasks, one a batch, one an alert."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from embeddings import events
from embeddings.models import WebhookEndpoint

Kind = events.Kind
OF_TASKS = frozenset({Kind.TASK_COMPLETED, Kind.TASK_FAILED})

# Of one message: so many tasks at most, and so many characters of JSON that tell of them.
MOST_TASKS, MOST_CHARACTERS = 1_000, 250_000


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as messages tell of it: its kind, what it carries, and when it was."""

    kind: Kind
    data: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """What one endpoint gets."""

    kind: Kind
    message_id: str
    payload: dict[str, Any]
    # How many tasks it tells of; 1 of what is no task.
    events: int


def messages_for(endpoint: WebhookEndpoint, happenings: Sequence[Happening], group: uuid.UUID) -> list[Message]:
    """The messages of a group of events that an endpoint gets: the same, with the same ids, whenever they are made."""
    made: list[Message] = []
    for kind in Kind:
        ours = [one for one in happenings if one.kind == kind] if kind in endpoint.events else []
        if ours:
            parts = _of_tasks(endpoint, ours) if kind in OF_TASKS else ((one.data, 1) for one in ours)
            at = max(one.at for one in ours)
            for number, (data, count) in enumerate(parts):
                # Of batches others may be finished when it is repeated.
                key = data["id"] if kind == Kind.BATCH_FINISHED else number
                made.append(_message(kind, data, count, at, group, key))
    return made


def test_message(endpoint: WebhookEndpoint, now: datetime) -> Message:
    """What "Send a test message" sends."""
    data = {"endpoint": endpoint.name, "message": "This is a test. Whoever can read it has set up the receiver well."}
    return _message(Kind.TEST, data, 1, now, uuid.uuid4(), 0)


def _message(kind: Kind, data: dict[str, Any], count: int, at: datetime, group: uuid.UUID, key: int) -> Message:
    digest = hashlib.sha256(f"{group}:{kind}:{key}".encode()).hexdigest()[:32]
    return Message(kind, f"msg_{digest}", {"type": str(kind), "timestamp": at.isoformat(), "data": data}, count)


def _of_tasks(endpoint: WebhookEndpoint, happenings: Iterable[Happening]) -> Iterator[tuple[dict[str, Any], int]]:
    """All their tasks that the endpoint wants, in as few pieces as their sizes allow."""
    piece: list[dict[str, Any]] = []
    size = 0
    for task in (task for one in happenings for task in one.data["tasks"] if _is_wanted(task, endpoint)):
        length = len(json.dumps(task))
        if piece and (len(piece) == MOST_TASKS or size + length > MOST_CHARACTERS):
            yield {"tasks": piece}, len(piece)
            piece, size = [], 0
        piece.append(task)
        size += length
    if piece:
        yield {"tasks": piece}, len(piece)


def _is_wanted(task: dict[str, Any], endpoint: WebhookEndpoint) -> bool:
    return not endpoint.targets or f"{task['model']}.{task['field']}" in endpoint.targets
