"""What the project's other settings say, as far as it concerns us."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def max_body_bytes() -> int:
    """The largest body of a request that Django reads."""
    size: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return size


def rq_queues() -> list[str]:
    """The names of RQ's queues."""
    return list(getattr(settings, "RQ_QUEUES", {}))


def rq_worker_class() -> Any:
    """The class, or the path to it, that `manage.py rqworker` runs; None for RQ's own."""
    return getattr(settings, "RQ", {}).get("WORKER_CLASS")
