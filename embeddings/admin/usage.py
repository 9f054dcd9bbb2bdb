"""What a provider is, what of its quotas is used, and what was asked of it in the last hour."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import format_html, format_html_join

from embeddings import conf, live, quotas
from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError
from embeddings.stats.traffic import Traffic, provider_traffic


def settings_of(alias: str) -> ProviderSettings | None:
    """What is in force; None where EMBEDDING_PROVIDERS is wrong, or says nothing."""
    live.refresh()  # Another process of this site may have changed the quotas.
    try:
        return conf.provider_settings(alias)
    except ConfigurationError:
        return None


def described(alias: str) -> str:
    """ "text-embedding-3-small", "1,536 dimensions" on a line each; never an option, which may be a key."""
    settings = settings_of(alias)
    lines = [settings.model_id, f"{settings.dimensions:,} dimensions"] if settings else ["not configured"]
    return _in_lines(lines)


def quota_use(alias: str) -> str:
    """A line a quota, of all workers together: "120 of 500 requests"."""
    settings = settings_of(alias)
    given = (settings.requests_per_minute, settings.tokens_per_minute) if settings else (None, None)
    if settings is None or given == (None, None):
        return "no limit"
    used = quotas.usage(settings)
    if used is None:
        limits = [f"{limit:,} {name}" for name, limit in zip(("requests", "tokens"), given, strict=True) if limit]
        return f"use unknown: Redis is away ({', '.join(limits)})"
    lines = ((_bar(count, limit), f"{count:,}", f"{limit:,}", name) for name, (count, limit) in sorted(used.items()))
    return format_html_join("", '<span class="embeddings-line">{} {} of {} {}</span>', lines)


def last_hour(alias: str) -> str:
    """Requests, failures, latency, tokens and cost."""
    traffic = provider_traffic(alias, hours=1.0, points=1)
    requests = traffic.completed + traffic.failed
    if not requests:
        return "no requests"
    return _in_lines(_lines(traffic))


def _lines(traffic: Traffic) -> list[str]:
    failed = f", {traffic.failed:,} failed" if traffic.failed else ""
    lines = [f"{traffic.completed + traffic.failed:,} requests{failed}"]
    if traffic.percentiles:
        lines.append(f"p95 about {_seconds(traffic.percentiles.p95)}")
    cost = f", ${traffic.cost:.4f}" if traffic.cost else ""
    return [*lines, f"{traffic.tokens:,} tokens{cost}"]


def _in_lines(lines: Iterable[str]) -> str:
    return format_html_join("", '<span class="embeddings-line">{}</span>', ((line,) for line in lines))


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def _bar(used: int, limit: int) -> str:
    return format_html('<progress max="{}" value="{}"></progress>', limit, min(used, limit))
