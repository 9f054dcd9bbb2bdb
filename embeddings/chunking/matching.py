"""Which of the chunks that are there are to stay when their text has been split anew."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from embeddings.chunking.pieces import Piece


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk as its row has it."""

    pk: Any
    index: int
    start: int
    end: int
    context: str
    text: str


@dataclass(slots=True)
class Changes:
    """What is to be done: keys of rows with the place and the piece that they get."""

    # The same text at another place: its vector stays.
    moved: list[tuple[Any, int, Piece]] = field(default_factory=list)
    # Rows of texts that are gone, used for new ones.
    rewritten: list[tuple[Any, int, Piece]] = field(default_factory=list)
    created: list[tuple[int, Piece]] = field(default_factory=list)
    deleted: list[Any] = field(default_factory=list)


def match(stored: Sequence[Stored], pieces: Sequence[Piece], context: str) -> Changes:
    """From the chunks that are stored to `pieces`, each with `context`, keeping all whose texts are the same.

    Of equal texts the first stays the first. What is left over of both is paired in order, so that an edited
    passage keeps its row.
    """
    stored = sorted(stored, key=lambda chunk: chunk.index)
    known: dict[str, deque[Stored]] = defaultdict(deque)
    for chunk in stored:
        if chunk.context == context:
            known[chunk.text].append(chunk)
    changes, kept, new = Changes(), set(), []
    for index, piece in enumerate(pieces):
        if not (same := known.get(piece.text)):
            new.append((index, piece))
            continue
        chunk = same.popleft()
        kept.add(chunk.pk)
        if (chunk.index, chunk.start, chunk.end) != (index, piece.start, piece.end):
            changes.moved.append((chunk.pk, index, piece))
    free = [chunk.pk for chunk in stored if chunk.pk not in kept]
    changes.rewritten = [(pk, index, piece) for pk, (index, piece) in zip(free, new, strict=False)]
    changes.created = new[len(free) :]
    changes.deleted = free[len(new) :]
    return changes
