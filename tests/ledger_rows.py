"""Rows of the ledger as workers leave them, for tests of what is shown."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from embeddings.models import EmbeddingTask, Status
from tests.testapp.models import Post


def make_task(status: str = Status.PENDING, *, model: type[models.Model] = Post, **values: Any) -> EmbeddingTask:
    """A task in this status, with what the status demands; of an object that need not exist."""
    now = timezone.now()
    given: dict[str, Any] = {
        "content_type": ContentType.objects.get_for_model(model),
        "object_id": str(EmbeddingTask.objects.count() + 1000),
        "field": "embedding",
        "provider": "default",
        "status": status,
        "sort_key": now,
        "created_at": now,
        "updated_at": now,
        **_demanded(status),
        **values,
    }
    return EmbeddingTask.objects.create(**given)


def _demanded(status: str) -> dict[str, Any]:
    soon = timezone.now() + timedelta(minutes=5)
    if status == Status.COMPLETED:
        return {"completed_at": timezone.now(), "fingerprint": "f" * 64, "model_id": "dummy", "dimensions": 256}
    if status == Status.PROCESSING:
        return {"lease_token": uuid.uuid4(), "lease_until": soon, "worker": "host.1", "attempts": 1}
    if status in {Status.SCHEDULED, Status.RATE_LIMITED}:
        return {"available_at": soon}
    if status == Status.FAILED:
        error = {"error_kind": "input", "error_class": "InputRejected", "error_message": "The provider refused a text."}
        return {"attempts": 3, **error}
    return {}
