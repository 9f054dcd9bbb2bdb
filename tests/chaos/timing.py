"""The workers' settings in the run: everything that waits, waits shortly."""

from __future__ import annotations

from typing import Any

LEASE_SECONDS = 4.0


def embeddings_setting(batch_size: int) -> dict[str, Any]:
    """EMBEDDINGS for the workers."""
    return {
        "BATCH_SIZE": batch_size,
        "CONCURRENCY": 2,
        # Faults at random hit a text more often than anybody's provider would.
        "MAX_ATTEMPTS": 12,
        "BACKOFF_BASE_SECONDS": 0.2,
        "BACKOFF_CAP_SECONDS": 2,
        "CIRCUIT_OPEN_SECONDS": 1,
        "LEASE_SECONDS": LEASE_SECONDS,
        "REQUEST_TIMEOUT_SECONDS": 15,
        "SWEEP_SECONDS": 1,
        "DRAIN_SECONDS": 5,
        "GRACE_SECONDS": 2,
        "LOCK_TIMEOUT_SECONDS": 1,
        "STATEMENT_TIMEOUT_SECONDS": 2,
    }
