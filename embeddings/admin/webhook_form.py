"""The forms of webhook endpoints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from embeddings import conf, pauses, registry
from embeddings.exceptions import AddressRefused
from embeddings.models import WebhookEndpoint, WebhookEvent
from embeddings.webhooks import addresses, packages

Kind = WebhookEvent.Kind

# A name that is not looked up in this time is taken, and looked up again before each message.
LOOK_UP_SECONDS = 3.0
EVENTS = [(kind.value, f"{kind.value}: {kind.label}") for kind in Kind if kind != Kind.TEST]


def _targets() -> list[tuple[str, str]]:
    names = sorted(pauses.name_of(target) for target in registry.all_derived())
    return [(name, name) for name in names]


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """Takes no address to which no message would be sent."""

    url = forms.CharField(
        label="Address",
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vTextField", "inputmode": "url", "autocomplete": "off"}),
        help_text="Such as https://example.com/webhooks. Messages are sent there by POST; redirects are not followed.",
        error_messages={"required": "Give the address to which messages are sent."},
    )
    events = forms.MultipleChoiceField(
        label="Events",
        choices=EVENTS,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick at least one event: nothing else is sent."},
    )
    targets = forms.MultipleChoiceField(
        label="Only of tasks of",
        choices=_targets,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: of all targets.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("name", "url", "events", "targets", "is_enabled")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = WebhookEndpoint.objects.using(conf.current().databases[0]).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise forms.ValidationError("There is an endpoint of this name; choose another.")
        return name

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"].strip()
        try:
            parts = addresses.check(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            addresses.resolve(str(parts.hostname), port, seconds=LOOK_UP_SECONDS)
        except AddressRefused as exc:
            raise forms.ValidationError(str(exc)) from exc
        except OSError:
            pass  # This process may not know the name, or not yet; the workers look it up each time.
        return url

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("is_enabled") and packages.missing():
            names = " and ".join(packages.missing())
            raise forms.ValidationError(f"Nothing can be sent without {names}. Install it: {packages.INSTALL}")
        return values


class ReplayForm(forms.Form):
    """Since when messages are sent again."""

    since = forms.DateTimeField(
        label="Those made since",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={
            "invalid": "Give a date and a time, such as 2030-01-31 18:00.",
            "required": "Give the time since when messages are sent again.",
        },
    )

    def __init__(self, data: Any = None, *, endpoint: WebhookEndpoint) -> None:
        since = endpoint.disabled_at or endpoint.failing_since or timezone.now()
        super().__init__(data, initial={"since": timezone.localtime(since - timedelta(days=1))})

    def hidden_problem(self) -> str:
        """What is wrong that the user could not see: nothing here."""
        return ""
