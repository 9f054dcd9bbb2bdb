"""What the rows say, put in force in this process."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import transaction

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.failure import Failure
from embeddings.models import LiveSettings, ProviderQuota

logger = logging.getLogger(__name__)

# How old what is in force may be in a process that is about something else, such as a search.
PATIENT_SECONDS = 5.0

# What each of the rows holds.
NAMES = tuple(f.name for f in LiveSettings._meta.fields if f.editable and not f.primary_key)
QUOTAS = tuple(f.name for f in ProviderQuota._meta.fields if not f.primary_key)

_read_at = float("-inf")


def refresh(*, max_age_seconds: float = 1.0) -> bool:
    """Read the rows of the first database, unless that was done so lately; returns whether anything is different now.

    Never raises: without the database, or with a value that cannot be, what was in force stays.
    """
    global _read_at
    if time.monotonic() - _read_at < max_age_seconds:
        return False
    _read_at = time.monotonic()
    try:
        return conf.override(*_rows(conf.current().databases[0]))
    except (AnyDatabaseError, ConfigurationError) as exc:
        logger.warning("The live settings could not be read; those in force stay: %s", Failure.of(exc).message)
        return False


def _rows(using: str) -> tuple[dict[str, Any], dict[str, dict[str, int | None]]]:
    """The settings and the quotas. In a savepoint: what fails here is not to spoil the caller's transaction."""
    with transaction.atomic(using=using):
        settings = LiveSettings.objects.using(using).first() or LiveSettings()
        quotas = list(ProviderQuota.objects.using(using))
    values = {name: getattr(settings, name) for name in NAMES}
    return values, {quota.alias: {name: getattr(quota, name) for name in QUOTAS} for quota in quotas}


def forget() -> None:
    """Go back to the settings files, as a process that has just begun and has looked already."""
    global _read_at
    conf.override({}, {})
    _read_at = time.monotonic()
