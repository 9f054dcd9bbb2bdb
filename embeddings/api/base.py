"""What all views share, whatever the project's own defaults for the REST framework are."""

from __future__ import annotations

from typing import Any

from django.db import DataError, transaction
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.views import APIView

from embeddings.api import problems
from embeddings.api.parsing import CarefulJSONParser
from embeddings.api.permissions import HasPermission
from embeddings.api.schema import EmbeddingsSchema
from embeddings.api.throttling import SpendingThrottle


class EmbeddingsView(APIView):
    permission_classes = [HasPermission]
    parser_classes = [CarefulJSONParser, FormParser, MultiPartParser]
    schema = EmbeddingsSchema()

    def get_exception_handler(self) -> Any:
        return problems.handle

    def perform_authentication(self, request: Request) -> None:
        """A name with a NUL, which PostgreSQL does not even compare, is nobody's."""
        try:
            super().perform_authentication(request)
        except (ValueError, DataError) as exc:
            raise exceptions.AuthenticationFailed("There is no such user.") from exc


# The project's ATOMIC_REQUESTS would hold a transaction open while a provider is asked, and hide a claimed key.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class CreatingView(EmbeddingsView):
    """Base of the views that begin or make something; they commit by themselves."""


class SpendingView(CreatingView):
    """Base of the views that ask a provider while the caller waits."""

    throttle_classes = [*EmbeddingsView.throttle_classes, SpendingThrottle]


@extend_schema(exclude=True)
class Nowhere(EmbeddingsView):
    """Every address that is none."""

    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        hint = "" if request.path.endswith("/") else " Addresses here end with a slash."
        raise exceptions.NotFound(f"There is no address {request.path}.{hint}")
