"""Addresses below /api/ that are none."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from embeddings.api.base import EmbeddingsView


@extend_schema(exclude=True)
class Nowhere(EmbeddingsView):
    """Whoever asks, and however."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(f"There is no address {request.path}")
