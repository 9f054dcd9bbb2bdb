"""What all views share, whatever the project's own defaults for the REST framework are."""

from __future__ import annotations

from typing import Any

from rest_framework.views import APIView

from embeddings.api import problems
from embeddings.api.permissions import HasPermission
from embeddings.api.schema import EmbeddingsSchema


class EmbeddingsView(APIView):
    permission_classes = [HasPermission]
    schema = EmbeddingsSchema()

    def get_exception_handler(self) -> Any:
        return problems.handle
