"""The console: the operators' pages in Django's admin, built of nothing but the stock admin."""

from __future__ import annotations

from embeddings.admin.alerts import AlertAdmin
from embeddings.admin.audit import AuditEventAdmin
from embeddings.admin.batches import BatchAdmin
from embeddings.admin.calls import ProviderCallAdmin
from embeddings.admin.embedded import EmbeddedAdmin
from embeddings.admin.failures import FailureGroupAdmin
from embeddings.admin.live import LiveSettingsAdmin
from embeddings.admin.operations import OperationAdmin
from embeddings.admin.overview import OverviewAdmin
from embeddings.admin.pauses import PauseAdmin
from embeddings.admin.providers import ProviderStateAdmin
from embeddings.admin.tasks import TaskAdmin
from embeddings.admin.webhook_deliveries import DeliveryAdmin
from embeddings.admin.webhooks import EndpointAdmin
from embeddings.admin.workers import WorkerAdmin

__all__ = [
    "AlertAdmin",
    "AuditEventAdmin",
    "BatchAdmin",
    "DeliveryAdmin",
    "EmbeddedAdmin",
    "EndpointAdmin",
    "FailureGroupAdmin",
    "LiveSettingsAdmin",
    "OperationAdmin",
    "OverviewAdmin",
    "PauseAdmin",
    "ProviderCallAdmin",
    "ProviderStateAdmin",
    "TaskAdmin",
    "WorkerAdmin",
]
