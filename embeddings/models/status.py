"""The words of the ledger: what state a task is in, and how urgent it is."""

from __future__ import annotations

from django.db import models


class Status(models.TextChoices):
    """Where a task stands."""

    # It may be claimed now.
    PENDING = "pending", "pending"
    # It waits for `available_at`: a debounce or a retry delay.
    SCHEDULED = "scheduled", "scheduled"
    # It waits for the provider's quota; no attempt was charged.
    RATE_LIMITED = "rate_limited", "rate limited"
    # A worker holds it; `lease_token` and `lease_until` are set.
    PROCESSING = "processing", "processing"
    # The column holds the vector of `fingerprint` made by `model_id`.
    COMPLETED = "completed", "completed"
    # The source has no text; the column is null. Counts as done.
    EMPTY = "empty", "empty"
    # Attempts are used up, or the provider will never take the text: the dead-letter list.
    FAILED = "failed", "failed"
    # An operator stopped it; a later save opens it again.
    CANCELLED = "cancelled", "cancelled"


WAITING = (Status.PENDING, Status.SCHEDULED, Status.RATE_LIMITED)
OPEN = (*WAITING, Status.PROCESSING)
DONE = (Status.COMPLETED, Status.EMPTY)
# What operators may make due at once, what they may stop, and what they may delete from the ledger.
RETRYABLE = (Status.FAILED, Status.CANCELLED, Status.SCHEDULED, Status.RATE_LIMITED)
CANCELLABLE = OPEN
CLEARABLE = (Status.FAILED, Status.CANCELLED)


class Priority(models.TextChoices):
    """How big a head start a task gets in the queue (EMBEDDINGS["HEAD_START_SECONDS"])."""

    HIGH = "high", "high"
    NORMAL = "normal", "normal"
    LOW = "low", "low"
