"""The form that asks what is to be paused, why, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from embeddings import conf, pauses, registry
from embeddings.models import Pause

Kind = Pause.Kind

HOURS = {"1h": 1, "4h": 4}
ENDS = [
    ("1h", "in 1 hour"),
    ("4h", "in 4 hours"),
    ("tomorrow", "tomorrow at 08:00"),
    ("never", "when somebody resumes it"),
    ("time", "at this time:"),
]


def choices() -> list[Any]:
    """What can be paused, as "kind:name", in groups."""
    providers = [(f"{Kind.PROVIDER}:{alias}", f"provider {alias}") for alias in conf.provider_aliases()]
    names = sorted(pauses.name_of(target) for target in registry.all_derived())
    targets = [(f"{Kind.TARGET}:{name}", f"target {name}") for name in names]
    return [(f"{Kind.EVERYTHING}:", "everything"), ("Providers", providers), ("Targets", targets)]


class PauseForm(forms.Form):
    """Knows the kind, the name and the end once it is valid."""

    what = forms.ChoiceField(label="Pause", choices=choices)
    reason = forms.CharField(
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
        help_text="Everybody who finds it paused will read it: “the key is being changed”, “the bill is too high”.",
        error_messages={"required": "Give a reason: who finds it paused will want to know why."},
    )
    ends = forms.ChoiceField(label="It ends", choices=ENDS, initial="1h", widget=forms.RadioSelect)
    ends_at = forms.DateTimeField(
        label="Time",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={"invalid": "Give a date and a time, such as 2030-01-31 18:00."},
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("ends") == "time" and "ends_at" not in self.errors:
            ends_at = values.get("ends_at")
            if ends_at is None:
                self.add_error("ends_at", "Give the time at which it ends, or choose another end.")
            elif ends_at <= timezone.now():
                now = timezone.localtime()
                self.add_error("ends_at", f"Give a time to come: it is {now:%Y-%m-%d %H:%M} ({now:%Z}) now.")
        return values

    @property
    def kind(self) -> Pause.Kind:
        return Kind(self.cleaned_data["what"].partition(":")[0])

    @property
    def name(self) -> str:
        name: str = self.cleaned_data["what"].partition(":")[2]
        return name

    @property
    def end(self) -> datetime | None:
        """When it ends, counted from now."""
        now = timezone.localtime()
        match self.cleaned_data["ends"]:
            case "time":
                ends_at: datetime = self.cleaned_data["ends_at"]
                return ends_at
            case "tomorrow":
                return (now + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
            case "never":
                return None
            case hours:
                return now + timedelta(hours=HOURS[hours])
