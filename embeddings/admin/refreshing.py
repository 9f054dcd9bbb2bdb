"""Pages of what moves by itself: the browser loads them again, without a script, until it has come to its end."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

SECONDS = 5


class RefreshingPage(admin.ModelAdmin):  # type: ignore[type-arg]
    """An object's own page that is loaded anew every few seconds while `is_moving(obj)`."""

    def is_moving(self, obj: Any) -> bool:
        raise NotImplementedError

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        response = super().render_change_form(request, context, add, change, form_url, obj)
        if obj is not None and self.is_moving(obj):
            response["Refresh"] = str(SECONDS)
        return response
