"""The form of the live settings: a number or nothing for each, and for each quota of each provider."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models

from embeddings import conf, live
from embeddings.admin import labels
from embeddings.models import LiveSettings, ProviderQuota

# What belongs together; a tuple is one line.
GROUPS: list[tuple[str, list[str | tuple[str, ...]]]] = [
    ("Work", [("batch_size", "concurrency")]),
    ("Retries", ["max_attempts", ("backoff_base_seconds", "backoff_cap_seconds")]),
    ("Providers that fail", [("circuit_failures", "circuit_open_seconds")]),
    ("Priorities", ["head_start_high_seconds", "head_start_normal_seconds", "head_start_low_seconds"]),
    ("Alerts", [("alert_failed", "alert_waiting_seconds")]),
    (
        "Clean-up",
        [("attempt_retention_days", "metric_retention_days"), ("audit_retention_days", "cleanup_retention_days")],
    ),
]


class SettingsForm(forms.Form):
    """A field for each of `live.NAMES`, and "<alias>.<name>" for each quota: the names that `live.change` reports."""

    # Of which state of the row the fields were filled: whoever saves later is told what he would overwrite.
    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, is_editable: bool) -> None:
        row, quotas = _rows()
        self.row = row
        self._quotas = {alias: quotas.get(alias) or ProviderQuota(alias=alias) for alias in conf.provider_aliases()}
        super().__init__(data, initial=self._saved() | {"seen_at": _stamp(row)})
        for name in live.NAMES:
            self.fields[name] = _setting(name)
        for alias in self._quotas:
            for name in live.QUOTAS:
                self.fields[f"{alias}.{name}"] = _quota(alias, name)
        if not is_editable:
            for field in self.fields.values():
                field.disabled = True
                field.widget.attrs["readonly"] = True

    def fieldsets(self) -> list[tuple[str, dict[str, Any]]]:
        """The groups, as Django's AdminForm takes them."""
        groups = [(title, {"fields": names}) for title, names in GROUPS]
        quotas = [
            (f"Quotas of provider {alias}", {"fields": [tuple(f"{alias}.{name}" for name in live.QUOTAS)]})
            for alias in self._quotas
        ]
        return [*groups[:1], *quotas, *groups[1:]]

    def save(self, *, by: str) -> live.Changes | None:
        """Change what is different; returns what was. None if it was refused, and the form says why."""
        given = self.cleaned_data
        quotas = {alias: {name: given[f"{alias}.{name}"] for name in live.QUOTAS} for alias in self._quotas}
        try:
            return live.change(
                {name: given[name] for name in live.NAMES}, quotas, by=by, seen_at=_moment(given["seen_at"])
            )
        except ValidationError as exc:
            self.add_error(None, self._outdated(exc) if getattr(exc, "code", "") == live.OUTDATED else exc)
        except DatabaseError:
            self.add_error(None, "One of the databases does not answer. Nothing was saved; try again in a moment.")
        return None

    def _saved(self) -> dict[str, Any]:
        """What the rows hold, by the fields' names."""
        quotas = {f"{alias}.{n}": getattr(row, n) for alias, row in self._quotas.items() for n in live.QUOTAS}
        return {name: getattr(self.row, name) for name in live.NAMES} | quotas

    def _outdated(self, exc: ValidationError) -> str:
        """Say what has been saved meanwhile; the next time it is overwritten, as this form has been shown to."""
        present = SettingsForm(is_editable=False)
        self.row = present.row
        self.data = {**self.data.dict(), "seen_at": _stamp(present.row)}  # type: ignore[attr-defined]
        changes = {k: [v, self.cleaned_data[k]] for k, v in present.initial.items() if k != "seen_at"}
        different = live.sentence({key: pair for key, pair in changes.items() if pair[0] != pair[1]})
        return (
            f"{exc.message} Nothing of yours is saved yet. If you save again, this changes: {different or 'nothing.'}"
        )


def _rows() -> tuple[LiveSettings, dict[str, ProviderQuota]]:
    first = conf.current().databases[0]
    row = LiveSettings.objects.using(first).first() or LiveSettings()
    return row, ProviderQuota.objects.using(first).in_bulk()


def _setting(name: str) -> forms.Field:
    value = live.default(name)
    default = live.shown(value)
    if name.endswith("_seconds") and value >= 120:
        default += f" (about {labels.duration(value)})"
    key = f'["{name.upper()}"]'
    if name.startswith("head_start_"):
        key = f'["HEAD_START_SECONDS"]["{name.split("_")[2]}"]'
    return _field(LiveSettings._meta.get_field(name), f"If blank: {default}, from EMBEDDINGS{key}.", live.shown(value))


def _quota(alias: str, name: str) -> forms.Field:
    default = live.shown(live.default_quota(alias, name))
    source = f'EMBEDDING_PROVIDERS["{alias}"]["{name.upper()}"]'
    return _field(ProviderQuota._meta.get_field(name), f"If blank: {default}, from {source}.", default)


def _field(column: Any, default: str, placeholder: str) -> forms.Field:
    """A number within the column's bounds, which says what holds where it is left blank."""
    least, most = (validator.limit_value for validator in column.validators[:2])
    whole = isinstance(column, models.IntegerField)
    attrs = {"min": least, "max": most, "placeholder": placeholder, "step": 1 if whole else "any"}
    kind = forms.IntegerField if whole else forms.FloatField
    return kind(
        required=False,
        label=column.verbose_name.capitalize(),
        help_text=f"{column.help_text} {default}",
        widget=AdminIntegerFieldWidget(attrs=attrs),
        min_value=least,
        max_value=most,
    )


def _stamp(row: LiveSettings) -> str:
    return row.updated_at.isoformat() if row.updated_at else ""


def _moment(stamp: str) -> datetime | None:
    """The reverse; None for what is not one, which is then not that of the row either."""
    try:
        return datetime.fromisoformat(stamp)
    except ValueError:
        return None
