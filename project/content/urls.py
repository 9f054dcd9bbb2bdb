from __future__ import annotations

from django.urls import path

from project.content import views

urlpatterns = [
    path("", views.search, name="search"),
    path("articles/<path:slug>/", views.article, name="article"),
    path("similar/<int:pk>/", views.similar, name="similar"),
    path("status/", views.status, name="status"),
    path("status.json", views.status_json, name="status-json"),
]
