from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import IsAuthenticated

from embeddings.api.base import Nowhere
from project.content.api.search import ContentSearch

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("project.content.urls")),
    path("admin/", admin.site.urls),
    # In the place of the core's own, which knows no workspaces.
    path("api/embeddings/search/", ContentSearch.as_view()),
    path("api/embeddings/", include("embeddings.api.urls")),
    path("api/", include("project.content.api.urls")),
    path("v1/", include("embeddings.openai_api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[IsAuthenticated]), name="schema"),
    path("api/docs/", login_required(SpectacularSwaggerView.as_view(url_name="schema"))),
    # What is none of the above is answered in the shape of the above.
    re_path(r"^api/.*/$", Nowhere.as_view()),
    path("django-rq/", include("project.rq_pages")),
    path("", include("embeddings.monitoring.urls")),
]
