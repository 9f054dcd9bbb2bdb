"""Buttons on an object's own page that run the list's actions on it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html_join


class ActionButtons(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows those of `possible_actions` that the user may run; name `buttons` among what a field shows."""

    def possible_actions(self, obj: Any) -> dict[str, str]:
        """The actions that could change this object, {name: label of the button}."""
        raise NotImplementedError

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        obj: Any = super().get_object(request, object_id, from_field)
        if obj is not None:
            permitted = self.get_actions(request)
            obj.buttons = {name: label for name, label in self.possible_actions(obj).items() if name in permitted}
        return obj

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        action = self.get_actions(request).get(request.POST.get("_action", ""))
        obj = self.get_object(request, unquote(object_id)) if action and self.has_view_permission(request) else None
        if action is None or obj is None:
            return super().change_view(request, object_id, form_url, extra_context)
        action[0](self, request, self.get_queryset(request).filter(pk=obj.pk))
        return HttpResponseRedirect(request.path)

    def buttons(self, obj: Any) -> str:
        """They send the page's own form, which the admin renders even where nothing can be edited."""
        return format_html_join(
            " ",
            '<button type="submit" class="button" name="_action" value="{}">{}</button>',
            getattr(obj, "buttons", {}).items(),
        )
