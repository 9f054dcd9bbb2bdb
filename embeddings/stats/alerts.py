"""What needs an operator."""

from __future__ import annotations

from embeddings import conf
from embeddings.models import Alert


def open_alerts() -> list[Alert]:
    """What is wrong and not yet over, the earliest first."""
    return list(Alert.objects.using(conf.current().databases[0]).filter(over_at=None).order_by("pk"))
