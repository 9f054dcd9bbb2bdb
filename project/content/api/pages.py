"""Workspaces and their pages (000), for members."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings.api.describing import answer
from project.content.api.base import MISSING, REFUSED, ContentPagination, ContentSchema, ContentView, ContentViewSet
from project.content.api.chunk_states import ChunkProgressField, ChunkProgressSerializer, attach_chunk_progress
from project.content.api.filters import WholeNumberFilter
from project.content.api.statuses import StatusField, attach_statuses
from project.content.models import Page, PageChunk, Workspace
from project.content.visibility import visible, workspaces_of

TAG = "pages"


class WorkspaceSerializer(serializers.ModelSerializer):
    """A workspace of yours."""

    pages = serializers.IntegerField(source="page_count", read_only=True, help_text="How many pages it has.")

    class Meta:
        model = Workspace
        fields = ("id", "name", "pages")


class OwnWorkspaceField(serializers.PrimaryKeyRelatedField):
    """One of the user's own workspaces: another's is as good as none."""

    def get_queryset(self) -> QuerySet[Workspace]:
        return workspaces_of(self.context["request"].user)


class PageEntrySerializer(serializers.ModelSerializer):
    """A page as lists have it: without its text."""

    url = serializers.CharField(source="get_absolute_url", read_only=True)
    chunks = ChunkProgressField(help_text="How far its vectors are.")

    class Meta:
        model = Page
        fields = ("id", "workspace", "title", "updated_at", "url", "chunks")


class PageSerializer(PageEntrySerializer):
    """A page."""

    workspace = OwnWorkspaceField(queryset=Workspace.objects.all())

    class Meta:
        model = Page
        fields = ("id", "workspace", "title", "content", "updated_at", "url", "chunks")


class PageChunkSerializer(serializers.ModelSerializer):
    """A piece of a page: `text` is the page's content from `start` to `end`, both in characters."""

    status = StatusField()

    class Meta:
        model = PageChunk
        fields = ("index", "start", "end", "text", "status")


class PageFilter(filters.FilterSet):
    workspace = WholeNumberFilter(field_name="workspace_id", help_text="The id of a workspace.")

    class Meta:
        model = Page
        fields = ()


class ChunkPagination(ContentPagination):
    """From the first chunk on."""

    ordering = "index"


@extend_schema_view(list=extend_schema(operation_id="workspaces_list", summary="Your workspaces", tags=[TAG]))
class Workspaces(ContentView, generics.ListAPIView, viewsets.GenericViewSet):
    """Those whose pages you see."""

    queryset = Workspace.objects.all()
    serializer_class = WorkspaceSerializer
    pagination_class = ContentPagination
    schema = ContentSchema()

    def get_queryset(self) -> QuerySet[Workspace]:
        return visible(Workspace, self.request.user).annotate(page_count=Count("pages"))


@extend_schema_view(
    list=extend_schema(operation_id="pages_list", summary="Pages, newest first, without their texts", tags=[TAG]),
    create=extend_schema(operation_id="pages_create", summary="Write a page", tags=[TAG]),
    retrieve=extend_schema(operation_id="pages_read", summary="One page", tags=[TAG]),
    update=extend_schema(operation_id="pages_update", summary="Write a page anew", tags=[TAG]),
    partial_update=extend_schema(operation_id="pages_change", summary="Change parts of a page", tags=[TAG]),
    destroy=extend_schema(operation_id="pages_delete", summary="Delete a page with its chunks and blocks", tags=[TAG]),
)
class Pages(ContentViewSet):
    """Saving comes back at once. The page is then split, and the chunks that changed are embedded."""

    queryset = Page.objects.all()
    filter_backends = [filters.DjangoFilterBackend]
    filterset_class = PageFilter
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Page]:
        unread = ["words", "content"] if self.action == "list" else ["words"]
        return visible(Page, self.request.user).defer(*unread)

    def get_serializer_class(self) -> type[serializers.BaseSerializer]:
        return PageEntrySerializer if self.action == "list" else PageSerializer

    def attach(self, page: Any) -> None:
        attach_chunk_progress(page)

    @extend_schema(
        operation_id="pages_chunks",
        summary="The chunks of a page, in their order",
        description="`start` and `end` are offsets in the page's `content`: the text between them is the chunk's.",
        tags=[TAG],
        responses={200: PageChunkSerializer(many=True), **REFUSED, **MISSING},
    )
    @action(detail=True, pagination_class=ChunkPagination, filter_backends=[], filterset_class=None)
    def chunks(self, request: Request, pk: int) -> Response:
        chunks = self.get_object().chunks.defer("embedding", "words")
        page = self.paginator.paginate_queryset(chunks, request, self)
        attach_statuses(page)
        return self.get_paginated_response(PageChunkSerializer(page, many=True).data)

    @extend_schema(
        operation_id="pages_status",
        summary="How far the chunks of a page are",
        description="The page's `chunks` alone, for whoever asks again and again.",
        tags=[TAG],
        responses={200: answer("PageStatusAnswer", ChunkProgressSerializer()), **REFUSED, **MISSING},
    )
    @action(detail=True)
    def status(self, request: Request, pk: int) -> Response:
        return Response(ChunkProgressField().to_representation(self.get_object()))
