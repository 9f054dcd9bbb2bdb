"""The charts of the last hour or day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from embeddings.admin import charts, usage
from embeddings.admin.availability import availability
from embeddings.admin.charts import Series, figure
from embeddings.admin.places import Places
from embeddings.conf import ProviderSettings
from embeddings.models import Pause, ProviderState
from embeddings.stats import Situation
from embeddings.stats.traffic import Percentiles, Traffic, provider_traffic, task_traffic

# {hours: points of a chart}.
SPANS = {1: 60, 24: 48}
NAMES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, or its table, with its heading, legend and figures of the whole time."""

    key: str
    title: str
    drawing: SafeString
    legend: list[dict[str, str]]


def task_charts(hours: int, *, as_table: bool) -> list[Chart]:
    """What tasks came to an end, and how long they had waited."""
    traffic = task_traffic(hours=hours, points=SPANS[hours])
    ended = [
        Series("completed", [float(point.completed) for point in traffic.points], "embedded"),
        Series("failed", [float(point.failed) for point in traffic.points], "failed"),
    ]
    done = _drawn(charts.table if as_table else charts.bars, ended, traffic, "Tasks that came to an end", "")
    minutes = traffic.interval_seconds / 60
    every = "a minute" if minutes == 1 else f"in {figure(minutes, '')} minutes"
    waited = percentile_series(traffic)
    return [
        Chart(
            "throughput",
            f"Tasks {every}",
            done,
            _legend(ended, [f"{traffic.completed:,}", f"{traffic.failed:,}"]),
        ),
        _percentiles_chart("waiting", "From request to vector", waited, traffic, as_table=as_table),
    ]


def providers(now: Situation, hours: int, places: Places, *, as_table: bool) -> list[dict[str, Any]]:
    """Each provider: whether it is called, what it may use and has used, and how quickly it answers."""
    states = {state.alias: state for state in now.states}
    known = [states.get(alias) or ProviderState(alias=alias) for alias in now.providers]
    return [_of_provider(state, now.pauses, hours, places, as_table=as_table) for state in known]


def percentile_series(traffic: Traffic) -> list[Series]:
    """p50, p95 and p99 over time."""
    return [Series(name, [getattr(point.percentiles, name, None) for point in traffic.points], name) for name in NAMES]


def _of_provider(
    state: ProviderState, pauses: Sequence[Pause], hours: int, places: Places, *, as_table: bool
) -> dict[str, Any]:
    alias, settings = state.alias, usage.settings_of(state.alias)
    traffic = provider_traffic(alias, hours=hours, points=SPANS[hours])
    series = percentile_series(traffic)[:2]
    return {
        "alias": alias,
        "model_id": settings.model_id if settings else "",
        "url": places.detail("providerstate", alias),
        "availability": availability(state, pauses).pill,
        "quotas": _quotas(settings) if settings else [],
        "used": [
            f"{traffic.completed + traffic.failed:,} requests",
            f"{traffic.failed:,} failed",
            f"{traffic.rate_limited:,} told to slow down",
            f"{traffic.tokens:,} tokens",
            *([f"${traffic.cost:,.4f}"] if traffic.cost else []),
        ],
        "chart": _percentiles_chart(f"latency-{alias}", f"{alias}: time to answer", series, traffic, as_table=as_table),
    }


def _quotas(settings: ProviderSettings) -> list[str]:
    limits = (settings.requests_per_minute, "requests"), (settings.tokens_per_minute, "tokens")
    return [f"{limit:,} {what} a minute" for limit, what in limits if limit is not None]


def _percentiles_chart(key: str, title: str, series: list[Series], traffic: Traffic, *, as_table: bool) -> Chart:
    drawing = _drawn(charts.table if as_table else charts.lines, series, traffic, title, "s")
    whole: Percentiles | None = traffic.percentiles
    values = [figure(getattr(whole, one.name, None), "s") for one in series]
    return Chart(key, title, drawing, _legend(series, values))


def _drawn(draw: Any, series: list[Series], traffic: Traffic, title: str, unit: str) -> SafeString:
    drawing: SafeString = draw(series, [point.start for point in traffic.points], title=title, unit=unit)
    return drawing


def _legend(series: list[Series], values: list[str]) -> list[dict[str, str]]:
    """Each series with its figure over the whole time."""
    return [{"tone": one.tone, "name": one.name, "value": value} for one, value in zip(series, values, strict=True)]
