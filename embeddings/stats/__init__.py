"""Questions about the ledger and all that goes on; nothing here writes."""

from __future__ import annotations

from embeddings.stats.alerts import open_alerts
from embeddings.stats.batches import RATE_SECONDS, BatchProgress, batch_progress, eta_seconds
from embeddings.stats.census import Coverage, LedgerCounts, Preview, coverage, ledger_counts
from embeddings.stats.chunks import ChunkProgress, chunk_progress
from embeddings.stats.failures import MOST_GROUPS, Failures, failures
from embeddings.stats.standing import Standing, standings
from embeddings.stats.states import counts_by_status, provider_rate, queue_status, states_for
from embeddings.stats.timeline import TimelineEntry, timeline
from embeddings.stats.traffic import Percentiles, Point, Traffic, provider_traffic, recent_speed, task_traffic

__all__ = [
    "MOST_GROUPS",
    "RATE_SECONDS",
    "BatchProgress",
    "ChunkProgress",
    "Coverage",
    "Failures",
    "LedgerCounts",
    "Percentiles",
    "Point",
    "Preview",
    "Standing",
    "TimelineEntry",
    "Traffic",
    "batch_progress",
    "chunk_progress",
    "counts_by_status",
    "coverage",
    "eta_seconds",
    "failures",
    "ledger_counts",
    "open_alerts",
    "provider_rate",
    "provider_traffic",
    "queue_status",
    "recent_speed",
    "standings",
    "states_for",
    "task_traffic",
    "timeline",
]
