"""Providers: whether they may be called now, what they use, and buttons to pause, resume and call them at once."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import ngettext

from embeddings import conf, operations, pauses
from embeddings.admin import labels, usage
from embeddings.admin.availability import availability, pause_of
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.links import link, page_url
from embeddings.admin.listing import BoundedChangeList
from embeddings.admin.pauses import resume_button
from embeddings.admin.readonly import SharedAdmin
from embeddings.models import Pause, ProviderState


class ProviderChangeList(BoundedChangeList):
    """Every configured provider, in the order of the settings, then those that are not configured any more.

    Who has never had trouble has no row.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = {state.alias: state for state in self.queryset}
        aliases = [*conf.provider_aliases(), *(alias for alias in rows if alias not in conf.provider_aliases())]
        in_force = list(pauses.in_force())
        states = [rows.get(alias) or _unknown(alias) for alias in aliases]
        self.result_list: Any = [_with(state, in_force, self.model_admin, request) for state in states]
        self.result_count = self.full_result_count = len(states)


@admin.register(ProviderState)
class ProviderStateAdmin(ActionButtons, SharedAdmin):
    """Read from the settings, the rows of those with trouble, and what operators have paused."""

    actions = ("resume_providers",)

    ordering = ("alias",)
    list_display = ("named", "state_and_controls", "quota", "last_hour")
    fields = (
        "alias",
        "explained",
        "backend",
        "model_id",
        "quota",
        "last_hour",
        "requests",
        "failures_in_a_row",
        "last_error",
        "updated_at",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ProviderChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        state = super().get_object(request, object_id, from_field)
        if state is None and object_id in conf.provider_aliases():
            state = _unknown(object_id)
        return state and _with(state, list(pauses.in_force()), self, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Providers", **(extra_context or {})})

    @admin.display(description="provider")
    def named(self, state: ProviderState) -> str:
        return format_html("{}{}", state.alias, usage.described(state.alias))

    @admin.display(description="state")
    def state_and_controls(self, state: Any) -> str:
        now = state.availability
        why = format_html('<div class="quiet">{}</div>', labels.shortened(state.last_error)) if now.is_troubled else ""
        controls = self.controls(state)
        return format_html('{} {}{}<div class="embeddings-controls">{}</div>', now.pill, now.note, why, controls)

    @admin.display(description="state")
    def explained(self, state: Any) -> str:
        now = state.availability
        note = format_html("{}. ", now.note) if now.note else ""
        controls = self.controls(state)
        return format_html('{} {}{}<div class="embeddings-controls">{}</div>', now.pill, note, now.meaning, controls)

    @admin.display(description="quota a minute")
    def quota(self, state: ProviderState) -> str:
        return usage.quota_use(state.alias)

    @admin.display(description="last hour")
    def last_hour(self, state: ProviderState) -> str:
        return usage.last_hour(state.alias)

    @admin.display(description="model")
    def model_id(self, state: ProviderState) -> str:
        return usage.described(state.alias)

    @admin.display(description="backend")
    def backend(self, state: ProviderState) -> str:
        settings = usage.settings_of(state.alias)
        return settings.backend if settings else labels.NONE

    @admin.display(description="last requests")
    def requests(self, state: ProviderState) -> str:
        url = page_url(self.admin_site, "providercall_changelist", provider=state.alias)
        return link(url, "All requests to it") if url else labels.NONE

    def controls(self, state: Any) -> str:
        """Buttons and links for what the user may do. They send the form that the admin has on both pages."""
        site = self.admin_site
        change = page_url(site, "providerstate_change", state.alias)
        pause, may_pause, may_call = state.paused_by, state.may_pause, state.may_call
        call = (
            '<button type="submit" class="button" name="_action" value="resume_providers" formaction="{}">{}</button>'
        )
        parts: list[str] = []
        if may_call and state.blocked_reason and not pause:
            parts.append(format_html(call, change, "Call it again now"))
        if may_pause and pause:
            parts.append(resume_button(pause, site, then=state.shown_on))
        elif may_pause and state.alias in conf.provider_aliases():
            named = {"kind": str(Pause.Kind.PROVIDER), "name": state.alias, "next": state.shown_on}
            if url := page_url(site, "pause_pause", **named):
                parts.append(format_html('<a class="button" href="{}">Pause…</a>', url))
        return format_html("{}" * len(parts), *parts) if parts else ""

    @admin.action(description="Call selected providers again now", permissions=["resume"])
    def resume_providers(self, request: HttpRequest, queryset: QuerySet[ProviderState]) -> None:
        by = request.user.get_username()
        blocked = list(queryset.exclude(blocked_reason=""))
        resumed = [state for state in blocked if operations.resume_provider(state.alias, by=by)]
        if resumed:
            LogEntry.objects.log_actions(request.user.pk, resumed, CHANGE, "Called again by hand.")  # type: ignore[arg-type]
        done = ngettext("%d provider may be called again.", "%d providers may be called again.", len(resumed))
        message = done % len(resumed)
        if skipped := queryset.count() - len(resumed):
            message += f" {skipped} skipped: nothing blocked them."
        self.message_user(request, message, messages.SUCCESS if resumed else messages.WARNING)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename('resume', self.opts)}")

    def possible_actions(self, obj: ProviderState) -> dict[str, str]:
        return {"resume_providers": "Call it again now"} if obj.blocked_reason else {}


def _unknown(alias: str) -> ProviderState:
    """What is shown of a provider without a row: it may be called."""
    return ProviderState(alias=alias)


def _with(state: Any, in_force: list[Pause], admin_: Any, request: HttpRequest) -> Any:
    """The state with what this user sees of it, and may do."""
    state.availability = availability(state, in_force)
    state.paused_by = pause_of(state.alias, in_force)
    state.may_pause = request.user.has_perm("embeddings.set_pause")
    state.may_call = admin_.has_resume_permission(request)
    state.shown_on = request.path
    return state
