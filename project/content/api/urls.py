from __future__ import annotations

from rest_framework.routers import SimpleRouter

from project.content.api.articles import Articles

router = SimpleRouter(use_regex_path=False)
router.register("articles", Articles, basename="api-article")

urlpatterns = [*router.urls]
