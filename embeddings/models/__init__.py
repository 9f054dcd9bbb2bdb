"""The database schema: tables, constraints, and queries that only read."""

from __future__ import annotations

from embeddings.models.alert import Alert
from embeddings.models.attempt import TaskAttempt
from embeddings.models.audit import AuditEvent
from embeddings.models.batch import EmbeddingBatch
from embeddings.models.census import Census, CensusCount
from embeddings.models.direct import DirectText, TextVector
from embeddings.models.idempotency import IdempotencyKey
from embeddings.models.live import LiveSettings, ProviderQuota
from embeddings.models.minute import ProviderMinute, TargetMinute
from embeddings.models.model_id import TargetModelId
from embeddings.models.operation import EmbeddingOperation
from embeddings.models.pages import FailureGroup, Overview
from embeddings.models.pause import Pause
from embeddings.models.provider import ProviderCall, ProviderState
from embeddings.models.rebuild import IndexRebuild
from embeddings.models.status import CANCELLABLE, CLEARABLE, DONE, OPEN, RETRYABLE, WAITING, Priority, Status
from embeddings.models.task import IS_BOXED, EmbeddingTask
from embeddings.models.total import ProviderTotal, TargetTotal
from embeddings.models.webhook import WebhookDelivery, WebhookEndpoint, WebhookEvent
from embeddings.models.worker import ALIVE_SECONDS, WorkerStatus

__all__ = [
    "ALIVE_SECONDS",
    "CANCELLABLE",
    "CLEARABLE",
    "DONE",
    "IS_BOXED",
    "OPEN",
    "RETRYABLE",
    "WAITING",
    "Alert",
    "AuditEvent",
    "Census",
    "CensusCount",
    "DirectText",
    "EmbeddingBatch",
    "EmbeddingOperation",
    "EmbeddingTask",
    "FailureGroup",
    "IdempotencyKey",
    "IndexRebuild",
    "LiveSettings",
    "Overview",
    "Pause",
    "Priority",
    "ProviderCall",
    "ProviderMinute",
    "ProviderQuota",
    "ProviderState",
    "ProviderTotal",
    "Status",
    "TargetMinute",
    "TargetModelId",
    "TargetTotal",
    "TaskAttempt",
    "TextVector",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WorkerStatus",
]
