"""What was done minute by minute: tasks, and requests to providers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import conf, pauses, registry, stats
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import INVALID, REFUSED, TAG, answer, example
from embeddings.stats import Percentiles, Point, Traffic

# Of one question, which reads a row a minute of each target or provider; and of its answer.
MOST_DAYS = 7
MOST_POINTS = 1_440
# Nothing was measured before; and no sum of times overflows.
FIRST_YEAR = 2000

DURATIONS = {"p50": 0.28, "p95": 0.64, "p99": 1.28}
EXAMPLE = {
    "from": "2026-01-31T17:00:00Z",
    "to": "2026-01-31T18:00:00Z",
    "intervalSeconds": 3600.0,
    "tasks": {
        "completed": 9120,
        "failed": 2,
        "waiting": DURATIONS,
        "points": [{"start": "2026-01-31T17:01:00Z", "completed": 9120, "failed": 2, "seconds": DURATIONS}],
    },
    "providers": [
        {
            "provider": "default",
            "completed": 71,
            "failed": 1,
            "rateLimited": 1,
            "inputs": 9122,
            "tokens": 1204311,
            "cost": 0.0241,
            "latency": DURATIONS,
            "points": [{"start": "2026-01-31T17:01:00Z", "completed": 71, "failed": 1, "seconds": DURATIONS}],
        }
    ],
}


class EmbeddingMetricsQuerySerializer(serializers.Serializer[Any]):
    """The parameters of a question."""

    to = serializers.DateTimeField(required=False, help_text="The last minute; now, if it is left out or to come.")
    points = serializers.IntegerField(
        min_value=1, max_value=MOST_POINTS, default=60, help_text="Intervals at most; none is shorter than a minute."
    )
    target = serializers.CharField(required=False, help_text="As `app.model.field`: tasks of this one only.")
    provider = serializers.CharField(required=False, help_text="An alias: requests to this one only.")

    def get_fields(self) -> Any:
        hint = f"An hour before `to`, if it is left out; at most {MOST_DAYS} days before it."
        return {"from": serializers.DateTimeField(required=False, help_text=hint), **super().get_fields()}

    def validate_to(self, to: datetime) -> datetime:
        if to.year < FIRST_YEAR:
            raise ValidationError(f"Nothing was measured before the year {FIRST_YEAR}.")
        return min(to, timezone.now())

    def validate_target(self, target: str) -> str:
        names = sorted(pauses.name_of(each) for each in registry.all_derived())
        if target not in names:
            raise ValidationError(f"There is no target {target!r}; there are {', '.join(names)}.")
        return target

    def validate_provider(self, alias: str) -> str:
        if alias not in conf.provider_aliases():
            raise ValidationError(f"There is no provider {alias!r}; there are {', '.join(conf.provider_aliases())}.")
        return alias

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        to = attrs.setdefault("to", timezone.now())
        begin = attrs.setdefault("from", to - timedelta(hours=1))
        if begin > to:
            raise ValidationError({"from": "It must not be later than `to`, or now."})
        if to - begin > timedelta(days=MOST_DAYS):
            raise ValidationError({"from": f"Ask for at most {MOST_DAYS} days at once: give a later one."})
        return attrs


class EmbeddingPercentilesSerializer(serializers.Serializer[Percentiles]):
    """Of durations, in seconds; each at most twice and at least half of the true one."""

    p50 = serializers.FloatField()
    p95 = serializers.FloatField()
    p99 = serializers.FloatField()


class EmbeddingPointSerializer(serializers.Serializer[Point]):
    """One interval."""

    start = serializers.DateTimeField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    seconds = EmbeddingPercentilesSerializer(
        source="percentiles", allow_null=True, help_text="From request to vector, or of a provider's answers."
    )


class EmbeddingTaskTrafficSerializer(serializers.Serializer[Traffic]):
    """Tasks that ended."""

    completed = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="For good.")
    waiting = EmbeddingPercentilesSerializer(source="percentiles", allow_null=True, help_text="From request to vector.")
    points = EmbeddingPointSerializer(many=True, help_text="Without gaps, the earliest first.")


class EmbeddingProviderTrafficSerializer(serializers.Serializer[Any]):
    """Requests to one provider, of workers, searches and all others."""

    provider = serializers.CharField()
    completed = serializers.IntegerField(help_text="Requests that were answered with vectors.")
    failed = serializers.IntegerField(help_text="The others.")
    rateLimited = serializers.IntegerField(source="rate_limited", help_text="Of the failed: told to slow down.")
    inputs = serializers.IntegerField(help_text="Texts.")
    tokens = serializers.IntegerField()
    cost = serializers.FloatField(help_text="US dollars, as far as the price is known.")
    latency = EmbeddingPercentilesSerializer(source="percentiles", allow_null=True, help_text="Of answered requests.")
    points = EmbeddingPointSerializer(many=True, help_text="Without gaps, the earliest first.")


class EmbeddingMetricsSerializer(serializers.Serializer[Any]):
    """What was done."""

    to = serializers.DateTimeField()
    intervalSeconds = serializers.FloatField(help_text="Of each point.")
    tasks = EmbeddingTaskTrafficSerializer()
    providers = EmbeddingProviderTrafficSerializer(many=True)

    def get_fields(self) -> Any:
        return {"from": serializers.DateTimeField(), **super().get_fields()}


class MetricsView(EmbeddingsView):
    required_permission = permissions.VIEW

    @extend_schema(
        operation_id="embeddings_metrics",
        summary="What was done, minute by minute",
        description=(
            "Whole minutes: that of `to` is the last. Sums are exact, but for the last two seconds of a worker that "
            "was killed; percentiles are read from buckets that double in width."
        ),
        tags=[TAG],
        parameters=[EmbeddingMetricsQuerySerializer],
        responses={200: answer("EmbeddingMetricsAnswer", EmbeddingMetricsSerializer()), **INVALID, **REFUSED},
        examples=example(EXAMPLE),
    )
    def get(self, request: Request) -> Response:
        query = EmbeddingMetricsQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response({"success": True, "data": EmbeddingMetricsSerializer(_metrics(query.validated_data)).data})


def _metrics(asked: dict[str, Any]) -> dict[str, Any]:
    hours = (asked["to"] - asked["from"]) / timedelta(hours=1)
    span: dict[str, Any] = {"hours": hours, "points": asked["points"], "until": asked["to"]}
    tasks = stats.task_traffic(**span, target=asked.get("target", ""))
    aliases = [asked["provider"]] if "provider" in asked else conf.provider_aliases()
    return {
        **{name: asked[name] for name in ("from", "to")},
        "intervalSeconds": tasks.interval_seconds,
        "tasks": tasks,
        "providers": [_named(alias, stats.provider_traffic(alias, **span)) for alias in aliases],
    }


def _named(alias: str, traffic: Traffic) -> dict[str, Any]:
    return {"provider": alias, **{name: getattr(traffic, name) for name in Traffic.__slots__}}
