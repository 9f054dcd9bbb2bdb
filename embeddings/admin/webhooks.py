"""Webhook endpoints: who is told of what, and how they take it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.translation import ngettext

from embeddings import audit, conf, events, jobs, stats
from embeddings.admin import labels
from embeddings.admin.confirming import ConfirmingAdmin
from embeddings.admin.links import link, page_url
from embeddings.admin.readonly import SharedAdmin
from embeddings.admin.webhook_form import EndpointForm, ReplayForm
from embeddings.models import WebhookDelivery, WebhookEndpoint
from embeddings.webhooks import deliveries, endpoints

State = WebhookDelivery.State
REPLAY = "embeddings.replay_webhookdelivery"


@admin.register(WebhookEndpoint)
class EndpointAdmin(ConfirmingAdmin, SharedAdmin):
    """Added and changed by hand; secrets are shown once, when they are made."""

    form = EndpointForm
    ordering = ("name",)
    list_display = ("name", "state", "shown_url", "wanted", "delivered", "linked_deliveries")
    readonly_fields = ("explained_state", "health", "secret_age", "created_at", "created_by")

    # Who may do what, as Django has it; SharedAdmin is for what nobody changes.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("embeddings.add_webhookendpoint")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("embeddings.change_webhookendpoint")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("embeddings.delete_webhookendpoint")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        given = ("name", "url", "events", "targets", "is_enabled")
        if obj is None:
            return [(None, {"fields": given})]
        return [
            (None, {"fields": ("explained_state", "health")}),
            ("What is sent where", {"fields": given}),
            ("Secret", {"fields": ("secret_age",)}),
            ("By whom", {"fields": (("created_at", "created_by"),)}),
        ]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        endpoint: Any = super().get_object(request, object_id, from_field)
        if endpoint is not None:
            endpoint.may_change = self.has_change_permission(request)
            endpoint.may_replay = request.user.has_perm(REPLAY)
        return endpoint

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        pages = {"rotate": self.rotate_view, "test": self.test_view, "replay": self.replay_view}
        own = [
            path(f"<path:object_id>/{name}/", view(page), name=f"embeddings_webhookendpoint_{name}")
            for name, page in pages.items()
        ]
        return [*own, *super().get_urls()]

    # Saving.

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        """What workers write of an endpoint meanwhile is left as they wrote it."""
        by, first = request.user.get_username(), conf.current().databases[0]
        with transaction.atomic(using=first):
            if change:
                self._change(obj, by)
            else:
                obj.secret, obj.created_by = endpoints.new_secret(), by
                obj.save(using=first)
            message = f"Webhook endpoint {obj.name} was {'changed' if change else 'added'}: {_described(obj)}."
            audit.record(audit.Kind.WEBHOOK, message, subject=f"webhook {obj.name}", by=by)
        events.forget()

    def _change(self, obj: WebhookEndpoint, by: str) -> None:
        is_enabled = obj.is_enabled
        obj.save(using=conf.current().databases[0], update_fields=["name", "url", "events", "targets"])
        if is_enabled:
            endpoints.enable(obj, by=by)
        else:
            endpoints.disable(obj, by=by)

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None) -> Any:
        return self._show_secret(request, obj, obj.secret, f"{obj.name} was added")

    def response_change(self, request: HttpRequest, obj: WebhookEndpoint) -> HttpResponse:
        count = endpoints.missed(obj) if obj.is_enabled and request.user.has_perm(REPLAY) else 0
        if count:
            url = page_url(self.admin_site, "webhookendpoint_replay", obj.pk)
            said = format_html('{} messages were not delivered: <a href="{}">send them again</a>.', f"{count:,}", url)
            self.message_user(request, said, messages.WARNING)
        return super().response_change(request, obj)

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        message = f"Webhook endpoint {obj.name} was deleted with its deliveries."
        by = request.user.get_username()
        audit.record(audit.Kind.WEBHOOK, message, subject=f"webhook {obj.name}", by=by)
        super().delete_model(request, obj)
        events.forget()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Without a line for each delivery: there may be a million."""
        lines = [format_html("{}, with all its deliveries", endpoint) for endpoint in objs]
        missing = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return lines, {str(self.opts.verbose_name_plural): len(lines)}, missing, []

    # Pages of their own.

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask; then make a new secret, and show it once."""
        endpoint = self._found(request, object_id, may=self.has_change_permission(request))
        if request.method != "POST":
            lead = (
                "Messages are signed with the new secret from now on, and for 24 hours with the present one too: "
                "receivers that check either go on working. Then the present one is worth nothing."
            )
            context = {"title": f"New secret for {endpoint}", "lead": lead, "form": forms.Form(), "facts": []}
            return self.confirm_page(request, {**context, "button": "Make a new secret", "back": self._url(endpoint)})
        secret = endpoints.rotate(endpoint, by=request.user.get_username())
        LogEntry.objects.log_actions(request.user.pk, [endpoint], CHANGE, "New secret.")  # type: ignore[arg-type]
        endpoint.refresh_from_db()
        return self._show_secret(request, endpoint, secret, f"{endpoint} has a new secret")

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Queue a test message, and lead to what becomes of it."""
        endpoint = self._found(request, object_id, may=self.has_change_permission(request))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not endpoint.is_enabled:
            self.message_user(request, "Enable the endpoint and save it first: nothing is sent now.", messages.ERROR)
            return HttpResponseRedirect(self._url(endpoint))
        delivery = endpoints.send_test(endpoint, by=request.user.get_username())
        url = page_url(self.admin_site, "webhookdelivery_change", delivery.pk)
        said = format_html("A worker sends a test message now. {}", link(url, "See what becomes of it"))
        self.message_user(request, said, messages.SUCCESS)
        return HttpResponseRedirect(self._url(endpoint))

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask since when; then send again what has failed or was cancelled."""
        endpoint = self._found(request, object_id, may=request.user.has_perm(REPLAY))
        form = ReplayForm(request.POST if request.method == "POST" else None, endpoint=endpoint)
        if request.method == "POST" and endpoint.is_enabled and form.is_valid():
            lost = [State.FAILED, State.CANCELLED]
            since = form.cleaned_data["since"]
            chosen = deliveries.of_all().filter(endpoint=endpoint, state__in=lost, created_at__gte=since)
            self.report_replay(request, deliveries.replay(chosen), about=endpoint)
            return HttpResponseRedirect(self._url(endpoint))
        count = endpoints.missed(endpoint)
        facts = [("Not delivered", f"{count:,}{' or more' if count >= 1_000 else ''} in all")]
        lead = "Messages that were given up or cancelled are sent again, with the same ids."
        if not endpoint.is_enabled:
            form, lead = None, "This endpoint is disabled: enable it and save it first."  # type: ignore[assignment]
        context = {"title": f"Send again to {endpoint}", "lead": lead, "facts": facts, "form": form}
        return self.confirm_page(request, {**context, "button": "Send them again", "back": self._url(endpoint)})

    def report_replay(self, request: HttpRequest, count: int, *, about: WebhookEndpoint) -> None:
        if count:
            message = f"{count:,} messages to {about} are sent again."
            by = request.user.get_username()
            audit.record(audit.Kind.WEBHOOK, message, subject=f"webhook {about}", by=by)
            LogEntry.objects.log_actions(request.user.pk, [about], CHANGE, message)  # type: ignore[arg-type]
            jobs.poke_deliverer(is_coalesced=False)
        done = ngettext("%s message is sent again.", "%s messages are sent again.", count) % f"{count:,}"
        said = done if count else "There was nothing to send again."
        self.message_user(request, said, messages.SUCCESS if count else messages.WARNING)

    def _found(self, request: HttpRequest, object_id: str, *, may: bool) -> WebhookEndpoint:
        if not may:
            raise PermissionDenied
        endpoint: WebhookEndpoint | None = self.get_object(request, unquote(object_id))
        if endpoint is None:
            raise Http404("There is no such endpoint.")
        return endpoint

    def _show_secret(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, title: str) -> HttpResponse:
        """The only page that ever shows it; nobody keeps it."""
        context = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        context |= {"title": title, "secret": secret, "endpoint": endpoint, "next": self._url(endpoint)}
        request.current_app = self.admin_site.name
        headers = {"Cache-Control": "no-store"}
        return TemplateResponse(request, "embeddings/admin/webhook_secret.html", context, headers=headers)

    def _url(self, endpoint: WebhookEndpoint) -> str:
        """The endpoint's page; the list for who may not see it."""
        return page_url(self.admin_site, "webhookendpoint_change", endpoint.pk)

    # What is shown.

    @admin.display(description="state")
    def state(self, endpoint: WebhookEndpoint) -> str:
        if not endpoint.is_enabled:
            return labels.pill("failed" if endpoint.disabled_reason else "cancelled", "disabled")
        if endpoint.failing_since:
            return format_html("{} for {}", labels.pill("failed", "failing"), labels.since(endpoint.failing_since))
        return labels.pill("available", "enabled")

    @admin.display(description="state")
    def explained_state(self, endpoint: Any) -> str:
        if endpoint.disabled_reason:
            why = f" {endpoint.disabled_reason} Mend the receiver, tick “enabled” below, and save."
        elif endpoint.is_enabled and endpoint.failing_since:
            why = ". Its messages are tried again by and by; after 5 days without success it is disabled."
        else:
            why = (
                "" if endpoint.is_enabled else " It was disabled by hand: nothing is sent, and nothing is kept for it."
            )
        return format_html("{}{} {}", self.state(endpoint), why, self._buttons(endpoint))

    def _buttons(self, endpoint: Any) -> str:
        site, shown = self.admin_site, []
        if endpoint.may_change and endpoint.is_enabled:
            url = page_url(site, "webhookendpoint_test", endpoint.pk)
            button = '<button type="submit" class="button" formaction="{}" formnovalidate>Send a test message</button>'
            shown.append(format_html(button, url))
        if endpoint.may_replay and endpoint.is_enabled:
            url = page_url(site, "webhookendpoint_replay", endpoint.pk)
            shown.append(format_html('<a class="button" href="{}">Send again…</a>', url))
        return format_html_join(" ", "{}", ((one,) for one in shown))

    @admin.display(description="last day")
    def health(self, endpoint: WebhookEndpoint) -> str:
        counts = stats.endpoint_health(endpoint.pk)
        said = ", ".join(f"{counts[state]:,} {State(state).label}" for state in State.values if counts[state])
        more = " (of the latest 1,000)" if counts.total() >= 1_000 else ""
        return format_html("{}{}. {}", said or "No messages", more, self.linked_deliveries(endpoint))

    @admin.display(description="secret")
    def secret_age(self, endpoint: Any) -> str:
        said = "It was shown when it was made, and is not shown again."
        if endpoints.has_former(endpoint):
            said += f" The former one is valid until {labels.exact(endpoint.former_secret_until)}."
        url = page_url(self.admin_site, "webhookendpoint_rotate", endpoint.pk)
        button = format_html('<a class="button" href="{}">New secret…</a>', url) if endpoint.may_change else ""
        return format_html("{} {}", said, button)

    @admin.display(description="address")
    def shown_url(self, endpoint: WebhookEndpoint) -> str:
        return labels.shortened(endpoint.url)

    @admin.display(description="events")
    def wanted(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.events)

    @admin.display(description="last delivered")
    def delivered(self, endpoint: WebhookEndpoint) -> str:
        return labels.ago(endpoint.last_delivered_at)

    @admin.display(description="deliveries")
    def linked_deliveries(self, endpoint: WebhookEndpoint) -> str:
        url = page_url(self.admin_site, "webhookdelivery_changelist", endpoint=endpoint.pk)
        return link(url, "Its deliveries") if url else labels.NONE


def _described(endpoint: WebhookEndpoint) -> str:
    """ "https://example.com is told of task.failed"; what follows the host may be a key, and is left out."""
    parts = urlsplit(endpoint.url)
    return f"{parts.scheme}://{parts.netloc} is told of {', '.join(endpoint.events)}"
