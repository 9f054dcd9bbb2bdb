from __future__ import annotations

from django.urls import path, re_path

from embeddings.openai_api import views

app_name = "embeddings-openai-api"
urlpatterns = [
    path("embeddings", views.Embeddings.as_view(), name="embeddings"),
    path("models", views.Models.as_view(), name="models"),
    # A model's name may hold slashes.
    path("models/<path:name>", views.Model.as_view(), name="model"),
    re_path("", views.Nothing.as_view(), name="nothing"),
]
