"""Who asks: the REST framework's tokens, sent as OpenAI's clients send their key."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import TokenAuthentication

APP = "rest_framework.authtoken"


class BearerAuthentication(TokenAuthentication):
    """`Authorization: Bearer <token>`."""

    keyword = "Bearer"

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        if not apps.is_installed(APP):
            raise exceptions.AuthenticationFailed(
                f'There are no keys here: add "{APP}" to INSTALLED_APPS, and migrate.'
            )
        credentials: tuple[Any, Any] = super().authenticate_credentials(key)
        return credentials


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Its words in the OpenAPI schema."""

    target_class = "embeddings.openai_api.authentication.BearerAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
