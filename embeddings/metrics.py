"""Records of what was done: each request to a provider, the sums of each minute, and those of all time.

The sums are counted in memory (`embeddings.tally`) and handed over from time to time, so that a drain writes a few
small rows every two seconds, whatever it does; a process that is killed loses those of its last two seconds.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import Error, connections, transaction

from embeddings import conf, sql, tally
from embeddings.failure import Failure
from embeddings.models import ProviderCall
from embeddings.providers import Provider
from embeddings.tally import Counts, TargetKey

logger = logging.getLogger(__name__)

# Another process may be handing over just then, for some milliseconds.
_LAST_TRIES = 20
_PATIENCE_SECONDS = 0.01

_handed_over_at = float("-inf")


def record_call(
    provider: Provider, *, inputs: int, tokens: int | None, seconds: float, outcome: str, worker: str
) -> None:
    """One row a request, and its part of the minute. `outcome` is "ok" or the kind of error."""
    count_call(provider, inputs=inputs, tokens=tokens, seconds=seconds, outcome=outcome, worker=worker)
    cost = None if tokens is None else provider.cost(tokens)
    ProviderCall.objects.using(conf.current().databases[0]).create(
        provider=provider.alias,
        model_id=provider.model_id,
        inputs=inputs,
        tokens=tokens,
        cost=None if cost is None else Decimal(str(cost)),
        latency_ms=round(seconds * 1000),
        outcome=outcome,
        worker=worker,
    )


def count_call(
    provider: Provider, *, inputs: int, tokens: int | None, seconds: float, outcome: str, worker: str | None = None
) -> None:
    """The part of the minute alone, in memory: for requests that are too many for a row each."""
    cost = 0.0 if tokens is None else provider.cost(tokens) or 0.0
    tally.called(provider.alias, inputs=inputs, tokens=tokens or 0, cost=cost, seconds=seconds, outcome=outcome)
    about = {
        "provider": provider.alias,
        "model_id": provider.model_id,
        "inputs": inputs,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "outcome": outcome,
        **({} if worker is None else {"worker": worker}),
    }
    logger.log(logging.DEBUG if outcome == "ok" else logging.INFO, "Request to a provider: %s.", outcome, extra=about)


def hand_over(*, is_last: bool = False) -> None:
    """Add what this process has counted to the rows of the minute; what is not to be written now stays counted.

    Nothing is waited for and nothing raised: figures are not worth a drain. `is_last`: it is tried a few times.
    """
    global _handed_over_at
    using = conf.current().databases[0]
    if connections[using].in_atomic_block:  # whose locks would last, and which an error would end
        return
    _handed_over_at = time.monotonic()
    for attempt in range(_LAST_TRIES if is_last else 1):
        time.sleep(_PATIENCE_SECONDS if attempt else 0)
        if not _hand_over(using):
            return


def hand_over_after_commit(*, rest_seconds: float = 0.0) -> None:
    """For users' processes: when the transaction that may be open has ended, and so long after the last time."""
    if time.monotonic() - _handed_over_at >= rest_seconds:
        transaction.on_commit(hand_over, using=conf.current().databases[0], robust=True)


def _hand_over(using: str) -> bool:
    """Whether something is left because another process was about it, which it will not be for long."""
    taken = tally.take()
    try:
        if _add("add_target_minutes", _target_rows(taken.targets), using):
            taken.targets.clear()
        if _add("add_provider_minutes", _rows("provider", taken.providers), using):
            taken.providers.clear()
        return bool(taken)
    except Error as exc:
        logger.warning("The figures of this minute could not be written: %s", Failure.of(exc).message)
        return False
    finally:
        tally.put_back(taken)


def _target_rows(targets: Mapping[TargetKey, Counts]) -> list[dict[str, Any]]:
    """Under the names of the targets, those of several databases together."""
    named: dict[str, Counts] = {}
    for (using, content_type_id, field), counts in targets.items():
        try:
            content_type = ContentType.objects.db_manager(using).get_for_id(content_type_id)
        except ContentType.DoesNotExist:  # The model went while a worker had tasks of it.
            continue
        name = f"{content_type.app_label}.{content_type.model}.{field}"
        named.setdefault(name, Counts()).add(counts)
    return _rows("target", named)


def _rows(key: str, counted: Mapping[str, Counts]) -> list[dict[str, Any]]:
    return [
        {
            key: name,
            **{column: int(counts.numbers[column]) for column in _NUMBERS[key]},
            "cost": counts.dollars,
            "durations": counts.durations,
            "seconds": counts.seconds,
        }
        for name, counts in sorted(counted.items())
    ]


_NUMBERS = {
    "target": ("completed", "attempts_failed", "failed"),
    "provider": ("requests", "failed", "rate_limited", "inputs", "tokens"),
}


def _add(statement: str, rows: list[dict[str, Any]], using: str) -> bool:
    """Whether the rows were added; False while another process adds its own."""
    if not rows:
        return True
    with connections[using].cursor() as cursor:
        cursor.execute(sql.load(statement), {"rows": json.dumps(rows)})
        return bool(cursor.fetchall())
