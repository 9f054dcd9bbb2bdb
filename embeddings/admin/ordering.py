"""In what order tasks are listed, so that an index has them in this order."""

from __future__ import annotations

from collections.abc import Mapping

from embeddings.models import Status

# The columns of the unique index: it has the tasks of a model together, wherever they lie in the table.
BY_KEY = ("content_type_id", "object_id", "field")

_OF_MANY = frozenset({"model", "field", "provider"})
# What leaves few, or has an index of its own with the latest at its end. A batch may hold everything.
_OF_FEW = frozenset({"error", "signature", "worker", "q"})
_ENDED = frozenset({Status.FAILED, Status.CANCELLED, Status.EMPTY})


def is_by_key(query: Mapping[str, str]) -> bool:
    """Whether a list with these parameters is by key: one of whole models, whose tasks may all be at the old end of the
    table. Other lists have the latest first."""
    if not query.keys() & _OF_MANY or query.keys() & _OF_FEW:
        return False
    return query.get("status__exact") not in _ENDED
