"""Articles (003): by slug."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from project.content.api.base import ContentViewSet
from project.content.api.statuses import StatusField
from project.content.kinds import Kind
from project.content.models import Article

TAG = "articles"


class ArticleSerializer(serializers.ModelSerializer):
    """An article. Written through the API, it is its writer's: the next load of content leaves it as it is."""

    url = serializers.CharField(source="get_absolute_url", read_only=True)
    embedding = StatusField()

    class Meta:
        model = Article
        fields = (
            "id",
            "slug",
            "title",
            "signature",
            "keywords",
            "content",
            "source",
            "kind",
            "updated_at",
            "url",
            "embedding",
        )
        read_only_fields = ("kind", "updated_at")


@extend_schema_view(
    list=extend_schema(operation_id="articles_list", summary="Articles, newest first", tags=[TAG]),
    create=extend_schema(operation_id="articles_create", summary="Write an article", tags=[TAG]),
    retrieve=extend_schema(operation_id="articles_read", summary="One article", tags=[TAG]),
    update=extend_schema(operation_id="articles_update", summary="Write an article anew", tags=[TAG]),
    partial_update=extend_schema(operation_id="articles_change", summary="Change parts of an article", tags=[TAG]),
    destroy=extend_schema(operation_id="articles_delete", summary="Delete an article", tags=[TAG]),
)
class Articles(ContentViewSet):
    """Saving comes back at once; the vector follows, and `embedding` says how far it is.

    To search them: /api/embeddings/search/?model=content.article&q=…
    """

    queryset = Article.objects.defer("embedding")
    serializer_class = ArticleSerializer
    lookup_field = "slug"
    lookup_value_converter = "path"

    def perform_create(self, serializer: Any) -> None:
        serializer.save(kind=Kind.WRITTEN)

    def perform_update(self, serializer: Any) -> None:
        serializer.save(kind=Kind.WRITTEN)
