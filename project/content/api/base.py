"""What the views of all systems share: permissions, the envelope, pages, and the state of vectors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.db.models import Model, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers, viewsets
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import PROBLEM, answer
from embeddings.api.pagination import Newest
from embeddings.api.schema import EmbeddingsSchema
from project.content.api.statuses import attach_statuses

VIEW = ["%(app_label)s.view_%(model_name)s"]
INVALID = {400: OpenApiResponse(PROBLEM, "A value cannot be used; the message names it and says why.")}
REFUSED = {
    401: OpenApiResponse(PROBLEM, "Not logged in (403 with sessions)."),
    403: OpenApiResponse(PROBLEM, "Without the permission, which the message names."),
}
MISSING = {404: OpenApiResponse(PROBLEM, "There is no such object.")}


class ModelPermissions(DjangoModelPermissions):
    """Django's permissions of the view's model, also for reading; a refusal names the one that it takes."""

    perms_map = DjangoModelPermissions.perms_map | {"GET": VIEW, "HEAD": VIEW, "OPTIONS": VIEW}

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = self.get_required_permissions(request.method, self._queryset(view).model)
        self.message = f"This needs the permission {', '.join(needed)}."
        return super().has_permission(request, view)


class ContentPagination(Newest):
    """Newest first. The view puts the page into the envelope."""

    ordering = "-pk"
    page_size_query_description = "Objects on one page: 50, at most 200."

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data})


@cache
def enveloped(serializer: type[serializers.BaseSerializer]) -> serializers.Serializer:
    """The envelope around what a serializer writes, as the schema names it."""
    return answer(f"{serializer.__name__.removesuffix('Serializer')}Answer", serializer())


class ContentSchema(EmbeddingsSchema):
    """Answers in the envelope, with the problems that every view has."""

    def get_response_serializers(self) -> Any:
        found = super().get_response_serializers()
        match self.method, self.view.action:
            case "GET", "list":
                return {200: found, **REFUSED, **MISSING}  # a cursor that is none is not found either
            case "GET", _:
                return {200: enveloped(type(found)), **REFUSED, **MISSING}
            case "DELETE", _:
                return {204: None, **REFUSED, **MISSING}
            case _, "create":
                return {201: enveloped(type(found)), **INVALID, **REFUSED}
        return {200: enveloped(type(found)), **INVALID, **REFUSED, **MISSING}


class ContentView(EmbeddingsView):
    """`{"success": true, "data": …}` around whatever a view of ours answers."""

    permission_classes = [ModelPermissions]

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        if response.data is not None and not response.exception:
            response.data = {"success": True, "data": response.data}
        return super().finalize_response(request, response, *args, **kwargs)


class ContentViewSet(ContentView, viewsets.ModelViewSet):
    """List, create, read, update and delete objects of one model, each page with the states of its vectors."""

    pagination_class = ContentPagination
    schema = ContentSchema()
    http_method_names = ["get", "post", "put", "patch", "delete", "head", "options"]

    def get_object(self) -> Any:
        if any("\0" in value for value in self.kwargs.values() if isinstance(value, str)):
            raise Http404  # PostgreSQL would not even compare it
        return super().get_object()

    def paginate_queryset(self, queryset: QuerySet[Any]) -> Iterable[Model] | None:
        page = super().paginate_queryset(queryset)
        self.attach(page)
        return page

    def attach(self, page: Any) -> None:
        """Fetch what the serializer says of the objects of one page, with one query for all of them."""
        attach_statuses(page)
