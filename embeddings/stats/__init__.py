"""Questions about the ledger and all that goes on; nothing here writes."""

from __future__ import annotations

from embeddings.stats.alerts import open_alerts
from embeddings.stats.batches import RATE_SECONDS, BatchProgress, batch_progress, eta_seconds
from embeddings.stats.census import Coverage, LedgerCounts, Preview, coverage, ledger_counts
from embeddings.stats.chunks import ChunkProgress, chunk_progress
from embeddings.stats.condition import Condition, Level, condition, conditions, per_second
from embeddings.stats.failures import MOST_GROUPS, Failures, failures
from embeddings.stats.health import EXIT_CODES, Health, HealthLevel, health, health_of
from embeddings.stats.held import Held, held
from embeddings.stats.in_hand import InHand, in_hand
from embeddings.stats.ledger_health import LedgerHealth, ledger_health
from embeddings.stats.situation import Situation, situation
from embeddings.stats.standing import Standing, standings
from embeddings.stats.states import counts_by_status, provider_rate, queue_status, states_for
from embeddings.stats.timeline import TimelineEntry, timeline
from embeddings.stats.traffic import Percentiles, Point, Traffic, provider_traffic, recent_speed, task_traffic
from embeddings.stats.webhooks import endpoint_health
from embeddings.stats.workforce import Workforce, workforce

__all__ = [
    "EXIT_CODES",
    "MOST_GROUPS",
    "RATE_SECONDS",
    "BatchProgress",
    "ChunkProgress",
    "Condition",
    "Coverage",
    "Failures",
    "Health",
    "HealthLevel",
    "Held",
    "InHand",
    "LedgerCounts",
    "LedgerHealth",
    "Level",
    "Percentiles",
    "Point",
    "Preview",
    "Situation",
    "Standing",
    "TimelineEntry",
    "Traffic",
    "Workforce",
    "batch_progress",
    "chunk_progress",
    "condition",
    "conditions",
    "counts_by_status",
    "coverage",
    "endpoint_health",
    "eta_seconds",
    "failures",
    "health",
    "health_of",
    "held",
    "in_hand",
    "ledger_counts",
    "ledger_health",
    "open_alerts",
    "per_second",
    "provider_rate",
    "provider_traffic",
    "queue_status",
    "recent_speed",
    "situation",
    "standings",
    "states_for",
    "task_traffic",
    "timeline",
    "workforce",
]
