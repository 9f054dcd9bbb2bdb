"""The ledger: the only writer of task statuses.

Each transition is one set-based statement that returns how many tasks it moved. Those made by workers never wait
for a lock: a row that somebody else holds is left for later.
"""

from __future__ import annotations

from embeddings.ledger.boxes import box, discard_box, due_boxes, unbox
from embeddings.ledger.claims import (
    claim,
    claim_ids,
    complete,
    defer,
    discard,
    fail,
    held,
    lock,
    postpone,
    release,
    renew,
)
from embeddings.ledger.operations import cancel, clear, give_up, retry
from embeddings.ledger.records import Claim, Completion, Request
from embeddings.ledger.requests import forget, forget_orphans, lock_batch, request
from embeddings.ledger.sweeps import adopt, has_claimable, has_suspects, hasten, promote_due, rescue

__all__ = [
    "Claim",
    "Completion",
    "Request",
    "adopt",
    "box",
    "cancel",
    "claim",
    "claim_ids",
    "clear",
    "complete",
    "defer",
    "discard",
    "discard_box",
    "due_boxes",
    "fail",
    "forget",
    "forget_orphans",
    "give_up",
    "has_claimable",
    "has_suspects",
    "hasten",
    "held",
    "lock",
    "lock_batch",
    "postpone",
    "promote_due",
    "release",
    "renew",
    "request",
    "rescue",
    "retry",
    "unbox",
]
