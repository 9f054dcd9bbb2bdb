"""What operations would come to, before they begin: bounded counts, tokens, cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet, Sum, Value

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.models import CLEARABLE, CensusCount, EmbeddingOperation, EmbeddingTask, ProviderCall
from embeddings.providers import get_provider
from embeddings.registry import NO_PROVIDER, Derived
from embeddings.stats import census
from embeddings.stats.census import Coverage, Preview
from embeddings.task_filter import TaskFilter, eligible

# Tasks of one status that are looked at to count.
MOST_COUNTED = 100_000
# Tasks of one status whose tokens are looked at, for the average of all.
MOST_ADDED = 2_000
# Requests that say how many tokens a text has.
RECENT_REQUESTS = 500


def of_tasks(kind: str, wanted: TaskFilter) -> Preview:
    """Of the tasks that match now: what an operation of this kind would change.

    The tokens and cost of a retry are estimates: by what is known of the tasks, or else of the provider's requests.
    """
    _, statuses = eligible(kind, wanted)
    counts = {str(status): _count(kind, wanted, status) for status in statuses}
    parts = {status: count for status, (count, _) in counts.items() if count}
    rows = sum(parts.values())
    texts = _texts_by_provider(wanted, parts) if kind == EmbeddingOperation.Kind.RETRY else None
    tokens, cost = (None, None) if texts is None else _priced(texts)
    return Preview(
        rows=rows,
        tokens=tokens,
        cost=cost,
        parts=parts,
        others=max(_matching(wanted) - rows, 0),
        is_estimate=False,
        is_at_least=any(is_stopped for _, is_stopped in counts.values()),
    )


def _count(kind: str, wanted: TaskFilter, status: str) -> tuple[int, bool]:
    """How many tasks of this status an operation would change, and whether counting stopped at the limit."""
    looked_at = _first(wanted, status).values("fits")[:MOST_COUNTED]
    found = looked_at.aggregate(total=Count("*"), fit=Count("fits", filter=Q(fits=True)))
    boxes = 0
    if kind == EmbeddingOperation.Kind.CLEAR:
        boxed = replace(wanted, statuses=(status,)).queryset().filter(payload__isnull=False)
        boxes = boxed.order_by()[:MOST_COUNTED].count()
    return max(found["fit"] - boxes, 0), found["total"] == MOST_COUNTED


def _first(wanted: TaskFilter, status: str) -> QuerySet[Any]:
    """Tasks of a status, each with whether it `fits`; slice it. What no index finds is looked for among these."""
    conditions = replace(wanted, statuses=()).conditions()
    tasks = EmbeddingTask.objects.using(wanted.using).filter(status=status)
    # In the order of the index, lest the whole table be read for them; there is none for the other statuses.
    tasks = tasks.order_by("pk") if status in CLEARABLE else tasks.order_by()
    if wanted.is_indexed or not conditions:
        return tasks.filter(**conditions).annotate(fits=Value(True))
    return tasks.annotate(fits=ExpressionWrapper(Q(**conditions), output_field=BooleanField()))


def _indexed(wanted: TaskFilter) -> TaskFilter:
    """The filter without what no index leads to, if that is all that it asks for."""
    return wanted if wanted.is_indexed else TaskFilter(using=wanted.using)


def _matching(wanted: TaskFilter) -> int:
    """How many tasks match in any state: counted up to the limit where there is an index, else by the last census."""
    if not wanted.is_indexed:
        counted = CensusCount.objects.using(wanted.using).filter(**wanted.conditions())
        total: int = counted.aggregate(total=Sum("count", default=0))["total"]
        return total
    others = replace(wanted, batch_id=None).conditions()
    if wanted.batch_id is None or not others:
        return wanted.queryset().order_by()[:MOST_COUNTED].count()
    # A batch may hold most of the ledger: so many of it are looked at for what else is asked.
    found = TaskFilter(batch_id=wanted.batch_id, using=wanted.using).queryset().order_by()
    fits = ExpressionWrapper(Q(**others), output_field=BooleanField())
    looked_at = found.annotate(fits=fits).values("fits")[:MOST_COUNTED]
    fit: int = looked_at.aggregate(fit=Count("fits", filter=Q(fits=True)))["fit"]
    return fit


def of_rows(kind: str, targets: Collection[Derived], using: str) -> Preview:
    """Of the rows of these targets in one database, by the last census: all that have text, or those whose vectors
    are missing, stale or failed. `rows` is None where nothing is known."""
    providers = {target.label: target.provider for target in targets}
    found = [one for one in census.coverage() if one.using == using and one.target in providers]
    if not found:
        return Preview(rows=None)
    by_target = {one.target: _rows_of(kind, one) for one in found}
    texts = [
        (providers[target], sum(parts.values()), tokens_per_text(providers[target]))
        for target, parts in by_target.items()
    ]
    tokens, cost = _priced(texts)
    names = dict.fromkeys(name for parts in by_target.values() for name in parts)
    parts = {name: sum(parts.get(name, 0) for parts in by_target.values()) for name in names}
    return Preview(rows=sum(parts.values()), tokens=tokens, cost=cost, parts=parts)


def _rows_of(kind: str, coverage: Coverage) -> Mapping[str, int]:
    """{condition of a row: how many an operation of this kind would queue}."""
    wanted = {"missing": coverage.missing, "stale": coverage.stale, "failed": coverage.failed}
    if kind == EmbeddingOperation.Kind.REQUEUE:
        return wanted
    return {"with text": max(coverage.rows - coverage.empty, 0)}


def tokens_per_text(provider: str) -> float | None:
    """How many tokens a text had on average in the latest requests; None where none is known. 0 of a lane that needs
    no provider."""
    if provider == NO_PROVIDER:
        return 0.0
    calls = ProviderCall.objects.using(conf.current().databases[0]).order_by("-pk")
    latest = calls.values_list("provider", "outcome", "inputs", "tokens")[:RECENT_REQUESTS]
    known = [(inputs, tokens) for alias, *ok, inputs, tokens in latest if (alias, *ok) == (provider, "ok") and tokens]
    return sum(tokens for _, tokens in known) / sum(inputs for inputs, _ in known) if known else None


# (provider, texts, tokens a text has on average, None where it is not known).
Texts = Sequence[tuple[str, int, float | None]]


def _priced(texts: Texts) -> tuple[int | None, float | None]:
    """(tokens, US dollars) of all together; None for what is not known of one of them."""
    tokens = [None if average is None else round(count * average) for _, count, average in texts if count]
    costs = [_cost(alias, average * count) for alias, count, average in texts if count and average is not None]
    if None in tokens:
        return None, None
    known = [cost for cost in costs if cost is not None]
    return sum(each or 0 for each in tokens), sum(known) if len(known) == len(costs) else None


def _cost(alias: str, tokens: float) -> float | None:
    if alias == NO_PROVIDER:
        return 0.0
    try:
        return get_provider(alias).cost(round(tokens))
    except ConfigurationError:  # the tasks of one that is not configured any more
        return None


def _texts_by_provider(wanted: TaskFilter, parts: Mapping[str, int]) -> Texts:
    """By the tasks that were embedded before, as far as there are any among the first; else by recent requests."""
    found: list[tuple[str, int, float | None]] = []
    for status, count in parts.items():
        # First the ids, from an index alone: with more columns the planner may search the whole table for them.
        ids = list(_first(_indexed(wanted), status).values_list("pk", flat=True)[:MOST_ADDED])
        fit = replace(wanted, statuses=()).queryset().filter(pk__in=ids)
        seen = list(fit.values_list("provider", "tokens_estimated"))
        for provider in {provider for provider, _ in seen}:
            own = [tokens for alias, tokens in seen if alias == provider]
            known = [tokens for tokens in own if tokens is not None]
            average = sum(known) / len(known) if known else tokens_per_text(provider)
            found.append((provider, round(count * len(own) / len(seen)), average))
        if not seen:
            found.append((wanted.provider or NO_PROVIDER, count, None))
    return found
