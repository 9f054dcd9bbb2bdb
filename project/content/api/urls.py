from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from project.content.api.articles import Articles
from project.content.api.blocks import BlockImport, Blocks
from project.content.api.notes import Notes
from project.content.api.pages import Pages, Workspaces
from project.content.api.receipts import Receipts
from project.content.api.recommendations import QueueStatus, Recommendations, Regenerate

router = SimpleRouter(use_regex_path=False)
router.register("workspaces", Workspaces, basename="api-workspace")
router.register("pages", Pages, basename="api-page")
router.register("blocks", Blocks, basename="api-block")
router.register("recommendations", Recommendations, basename="api-recommendation")
router.register("articles", Articles, basename="api-article")
router.register("notes", Notes, basename="api-note")
router.register("receipts", Receipts, basename="api-receipt")

urlpatterns = [
    *router.urls,
    path("pages/<int:page_id>/blocks/import/", BlockImport.as_view(), name="api-block-import"),
    path("recommendations/regenerate/", Regenerate.as_view(), name="api-recommendation-regenerate"),
    # Without a slash at its end, as the older system had it.
    path("recommendations/embedding-queue/status", QueueStatus.as_view(), name="api-recommendation-queue"),
]
