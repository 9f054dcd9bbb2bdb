from __future__ import annotations

from django.contrib import admin

from project.content.admin.listing import ContentAdmin
from project.content.models import Note


@admin.register(Note)
class NoteAdmin(ContentAdmin):
    """Adding a note here stores it at once, not in a box: who saves in the admin goes on to the object's own page and
    finds it in the list and the history, and the list says how far its vector is."""

    list_display = ("title", "slug", "embedding_state", "created_at")
    search_fields = ("title", "slug", "text")
    fields = ("title", "slug", "text", "created_at")
    readonly_fields = ("created_at",)
    prepopulated_fields = {"slug": ("title",)}
    ordering = ("-created_at",)
    date_hierarchy = "created_at"
