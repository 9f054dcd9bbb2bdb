from __future__ import annotations

from rest_framework.routers import SimpleRouter

from project.content.api.articles import Articles
from project.content.api.notes import Notes
from project.content.api.receipts import Receipts

router = SimpleRouter(use_regex_path=False)
router.register("articles", Articles, basename="api-article")
router.register("notes", Notes, basename="api-note")
router.register("receipts", Receipts, basename="api-receipt")

urlpatterns = [*router.urls]
