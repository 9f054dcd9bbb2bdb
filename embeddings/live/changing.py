"""How an operator changes live settings and quotas: checked, saved everywhere, recorded, and in force at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from embeddings import audit, conf, ledger, limiter
from embeddings.live import reading
from embeddings.live.reading import NAMES, QUOTAS
from embeddings.live.wording import Changes, default_quota, sentence
from embeddings.models import AuditEvent, LiveSettings, ProviderQuota

Quotas = Mapping[str, Mapping[str, int | None]]

# The code of the error of who would overwrite what somebody else has changed meanwhile.
OUTDATED = "outdated"
_ANY = datetime.min


def change(values: Mapping[str, Any], quotas: Quotas, *, by: str, seen_at: datetime | None = _ANY) -> Changes:
    """Save settings {name: value} and quotas {alias: {name: value}}; None goes back to what the settings files say.

    What is not named stays. `by` is the user's name. `seen_at` is the `updated_at` of the row that the user has seen,
    None if there was none; another present one is an error of the code OUTDATED. Returns what has changed. Raises
    ValidationError with what is wrong under each name, and DatabaseError if one of the databases is away; then nothing
    is saved anywhere, unless it goes between the commits of two of them: save again when it is back.
    """
    databases = conf.current().databases
    with ExitStack() as transactions:
        for using in databases:
            transactions.enter_context(transaction.atomic(using=using))
        row = _locked_row(databases[0], seen_at)
        rows = _locked_quotas(databases[0], quotas)
        changes = _assign(row, values) | _assign_quotas(rows, quotas)
        if not changes:
            transaction.set_rollback(True, using=databases[0])  # A row made for nothing would be news to others.
            return {}
        row.updated_by = by[:255]
        for using in databases:
            row.save(using=using)
        for quota in rows.values():
            quota.save(using=databases[0])
        audit.record(AuditEvent.Kind.SETTINGS, sentence(changes), subject="settings", by=by, **changes)
        raised = [alias for alias in rows if _is_raised(alias, changes)]
        transaction.on_commit(partial(_take_effect, raised), using=databases[0])
    return changes


def _locked_row(using: str, seen_at: datetime | None) -> LiveSettings:
    """The row, made if need be; raises ValidationError if it is not the one that was seen."""
    _, is_new = LiveSettings.objects.using(using).get_or_create(pk=1)
    row = LiveSettings.objects.using(using).select_for_update().get()
    if seen_at is not _ANY and seen_at != (None if is_new else row.updated_at):
        who = row.updated_by or "Somebody else"
        raise ValidationError(f"{who} has changed the settings since you opened them.", code=OUTDATED)
    return row


def _locked_quotas(using: str, aliases: Quotas) -> dict[str, ProviderQuota]:
    """The rows of these providers; raises ValidationError for one that is not configured. The settings are locked."""
    known = conf.provider_aliases()
    if unknown := sorted(set(aliases) - set(known)):
        raise ValidationError(f"There is no provider {unknown[0]!r}; there are {', '.join(known)}.")
    rows = ProviderQuota.objects.using(using).in_bulk(list(aliases))
    return {alias: rows.get(alias) or ProviderQuota(alias=alias) for alias in aliases}


def _assign(row: LiveSettings, values: Mapping[str, Any]) -> Changes:
    """Give the row its values; raises ValidationError with what is wrong under each name."""
    if unknown := sorted(set(values) - set(NAMES)):
        raise ValidationError(f"There is no live setting {unknown[0]!r}; there are {', '.join(NAMES)}.")
    old = {name: getattr(row, name) for name in values}
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()
    return {name: [was, getattr(row, name)] for name, was in old.items() if was != getattr(row, name)}


def _assign_quotas(rows: Mapping[str, ProviderQuota], quotas: Quotas) -> Changes:
    changes: Changes = {}
    errors: dict[str, list[str]] = {}
    for alias, row in rows.items():
        if unknown := sorted(set(quotas[alias]) - set(QUOTAS)):
            raise ValidationError(f"A provider has no quota {unknown[0]!r}; it has {', '.join(QUOTAS)}.")
        old = {name: getattr(row, name) for name in quotas[alias]}
        for name, value in quotas[alias].items():
            setattr(row, name, value)
        try:
            row.full_clean(validate_unique=False)
        except ValidationError as exc:
            errors |= {f"{alias}.{name}": messages for name, messages in exc.message_dict.items()}
        else:
            changes |= {f"{alias}.{n}": [was, getattr(row, n)] for n, was in old.items() if was != getattr(row, n)}
    if errors:
        raise ValidationError(errors)
    return changes


def _is_raised(alias: str, changes: Changes) -> bool:
    """Whether one of the provider's quotas is larger than before; none at all is the largest."""
    changed = [(name, changes[key]) for name in QUOTAS if (key := f"{alias}.{name}") in changes]
    sizes = [[_size(alias, name, value) for value in pair] for name, pair in changed]
    return any(new > old for old, new in sizes)


def _size(alias: str, name: str, value: int | None) -> float:
    value = default_quota(alias, name) if value is None else value
    return float("inf") if value is None else value


def _take_effect(raised: list[str]) -> None:
    """Here at once, elsewhere within seconds. Providers that rest for a quota which is larger now rest no longer."""
    reading.refresh(max_age_seconds=0)
    for alias in raised:
        if limiter.end_wait_for_quota(alias):
            for using in conf.current().databases:
                ledger.hasten(alias, using=using)
