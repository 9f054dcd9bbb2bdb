"""Deliveries of webhooks: what was sent, how it went, and buttons to send it again."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.translation import ngettext

from embeddings import audit, conf, jobs
from embeddings.admin import labels
from embeddings.admin.buttons import ActionButtons
from embeddings.admin.filters import Choices, ColumnFilter
from embeddings.admin.links import link, page_url
from embeddings.admin.readonly import SharedAdmin
from embeddings.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from embeddings.webhooks import deliveries

State = WebhookDelivery.State

MEANING = {
    State.SENDING: "A worker is sending it.",
    State.DELIVERED: "The receiver has taken it.",
    State.FAILED: "It was given up after the last attempt. Send it again once the receiver is mended.",
    State.CANCELLED: "Its endpoint was disabled before it was sent.",
}
COLOURS = {State.DELIVERED: "completed", State.SENDING: "processing", State.WAITING: "pending"}
# Of a payload so much is shown, and so many are logged of an action.
MOST_SHOWN, LOGGED = 20_000, 100


class EndpointFilter(ColumnFilter):
    """By endpoint."""

    title = "endpoint"
    parameter_name = "endpoint"
    column = "endpoint_id"

    def choices_from_code(self) -> Choices:
        endpoints = WebhookEndpoint.objects.using(conf.current().databases[0]).order_by("name")
        return [(str(key), name) for key, name in endpoints.values_list("pk", "name")[:100]]


class EventFilter(ColumnFilter):
    """By event, under the names that the list and the messages have."""

    title = "event"
    parameter_name = "event"
    column = "kind"

    def choices_from_code(self) -> Choices:
        return [(kind, kind) for kind in WebhookEvent.Kind.values]


@admin.register(WebhookDelivery)
class DeliveryAdmin(ActionButtons, SharedAdmin):
    """The latest first."""

    actions = ("replay_deliveries",)
    list_display = ("sent", "pill", "to", "attempts", "answer", "made")
    list_filter = ("state", EventFilter, EndpointFilter)
    fieldsets = (
        (None, {"fields": ("explained", "to", "sent", "answer")}),
        ("Attempts", {"fields": ("shown_history",), "classes": ("embeddings-wide",)}),
        ("Message", {"fields": ("message_id", ("created_at", "delivered_at"), "shown_payload")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        rows: QuerySet[WebhookDelivery] = super().get_queryset(request)
        return rows.select_related("endpoint").defer("payload", "history")

    def possible_actions(self, obj: WebhookDelivery) -> dict[str, str]:
        is_possible = obj.state not in {State.WAITING, State.SENDING} and obj.endpoint.is_enabled
        return {"replay_deliveries": "Send it again"} if is_possible else {}

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("embeddings.replay_webhookdelivery")

    @admin.action(description="Send selected messages again", permissions=["replay"])
    def replay_deliveries(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        chosen = deliveries.of_all().filter(pk__in=list(queryset.order_by().values_list("pk", flat=True)))
        logged, total = list(chosen[:LOGGED]), chosen.count()
        replayed = deliveries.replay(chosen)
        if replayed:
            by = request.user.get_username()
            audit.record(audit.Kind.WEBHOOK, f"{replayed:,} webhook messages are sent again.", by=by)
            LogEntry.objects.log_actions(request.user.pk, logged, CHANGE, "Sent again.")  # type: ignore[arg-type]
            jobs.poke_deliverer(is_coalesced=False)
        said = ngettext("%s message is sent again.", "%s messages are sent again.", replayed) % f"{replayed:,}"
        if skipped := total - replayed:
            said += f" {skipped:,} skipped: they are on their way, or their endpoint is disabled."
        self.message_user(request, said, messages.SUCCESS if replayed else messages.WARNING)

    @admin.display(description="message")
    def sent(self, one: WebhookDelivery) -> str:
        if not one.kind.startswith("task."):
            return one.kind
        return f"{one.kind} ({ngettext('%s task', '%s tasks', one.events) % f'{one.events:,}'})"

    @admin.display(description="state")
    def pill(self, one: WebhookDelivery) -> str:
        return labels.pill(COLOURS.get(State(one.state), one.state), one.get_state_display())

    @admin.display(description="state")
    def explained(self, one: WebhookDelivery) -> str:
        is_waiting = one.state == State.WAITING
        meaning = format_html("It is sent {}.", _when(one)) if is_waiting else MEANING[State(one.state)]
        return format_html("{} {} {}", self.pill(one), meaning, self.buttons(one))

    @admin.display(description="endpoint")
    def to(self, one: WebhookDelivery) -> str:
        return link(page_url(self.admin_site, "webhookendpoint_change", one.endpoint_id), one.endpoint.name)

    @admin.display(description="answer")
    def answer(self, one: WebhookDelivery) -> str:
        if one.error_message:
            return labels.shortened(one.error_message)
        return str(one.status_code) if one.status_code else labels.NONE

    @admin.display(description="made")
    def made(self, one: WebhookDelivery) -> str:
        return labels.ago(one.created_at)

    @admin.display(description="attempts")
    def shown_history(self, one: WebhookDelivery) -> str:
        if not one.history:
            return "none yet"
        rows = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", map(_row, one.history))
        return format_html(
            '<div class="embeddings-scroll"><table><tr><th scope="col">When</th><th scope="col">Status</th>'
            '<th scope="col">Took</th><th scope="col">What was wrong</th></tr>{}</table></div>',
            rows,
        )

    @admin.display(description="payload")
    def shown_payload(self, one: WebhookDelivery) -> str:
        text = json.dumps(one.payload, indent=2, ensure_ascii=False)
        more = f"\n… and {len(text) - MOST_SHOWN:,} characters more" if len(text) > MOST_SHOWN else ""
        return format_html('<pre class="embeddings-json embeddings-scroll">{}{}</pre>', text[:MOST_SHOWN], more)


def _when(one: WebhookDelivery) -> str:
    """When it is sent: "in 4 min", "as soon as a worker has time"."""
    is_due = one.available_at <= timezone.now()
    return "as soon as a worker has time" if is_due else format_html("again {}", labels.ahead(one.available_at))


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    at, seconds = parse_datetime(entry["at"]), entry["seconds"]
    took = labels.NONE if seconds is None else f"{seconds:.2f} s"
    return labels.exact(at) if at else entry["at"], entry["status"] or "no answer", took, entry["error"] or "nothing"
