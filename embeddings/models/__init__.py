"""The database schema: tables, constraints, and queries that only read."""

from __future__ import annotations

from embeddings.models.batch import EmbeddingBatch
from embeddings.models.direct import DirectText
from embeddings.models.model_id import TargetModelId
from embeddings.models.operation import EmbeddingOperation
from embeddings.models.provider import ProviderCall, ProviderState
from embeddings.models.status import CANCELLABLE, DONE, OPEN, RETRYABLE, WAITING, Priority, Status
from embeddings.models.task import IS_BOXED, EmbeddingTask
from embeddings.models.worker import ALIVE_SECONDS, WorkerStatus

__all__ = [
    "ALIVE_SECONDS",
    "CANCELLABLE",
    "DONE",
    "IS_BOXED",
    "OPEN",
    "RETRYABLE",
    "WAITING",
    "DirectText",
    "EmbeddingBatch",
    "EmbeddingOperation",
    "EmbeddingTask",
    "Priority",
    "ProviderCall",
    "ProviderState",
    "Status",
    "TargetModelId",
    "WorkerStatus",
]
