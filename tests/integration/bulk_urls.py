"""The reference project's addresses, and those of the bulk pages while there are none."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

from project.urls import urlpatterns as others

bulk = path(
    "embeddings/embeddingtask/bulk/<str:verb>/",
    lambda request, verb: HttpResponse(verb),
    name="embeddings_embeddingtask_bulk",
)
urlpatterns = [path("admin/", ([bulk, *admin.site.get_urls()], "admin", "admin")), *others]
