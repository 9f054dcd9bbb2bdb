"""Numbers and durations as servers write them in headers; None for what is missing or makes no sense."""

from __future__ import annotations

import math
import re

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000_001, "µs": 0.000_001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|h|m|s)")


def number(value: str | None) -> float | None:
    """A finite number of at least 0."""
    try:
        parsed = float(value or "")
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) and parsed >= 0 else None


def duration(value: str | None) -> float | None:
    """Seconds, from Go's notation, as OpenAI writes it: "20ms", "1s", "6m0s"; or from a bare number of them."""
    value = (value or "").strip()
    if not value or _PART.sub("", value):
        return number(value)
    return sum(float(count) * _UNIT_SECONDS[unit] for count, unit in _PART.findall(value))
