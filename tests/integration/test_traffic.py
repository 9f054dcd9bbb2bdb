from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now, TruncMinute
from django.utils import timezone

from embeddings import histogram, stats
from embeddings.models import ProviderMinute, TargetMinute

pytestmark = pytest.mark.django_db


def durations(*seconds: float) -> list[int]:
    counts = histogram.empty()
    for duration in seconds:
        histogram.add(counts, duration)
    return counts


def target_minute(minutes_ago: int, target: str = "app.model.field", **values) -> TargetMinute:
    minute = TruncMinute(Now()) - timedelta(minutes=minutes_ago)
    return TargetMinute.objects.create(target=target, minute=minute, **values)


def provider_minute(minutes_ago: int, provider: str = "default", **values) -> ProviderMinute:
    minute = TruncMinute(Now()) - timedelta(minutes=minutes_ago)
    return ProviderMinute.objects.create(provider=provider, minute=minute, **values)


def test_task_traffic__has_a_point_for_each_minute_up_to_now():
    target_minute(0, completed=5, failed=1)
    target_minute(59, completed=7)
    target_minute(60, completed=100)

    traffic = stats.task_traffic()

    assert len(traffic.points) == 60
    assert [point.completed for point in traffic.points] == [7, *[0] * 58, 5]
    assert traffic.points[-1].failed == 1
    assert (traffic.completed, traffic.failed, traffic.interval_seconds) == (12, 1, 60.0)
    starts = [point.start for point in traffic.points]
    assert {later - earlier for earlier, later in itertools.pairwise(starts)} == {timedelta(minutes=1)}
    assert timedelta() <= timezone.now() - starts[-1] < timedelta(minutes=1, seconds=10)


def test_task_traffic__of_a_day_adds_minutes_up():
    for minutes_ago in (0, 14, 15, 1439):
        target_minute(minutes_ago, completed=1)

    traffic = stats.task_traffic(hours=24, points=96)

    assert [point.completed for point in traffic.points] == [1, *[0] * 93, 1, 2]
    assert traffic.interval_seconds == 900.0


def test_task_traffic__of_one_target_or_of_all():
    target_minute(0, "a.a.a", completed=1, waiting=durations(1.0))
    target_minute(0, "b.b.b", completed=2, waiting=durations(100.0, 100.0))

    assert stats.task_traffic(target="a.a.a").completed == 1
    assert stats.task_traffic(target="c.c.c").completed == 0
    assert stats.task_traffic().completed == 3


def test_task_traffic__has_percentiles_of_each_point_and_of_all():
    target_minute(0, "a.a.a", waiting=durations(*[0.3] * 50))
    target_minute(0, "b.b.b", waiting=durations(*[0.3] * 50))
    target_minute(1, waiting=durations(*[50.0] * 4))

    traffic = stats.task_traffic(points=60)

    assert traffic.points[0].percentiles is None
    assert traffic.points[-1].percentiles.p50 == pytest.approx(0.24)
    assert 40.0 <= traffic.points[-2].percentiles.p50 <= 82.0
    assert traffic.percentiles.p50 < 0.33
    assert traffic.percentiles.p99 > 40.0


def test_task_traffic__of_nothing():
    traffic = stats.task_traffic()

    assert (len(traffic.points), traffic.completed, traffic.percentiles) == (60, 0, None)


def test_task_traffic__has_no_points_shorter_than_a_minute():
    traffic = stats.task_traffic(hours=0.5, points=60)

    assert (len(traffic.points), traffic.interval_seconds) == (30, 60.0)


def test_provider_traffic__counts_requests():
    provider_minute(3, requests=10, failed=4, rate_limited=1, inputs=100, tokens=1000, cost="0.25")
    provider_minute(2, requests=1, inputs=1, tokens=1, cost="0.5", latency=durations(0.3))
    provider_minute(2, "other", requests=99)

    traffic = stats.provider_traffic("default")

    assert (traffic.completed, traffic.failed, traffic.rate_limited) == (7, 4, 1)
    assert (traffic.inputs, traffic.tokens, traffic.cost) == (101, 1001, 0.75)
    assert [(point.completed, point.failed) for point in traffic.points[-4:]] == [(6, 4), (1, 0), (0, 0), (0, 0)]
    assert 0.16 <= traffic.percentiles.p95 <= 0.32


def test_recent_speed__is_that_of_the_last_minute():
    target_minute(0, "a.a.a", completed=20, failed=4)
    target_minute(0, "b.b.b", completed=36)
    target_minute(2, completed=1000)

    assert stats.recent_speed() == pytest.approx(1.0)


def test_recent_speed__counts_of_the_minute_before_what_is_not_longer_ago():
    minute = target_minute(1, completed=6000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now() - date_trunc('minute', now()))")
        (seconds_into_this_minute,) = cursor.fetchone()

    speed = stats.recent_speed()

    assert speed == pytest.approx(100 * (1 - float(seconds_into_this_minute) / 60), abs=5)
    minute.delete()
    assert stats.recent_speed() == 0.0
