"""Records of requests to providers: what they cost and how long they took."""

from __future__ import annotations

from decimal import Decimal

from embeddings import conf
from embeddings.models import ProviderCall
from embeddings.providers import Provider


def record_call(
    provider: Provider, *, inputs: int, tokens: int | None, seconds: float, outcome: str, worker: str
) -> None:
    """One row a request. `outcome` is "ok" or the kind of error."""
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
