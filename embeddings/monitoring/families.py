"""The metrics, from what is known of the ledger, the providers and the workers: values of labels are few by design."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from embeddings import conf, histogram, quotas, stats
from embeddings.broker import QueueView
from embeddings.exceptions import ConfigurationError
from embeddings.models import ProviderState, ProviderTotal, TargetTotal, WorkerStatus

_COVERAGE = ("embedded", "stale", "waiting", "missing", "empty", "failed", "cancelled")
Reason = ProviderState.Reason


def tasks(now: stats.Situation) -> Iterator[Metric]:
    """From the last census."""
    by_status = GaugeMetricFamily("embeddings_tasks", "Tasks in each state, by the last census.", labels=["status"])
    for status, count in now.counts.by_status.items():
        by_status.add_metric([status], count)
    yield by_status
    yield gauge(
        "embeddings_oldest_waiting_seconds",
        "How long the task has waited that has waited longest; 0 where none waits.",
        now.waiting_seconds or 0.0,
    )
    counted_at = now.counts.counted_at
    age = 0.0 if counted_at is None else now.seconds_since(counted_at)
    yield gauge("embeddings_census_age_seconds", "How long ago the tasks were counted.", age)
    yield gauge("embeddings_census_estimate", "1 if only a part of the ledger was counted.", now.counts.is_estimate)


def targets() -> Iterator[Metric]:
    """Of each target: how much is embedded, and what was ever done."""
    objects = GaugeMetricFamily(
        "embeddings_target_objects",
        "Objects of a target by what their vector is.",
        labels=["target", "database", "state"],
    )
    for covered in stats.coverage():
        for state in _COVERAGE:
            objects.add_metric([covered.target, covered.using, state], getattr(covered, state))
    yield objects
    completed = _counter("embeddings_tasks_completed", "Tasks that were completed.", "target")
    failed = _counter("embeddings_tasks_failed", "Tasks that failed for good.", "target")
    attempts = _counter("embeddings_attempts_failed", "Attempts at tasks that failed, the last ones too.", "target")
    waiting = HistogramMetricFamily(
        "embeddings_task_seconds", "From the request of a vector to the vector.", labels=["target"]
    )
    for total in TargetTotal.objects.using(conf.current().databases[0]).order_by("pk"):
        completed.add_metric([total.target], total.completed)
        failed.add_metric([total.target], total.failed)
        attempts.add_metric([total.target], total.attempts_failed)
        waiting.add_metric([total.target], _buckets(total.waiting), total.seconds)
    yield from (completed, failed, attempts, waiting)


def requests() -> Iterator[Metric]:
    """What was ever asked of each provider, by workers, searches and all others."""
    made = CounterMetricFamily("embeddings_provider_requests", "Requests to providers.", labels=["provider", "outcome"])
    inputs = _counter("embeddings_provider_inputs", "Texts sent to providers.", "provider")
    tokens = _counter("embeddings_provider_tokens", "Tokens that providers have counted.", "provider")
    dollars = _counter("embeddings_provider_cost_dollars", "US dollars, as far as prices are known.", "provider")
    latency = HistogramMetricFamily(
        "embeddings_provider_request_seconds", "How long requests took that were answered.", labels=["provider"]
    )
    for total in ProviderTotal.objects.using(conf.current().databases[0]).order_by("pk"):
        made.add_metric([total.provider, "ok"], total.requests - total.failed)
        made.add_metric([total.provider, "rate_limit"], total.rate_limited)
        made.add_metric([total.provider, "error"], total.failed - total.rate_limited)
        inputs.add_metric([total.provider], total.inputs)
        tokens.add_metric([total.provider], total.tokens)
        dollars.add_metric([total.provider], float(total.cost))
        latency.add_metric([total.provider], _buckets(total.latency), total.seconds)
    yield from (made, inputs, tokens, dollars, latency)


def providers(now: stats.Situation) -> Iterator[Metric]:
    """Whether each configured provider may be called now, and what of its quotas is used."""
    blocked = GaugeMetricFamily(
        "embeddings_provider_blocked",
        "1 if a provider is not called now, by the reason.",
        labels=["provider", "reason"],
    )
    failures = GaugeMetricFamily(
        "embeddings_provider_failures_in_a_row", "Requests that have failed since the last answer.", labels=["provider"]
    )
    used = GaugeMetricFamily(
        "embeddings_provider_quota_used", "Used of a quota in the last minute.", labels=["provider", "quota"]
    )
    limit = GaugeMetricFamily("embeddings_provider_quota_limit", "Quota of a minute.", labels=["provider", "quota"])
    states = {state.alias: state for state in now.states}
    for alias in now.providers:
        state = states.get(alias) or ProviderState(alias=alias)
        for reason in Reason.values:
            blocked.add_metric([alias, reason], _is_blocked(state, reason, now))
        failures.add_metric([alias], state.failures_in_a_row)
        for quota, (count, most) in _quotas(alias).items():
            used.add_metric([alias, quota], count)
            limit.add_metric([alias, quota], most)
    yield from (blocked, failures, used, limit)
    paused = GaugeMetricFamily(
        "embeddings_paused", "1 for each pause: of everything, a provider or a target.", labels=["kind", "name"]
    )
    for pause in now.pauses:
        paused.add_metric([pause.kind, pause.name], 1)
    yield paused


def _is_blocked(state: ProviderState, reason: str, now: stats.Situation) -> bool:
    """A rest ends by itself; a circuit, and a wrong configuration, with a probe that is answered."""
    is_over = state.blocked_until is not None and state.blocked_until <= now.now
    return state.blocked_reason == reason and (reason in {Reason.CIRCUIT, Reason.CONFIGURATION} or not is_over)


def _quotas(alias: str) -> dict[str, tuple[int, int]]:
    """Nothing where there is none, or Redis is away, or the settings are wrong."""
    try:
        return quotas.usage(conf.provider_settings(alias)) or {}
    except ConfigurationError:
        return {}


def workers(now: stats.Situation) -> Iterator[Metric]:
    """Those that live, by what they do, and those that fell silent."""
    counts = Counter(worker.state for worker in now.workforce.alive)
    family = GaugeMetricFamily(
        "embeddings_workers", 'Workers that are heard of, by what they do; "silent": no more.', labels=["state"]
    )
    for state in (WorkerStatus.State.ACTIVE, WorkerStatus.State.IDLE, WorkerStatus.State.ERROR):
        family.add_metric([state], counts[state])
    family.add_metric(["silent"], len(now.workforce.silent))
    yield family
    yield gauge("embeddings_workers_alive", "Workers that have a heartbeat.", len(now.workforce.alive))


def queue(view: QueueView | None) -> Iterator[Metric]:
    """What Redis knows; the depth is missing where it does not answer."""
    yield gauge("embeddings_redis_up", "1 if Redis answers.", view is not None)
    messages = GaugeMetricFamily("embeddings_queue_messages", "Messages to workers in Redis; work is in the ledger.")
    if view is not None:
        messages.add_metric([], view.depth)
    yield messages


def alerts() -> Iterator[Metric]:
    """What is wrong and not yet over."""
    counts = Counter(alert.kind for alert in stats.open_alerts())
    family = GaugeMetricFamily("embeddings_alerts", "Alerts that are not over.", labels=["kind"])
    for kind, count in sorted(counts.items()):
        family.add_metric([kind], count)
    yield family


def gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(name, documentation, value=float(value))


def _counter(name: str, documentation: str, label: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, documentation, labels=[label])


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """The counts of `embeddings.histogram`, each with all before it, as Prometheus has them."""
    reached = accumulate(histogram.merge(counts, histogram.empty()))
    return [(str(bound), float(count)) for bound, count in zip([*histogram.BOUNDS, "+Inf"], reached, strict=True)]
