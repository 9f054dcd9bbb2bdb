"""What operations would come to, before they begin: bounded counts, tokens, cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from django.db.models import Count, QuerySet, Sum

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.models import EmbeddingOperation, EmbeddingTask, ProviderCall
from embeddings.providers import get_provider
from embeddings.registry import NO_PROVIDER, Derived
from embeddings.stats import census
from embeddings.stats.census import Coverage, Preview
from embeddings.task_filter import TaskFilter, eligible

# Tasks of one status that are counted.
MOST_COUNTED = 100_000
# Tasks of one status whose tokens are added up, for the average of all.
MOST_ADDED = 10_000
# Requests that say how many tokens a text has.
RECENT_REQUESTS = 500


def of_tasks(kind: str, wanted: TaskFilter) -> Preview:
    """Of the tasks that match now: what an operation of this kind would change.

    The tokens and cost of a retry are estimates: by what is known of the tasks, or else of the provider's requests.
    """
    tasks, statuses = eligible(kind, wanted)
    parts = {str(status): _bounded(tasks.filter(status=status)).count() for status in statuses}
    rows, matching = sum(parts.values()), _bounded(wanted.queryset()).count()
    texts = _texts_by_provider(tasks, parts) if kind == EmbeddingOperation.Kind.RETRY else None
    tokens, cost = (None, None) if texts is None else _priced(texts)
    return Preview(
        rows=rows,
        tokens=tokens,
        cost=cost,
        parts={status: count for status, count in parts.items() if count},
        others=max(matching - rows, 0),
        is_estimate=False,
        is_at_least=MOST_COUNTED in parts.values(),
        others_are_at_least=matching == MOST_COUNTED,
    )


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


def _texts_by_provider(tasks: QuerySet[EmbeddingTask], counts: Mapping[str, int]) -> Texts:
    """By the tasks that were embedded before, as far as there are any among the first; else by recent requests."""
    found = []
    for status, count in counts.items():
        rows = list(_sums(tasks.filter(status=status))) if count else []
        seen = sum(total for _, total, _, _ in rows)
        for provider, total, known, tokens in rows:
            average = tokens / known if known else tokens_per_text(provider)
            found.append((provider, round(count * total / seen), average))
    return found


def _sums(tasks: QuerySet[EmbeddingTask]) -> Iterable[tuple[str, int, int, int]]:
    """(provider, tasks, tasks whose tokens are known, their tokens) of the first tasks."""
    first = EmbeddingTask.objects.using(tasks.db).filter(pk__in=tasks.order_by().values("pk")[:MOST_ADDED])
    sums = first.order_by().values_list("provider")
    return sums.annotate(total=Count("*"), known=Count("tokens_estimated"), sum=Sum("tokens_estimated", default=0))


def _bounded(tasks: QuerySet[EmbeddingTask]) -> QuerySet[EmbeddingTask]:
    return tasks.order_by()[:MOST_COUNTED]
