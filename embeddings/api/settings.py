"""The settings in force, what the settings file says, and what operators have changed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import conf, live
from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.api.describing import REFUSED, TAG, answer, example
from embeddings.conf import EmbeddingSettings, ProviderSettings
from embeddings.exceptions import ConfigurationError
from embeddings.models import LiveSettings

EXAMPLE = {
    "settings": [{"name": "BATCH_SIZE", "value": 300, "configured": 256, "isChanged": True}],
    "providers": [
        {
            "alias": "default",
            "backend": "embeddings.providers.openai.OpenAIProvider",
            "model": "text-embedding-3-small",
            "dimensions": 1536,
            "quotas": [{"name": "REQUESTS_PER_MINUTE", "value": None, "configured": 500, "isChanged": True}],
            "error": "",
        }
    ],
    "changedBy": "anna",
    "changedAt": "2026-01-31T18:00:00Z",
}


class EmbeddingSettingSerializer(serializers.Serializer[Any]):
    """One setting."""

    name = serializers.CharField(help_text="The key, as in the settings file.")
    value = serializers.JSONField(help_text="What is in force; null for no limit.")
    configured = serializers.JSONField(help_text="What the settings file says, or else the default.")
    isChanged = serializers.BooleanField(help_text="Whether operators have put another value in its place.")


class EmbeddingProviderSettingsSerializer(serializers.Serializer[Any]):
    """One entry of EMBEDDING_PROVIDERS, without its OPTIONS, which may be keys."""

    alias = serializers.CharField()
    backend = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    dimensions = serializers.IntegerField(allow_null=True)
    quotas = EmbeddingSettingSerializer(many=True)
    error = serializers.CharField(help_text="What is wrong with the entry; empty if nothing is.")


class EmbeddingSettingsSerializer(serializers.Serializer[Any]):
    """What is in force."""

    settings = EmbeddingSettingSerializer(many=True, help_text="Of EMBEDDINGS.")
    providers = EmbeddingProviderSettingsSerializer(many=True)
    changedBy = serializers.CharField(help_text="Who changed settings last while the processes ran; empty for nobody.")
    changedAt = serializers.DateTimeField(allow_null=True)


class SettingsView(EmbeddingsView):
    required_permission = permissions.VIEW_SETTINGS

    @extend_schema(
        operation_id="embeddings_settings",
        summary="The settings in force",
        description="And what the settings file says, where operators have changed it. They do so in the admin.",
        tags=[TAG],
        responses={200: answer("EmbeddingSettingsAnswer", EmbeddingSettingsSerializer()), **REFUSED},
        examples=example(EXAMPLE),
    )
    def get(self, request: Request) -> Response:
        live.refresh(max_age_seconds=0)
        return Response({"success": True, "data": EmbeddingSettingsSerializer(_data()).data})


def _data() -> dict[str, Any]:
    row = LiveSettings.objects.using(conf.current().databases[0]).first() or LiveSettings()
    return {
        "settings": _settings(),
        "providers": [_provider(alias) for alias in conf.provider_aliases()],
        "changedBy": row.updated_by,
        "changedAt": row.updated_at,
    }


def _settings() -> list[dict[str, Any]]:
    configured, in_force = conf.configured(), conf.current()
    names = [field.name for field in fields(EmbeddingSettings) if field.repr]  # The others are secrets.
    return [_setting(name, getattr(in_force, name), getattr(configured, name)) for name in names]


def _setting(name: str, value: Any, configured: Any) -> dict[str, Any]:
    return {"name": name.upper(), "value": value, "configured": configured, "isChanged": value != configured}


def _provider(alias: str) -> dict[str, Any]:
    found, error = _of_provider(alias)
    quotas = [_setting(name, getattr(found[0], name), getattr(found[1], name)) for name in live.QUOTAS] if found else []
    return {
        "alias": alias,
        "backend": found and found[0].backend,
        "model": found and found[0].model_id,
        "dimensions": found and found[0].dimensions,
        "quotas": quotas,
        "error": error,
    }


def _of_provider(alias: str) -> tuple[tuple[ProviderSettings, ProviderSettings] | None, str]:
    """What is in force and what is configured; or what is wrong with it."""
    try:
        return (conf.provider_settings(alias), conf.configured_provider(alias)), ""
    except ConfigurationError as exc:
        return None, str(exc)
