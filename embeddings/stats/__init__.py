"""Questions about the ledger and all that goes on; nothing here writes."""

from __future__ import annotations

from embeddings.stats.batches import RATE_SECONDS, BatchProgress, batch_progress, eta_seconds
from embeddings.stats.chunks import ChunkProgress, chunk_progress
from embeddings.stats.held import Held, held
from embeddings.stats.states import counts_by_status, provider_rate, queue_status, recent_rate, states_for

__all__ = [
    "RATE_SECONDS",
    "BatchProgress",
    "ChunkProgress",
    "Held",
    "batch_progress",
    "chunk_progress",
    "counts_by_status",
    "eta_seconds",
    "held",
    "provider_rate",
    "queue_status",
    "recent_rate",
    "states_for",
]
