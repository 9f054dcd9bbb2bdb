"""The live settings: one page, on which operators change what is in force within seconds."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from embeddings import conf, live
from embeddings.admin import labels
from embeddings.admin.live_form import SettingsForm
from embeddings.models import AuditEvent, LiveSettings

EVENTS = 10


@admin.register(LiveSettings)
class LiveSettingsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A form without a list. Who may only view sees the same page, and cannot save it."""

    class Media:
        css = {"all": ["embeddings/admin.css", "embeddings/settings.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(self._url())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        is_editable = self.has_change_permission(request)
        if not self.has_view_or_change_permission(request) or (request.method == "POST" and not is_editable):
            raise PermissionDenied
        if object_id != "1":
            return HttpResponseRedirect(self._url())
        form = SettingsForm(request.POST if request.method == "POST" else None, is_editable=is_editable)
        if form.is_valid() and self._save(request, form):
            return HttpResponseRedirect(self._url())
        return self._page(request, form, is_editable)

    def _save(self, request: HttpRequest, form: SettingsForm) -> bool:
        changes = form.save(by=request.user.get_username())
        if changes is None:
            return False
        if not changes:
            self.message_user(request, "Nothing is different; nothing was saved.", messages.WARNING)
            return True
        row = LiveSettings.objects.using(conf.current().databases[0]).get()
        self.log_change(request, row, live.sentence(changes))
        self.message_user(request, f"Saved, and in force everywhere within seconds. {live.sentence(changes)}")
        return True

    def _page(self, request: HttpRequest, form: SettingsForm, is_editable: bool) -> HttpResponse:
        events = AuditEvent.objects.using(conf.current().databases[0]).filter(kind=AuditEvent.Kind.SETTINGS)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": "Settings",
            "opts": self.opts,
            "form": form,
            "adminform": AdminForm(form, form.fieldsets(), {}, (), model_admin=self),  # type: ignore[arg-type]
            "media": self.media,
            "is_editable": is_editable,
            "changed": labels.ago(form.row.updated_at),
            "events": [(labels.ago(e.created_at), e.by, e.message) for e in events.order_by("-pk")[:EVENTS]],
        }
        return TemplateResponse(request, "embeddings/admin/settings.html", context)

    def _url(self) -> str:
        return reverse("admin:embeddings_livesettings_change", args=[1], current_app=self.admin_site.name)
