"""Failed tasks, grouped by what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from embeddings.models import EmbeddingTask

# Groups that are looked for, and tasks of one group that are counted.
MOST_GROUPS = 100
MOST_COUNTED = 50_000


@dataclass(frozen=True, slots=True)
class Failures:
    """The failed tasks of one signature in one database."""

    signature: str
    using: str
    count: int
    # Whether counting stopped at MOST_COUNTED.
    is_at_least: bool
    first_seen: datetime
    last_seen: datetime
    error_kind: str
    error_class: str
    error_status: int | None
    # Of one of them.
    error_message: str
    # Some of them.
    examples: list[EmbeddingTask]


def failures() -> list[Failures]:
    """The groups, the largest first; at most MOST_GROUPS of each database."""
    raise NotImplementedError
