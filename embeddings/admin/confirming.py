"""Pages that say what an operation will come to, and ask before it begins."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse

from embeddings.admin.links import page_url
from embeddings.models import EmbeddingOperation, Priority
from embeddings.stats.census import Preview

TEMPLATE = "embeddings/admin/confirm.html"
# Whoever cancels or clears more tasks than this types their number.
TYPED_ABOVE = 10_000
NOT_KNOWN = "not known yet"


class ConfirmForm(forms.Form):
    """Sent twice, it begins one operation."""

    token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def hidden_problem(self) -> str:
        """What is wrong that the user could not see."""
        wrong = any(field.name in self.errors for field in self.hidden_fields())
        return "The form was not complete. Look at the figures again, and send it anew." if wrong else ""


class TypedForm(ConfirmForm):
    """Asks for the number of tasks that the page shows."""

    shown = forms.IntegerField(widget=forms.HiddenInput)
    typed = forms.CharField(widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}))

    def __init__(self, *args: Any, rows: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["shown"].initial = rows
        self.fields["typed"].label = f"Type {rows:,} to confirm"
        self.fields["typed"].error_messages["required"] = f"Type the number of tasks, {rows:,}, or go back."

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        shown, typed = values.get("shown"), values.get("typed")
        if shown is not None and typed and "".join(typed.split()).replace(",", "") != str(shown):
            # The page that comes now may show another number: tasks move.
            now = self.fields["shown"].initial
            self.add_error("typed", ValidationError(f"That is not the number of tasks; type {now:,}."))
        return values


class RowsForm(ConfirmForm):
    """How urgent what is queued is."""

    priority = forms.ChoiceField(choices=Priority.choices, initial=Priority.LOW)


class ConditionsForm(RowsForm):
    """Which rows are queued."""

    conditions = forms.MultipleChoiceField(
        label="What is to be queued",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick what is to be queued: at least one box."},
    )
    field_order = ("conditions", "priority")

    def __init__(self, *args: Any, parts: dict[str, int], **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["conditions"]
        field.choices = [(name, f"{WHAT[name]}{_counted(parts, name)}") for name in WHAT]


WHAT = {
    "missing": "missing: there is text, but no vector",
    "stale": "stale: the vector is of an older text or of another model",
    "failed": "failed: the last attempt failed for good",
}


def _counted(parts: dict[str, int], name: str) -> str:
    return f" (about {parts[name]:,})" if name in parts else ""


def number(count: int | None, *, is_at_least: bool = False, is_estimate: bool = False) -> str:
    """ "500", "100,000+", "about 500"."""
    if count is None:
        return NOT_KNOWN
    return f"{'about ' if is_estimate else ''}{count:,}{'+' if is_at_least else ''}"


def price(preview: Preview) -> str:
    """ "about $0.02", "nothing"."""
    if preview.tokens is None:
        return NOT_KNOWN
    if preview.cost is None:
        return "not known: the provider has no price"
    more = "+" if preview.is_at_least else ""
    return f"about ${preview.cost:,.4f}{more}" if preview.cost else "nothing"


class ConfirmingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows such pages, and what has become of them."""

    def confirm_page(self, request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> TemplateResponse:
        """`context`: title, lead, facts [(name, value)], form or None, button, is_danger, back (an address)."""
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, **context}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, TEMPLATE, shared, status=status)

    def begun(
        self, request: HttpRequest, operation: EmbeddingOperation, token: uuid.UUID, back: str
    ) -> HttpResponseRedirect:
        """Log that it was begun, and lead to its page, or `back` where the user may not see it."""
        if operation.token != token:
            self.message_user(request, "Such an operation runs already: this is it.", messages.WARNING)
        elif not _is_logged(operation):
            LogEntry.objects.log_actions(request.user.pk, [operation], ADDITION, "Begun.")  # type: ignore[arg-type]
        url = page_url(self.admin_site, "embeddingoperation_change", operation.pk)
        may_view = request.user.has_perm("embeddings.view_embeddingoperation")
        if url and may_view and operation._state.db == DEFAULT_DB_ALIAS:
            return HttpResponseRedirect(url)
        self.message_user(request, f"Workers do it now, as operation #{operation.pk}.", messages.SUCCESS)
        return HttpResponseRedirect(back)

    def refused(self, request: HttpRequest, why: str, back: str) -> HttpResponseRedirect:
        self.message_user(request, why, messages.ERROR)
        return HttpResponseRedirect(back)


def _is_logged(operation: EmbeddingOperation) -> bool:
    entries = LogEntry.objects.filter(content_type__app_label="embeddings", content_type__model="embeddingoperation")
    return entries.filter(object_id=str(operation.pk), action_flag=ADDITION).exists()


def listed(parts: dict[str, int]) -> str:
    """ "400 failed, 100 cancelled"."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in parts.items())
