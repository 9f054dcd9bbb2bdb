"""How many calls of the API that ask a provider one caller makes in a minute, counted on Redis for all processes.

While Redis is away each process counts by itself, from nothing.
"""

from __future__ import annotations

from embeddings import conf
from embeddings.quotas import local, shared
from embeddings.quotas.waits import Use, per_window


def take_call(caller: str) -> float:
    """Count a call of this caller (a user's key, for example).

    Returns 0.0 if it is within EMBEDDINGS["API_CALLS_PER_MINUTE"], else the seconds after which to try again; it is
    not counted then. Never raises.
    """
    per_minute = conf.current().api_calls_per_minute
    if not per_minute:
        return 0.0
    uses = [Use(f"{conf.current().queue}/caller/{caller}", per_window(per_minute), 1)]
    wait = shared.attempt(lambda: shared.take(uses))
    return local.take_alone(uses) if wait is None else wait
