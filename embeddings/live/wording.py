"""Live settings and their changes in words."""

from __future__ import annotations

from typing import Any

from embeddings import conf
from embeddings.exceptions import ConfigurationError

# {name: [old, new]}; a quota's name is "<alias>.<name>".
Changes = dict[str, list[Any]]


def default(name: str) -> int | float:
    """What is in force where the setting is left to EMBEDDINGS."""
    value: int | float = conf.configured_value(name)
    return value


def default_quota(alias: str, name: str) -> int | None:
    """The same of a provider's quota, None for no limit."""
    try:
        quota: int | None = getattr(conf.configured_provider(alias), name)
    except ConfigurationError:  # That it cannot be called is said elsewhere.
        return None
    return quota


def shown(value: float | None) -> str:
    """A value to read: "1,000,000", "2.5", "no limit"."""
    if value is None:
        return "no limit"
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def sentence(changes: Changes) -> str:
    """ "Batch size: 256 (default) → 300. Requests per minute of default: 600 → no limit (default)." """
    return " ".join(f"{_title(key)}: {_side(key, old)} → {_side(key, new)}." for key, (old, new) in changes.items())


def _title(key: str) -> str:
    alias, _, name = key.rpartition(".")
    title = name.replace("_", " ").capitalize()
    return f"{title} of provider {alias}" if alias else title


def _side(key: str, value: float | None) -> str:
    alias, _, name = key.rpartition(".")
    if value is not None:
        return shown(value)
    return f"{shown(default_quota(alias, name) if alias else default(name))} (default)"
