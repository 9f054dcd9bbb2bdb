"""How long a server that answered 429 wants us to wait, read from its headers."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000_001, "µs": 0.000_001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|h|m|s)")


def retry_after(headers: Mapping[str, str], quota: str | None = None) -> float | None:
    """Seconds from now, or None if the headers do not say.

    `headers` has lower-case names. `quota` is which one was used up, "requests" or "tokens", where the server said so;
    without it the longer of the two resets counts.
    """
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        return seconds / 1000
    seconds = _number(headers.get("retry-after"))
    if seconds is not None:
        return seconds
    seconds = _seconds_until(headers.get("retry-after"))
    if seconds is not None:
        return seconds
    quotas = (quota,) if quota in {"requests", "tokens"} else ("requests", "tokens")
    resets = [_duration(headers.get(f"x-ratelimit-reset-{name}")) for name in quotas]
    return max((reset for reset in resets if reset is not None), default=None)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _seconds_until(http_date: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date or "").timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())


def _duration(value: str | None) -> float | None:
    """Go's notation, as OpenAI writes it: "20ms", "1s", "6m0s"."""
    value = (value or "").strip()
    if not value or _PART.sub("", value):
        return _number(value)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(value))
