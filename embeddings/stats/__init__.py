"""Questions about the ledger and all that goes on; nothing here writes."""

from __future__ import annotations

from embeddings.stats.batches import RATE_SECONDS, BatchProgress, batch_progress, eta_seconds
from embeddings.stats.chunks import ChunkProgress, chunk_progress
from embeddings.stats.condition import Condition, Level, condition, conditions, per_second
from embeddings.stats.in_hand import InHand, in_hand
from embeddings.stats.ledger_health import LedgerHealth, ledger_health
from embeddings.stats.situation import Situation, situation
from embeddings.stats.states import counts_by_status, provider_rate, queue_status, recent_rate, states_for
from embeddings.stats.workforce import Workforce, workforce

__all__ = [
    "RATE_SECONDS",
    "BatchProgress",
    "ChunkProgress",
    "Condition",
    "InHand",
    "LedgerHealth",
    "Level",
    "Situation",
    "Workforce",
    "batch_progress",
    "chunk_progress",
    "condition",
    "conditions",
    "counts_by_status",
    "eta_seconds",
    "in_hand",
    "ledger_health",
    "per_second",
    "provider_rate",
    "queue_status",
    "recent_rate",
    "situation",
    "states_for",
    "workforce",
]
