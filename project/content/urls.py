from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from project.content.views import articles, notes, pages, receipts, recommendations, search, status

urlpatterns = [
    path("", search.search, name="search"),
    path("articles/<path:slug>/", articles.article, name="article"),
    path("pages/", pages.index, name="pages"),
    path("pages/new/", pages.add, name="page-add"),
    path("pages/<int:pk>/", pages.detail, name="page"),
    path("pages/<int:pk>/edit/", pages.edit, name="page-edit"),
    path("pages/<int:pk>/progress/", pages.progress, name="page-progress"),
    path("notes/", notes.index, name="notes"),
    path("notes/<uuid:pk>/", notes.detail, name="note"),
    path("notes/boxes/<uuid:pk>/", notes.box, name="note-box"),
    path("recommendations/<int:pk>/", recommendations.recommendation, name="recommendation"),
    path("receipts/", receipts.index, name="receipts"),
    path("receipts/<int:pk>/", receipts.detail, name="receipt"),
    path("receipts/uploads/<int:pk>/", receipts.upload, name="receipt-upload"),
    path("similar/<slug:name>/<str:key>/", articles.similar, name="similar"),
    path("status/", status.status, name="status"),
    path("status.json", status.status_json, name="status-json"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(next_page="search"), name="logout"),
]
