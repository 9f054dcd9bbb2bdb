"""From boxes to the objects that they hold, not stored yet."""

from __future__ import annotations

from collections.abc import Sequence

from embeddings import payload, writer
from embeddings.exceptions import BoxError
from embeddings.failure import Failure
from embeddings.ledger import Claim
from embeddings.registry import Derived

Unboxed = tuple[list[tuple[Claim, writer.Row]], list[tuple[Claim, Failure]]]


def unbox(target: Derived, claims: Sequence[Claim], using: str) -> Unboxed:
    """The claims of boxes with their objects; and those that cannot be stored, for which no provider is to be paid."""
    if not claims:
        return [], []
    taken = writer.existing(target, [claim.object_id for claim in claims], using)
    rows, failures = [], []
    for claim in claims:
        assert claim.payload is not None
        try:
            if claim.object_id in taken:
                raise BoxError("Another object has taken the key; delete that, or discard the box.")
            rows.append((claim, writer.Row(payload.unpack(claim.payload, using), xmin="", has_vector=False)))
        except BoxError as exc:
            failures.append((claim, Failure.of(exc, about=target.name_of(claim.object_id))))
    return rows, failures
