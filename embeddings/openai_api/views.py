"""The views: POST /v1/embeddings, GET /v1/models, GET /v1/models/<name>, and a sentence for all others."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.utils.decorators import method_decorator
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import conf
from embeddings.api.throttling import SpendingThrottle
from embeddings.exceptions import ConfigurationError, ProviderError
from embeddings.gathering import gather
from embeddings.openai_api import answering, asking, catalogue, describing
from embeddings.openai_api.base import OpenAIView
from embeddings.openai_api.describing import INVALID, LIMITED, MISSING, REFUSED, TAG
from embeddings.openai_api.problems import Refused, refusal_of

ASKED = {"input": ["a red apple", "a ripe pear"], "model": "default"}


# Nor does the project's ATOMIC_REQUESTS hold a transaction open while the provider is asked.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class Embeddings(OpenAIView):
    throttle_classes = [SpendingThrottle]

    @extend_schema(
        operation_id="openai_embeddings_create",
        summary="Embed texts as OpenAI does",
        description=(
            "Any client of OpenAI's works with this: set its base address to `/v1` of this site, and its key to a "
            "token. Equal texts, and those that were embedded lately, are not paid for again. No text is cut: one that "
            "is too long is refused."
        ),
        tags=[TAG],
        request={"application/json": describing.OpenAIEmbeddingsRequestSerializer},
        responses={200: describing.OpenAIEmbeddingsSerializer, **INVALID, **REFUSED, **MISSING, **LIMITED},
        examples=[OpenApiExample("Two texts", value=ASKED, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        texts: list[str] = []
        try:
            if not conf.current().enabled:
                raise ConfigurationError('Nothing is embedded while EMBEDDINGS["ENABLED"] is False.')
            asked = asking.read(cast("dict[str, Any]", request.data))
            texts = asked.texts
            made = gather(texts, asked.provider)
        except (ProviderError, ConfigurationError) as exc:
            raise refusal_of(exc, texts) from exc
        return Response(answering.vectors(made, asked.provider.model_id, is_base64=asked.is_base64))


class Models(OpenAIView):
    @extend_schema(
        operation_id="openai_models_list",
        summary="The models that may be asked for",
        description="Each provider by its model and by its alias.",
        tags=[TAG],
        responses={200: describing.OpenAIModelsSerializer, **REFUSED},
    )
    def get(self, request: Request) -> Response:
        return Response(answering.models(_names().items()))


class Model(OpenAIView):
    @extend_schema(
        operation_id="openai_models_read",
        summary="One model",
        description="A model, or an alias, that may be asked for.",
        tags=[TAG],
        responses={200: describing.OpenAIModelSerializer, **REFUSED, **MISSING},
    )
    def get(self, request: Request, name: str) -> Response:
        _names()
        return Response(answering.model(name, catalogue.alias_of(name)))


@extend_schema(exclude=True)
class Nothing(OpenAIView):
    """All else that OpenAI has."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        message = f"Unknown request URL: {request.method} {request.path}. There are only embeddings and models here."
        raise Refused(404, message, code="unknown_url")


def _names() -> dict[str, str]:
    try:
        return catalogue.names()
    except ConfigurationError as exc:
        raise refusal_of(exc, []) from exc
