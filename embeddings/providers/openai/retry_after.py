"""How long a server that sent us away wants us to wait, read from its headers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from embeddings.providers.openai.numbers import duration, number


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now, or None if the headers do not ask to wait. `headers` has lower-case names."""
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    seconds = number(headers.get("retry-after"))
    return _seconds_until(headers.get("retry-after")) if seconds is None else seconds


def quota_free_after(headers: Mapping[str, str], quota: str | None = None) -> float | None:
    """The same for a server that refused a request because a quota is used up.

    If it does not ask to wait, it may say when its quotas are whole again. `quota` is which one was used up, "requests"
    or "tokens", where the server said so; without it the longer of the two resets counts.
    """
    seconds = retry_after(headers)
    if seconds is not None:
        return seconds
    quotas = (quota,) if quota in {"requests", "tokens"} else ("requests", "tokens")
    resets = [duration(headers.get(f"x-ratelimit-reset-{name}")) for name in quotas]
    return max((reset for reset in resets if reset is not None), default=None)


def _seconds_until(http_date: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date or "").timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())
