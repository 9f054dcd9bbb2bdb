"""How long to wait before the next attempt."""

from __future__ import annotations

import random


def retry_delay(attempt: int, *, base_seconds: float, cap_seconds: float) -> float:
    """Seconds before attempt `attempt + 1`: base · 2^(attempt - 1) up to the cap, plus up to half of it again.

    The jitter only adds: a delay that somebody asked for is a minimum, and tasks that failed together
    do not come back together.
    """
    delay = min(base_seconds * 2.0 ** min(max(attempt - 1, 0), 60), cap_seconds)
    return delay + random.uniform(0, delay / 2)
