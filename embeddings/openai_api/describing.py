"""The words of the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_field
from rest_framework import serializers

from embeddings.openai_api.asking import ENCODINGS, MAX_INPUTS

TAG = "openai"

_TEXT = {"type": "string", "minLength": 1}
_VECTOR = {"oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string", "format": "byte"}]}


@extend_schema_field({"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_INPUTS}]})
class InputField(serializers.Field[Any, Any, Any, Any]):
    pass


@extend_schema_field(_VECTOR)
class VectorField(serializers.Field[Any, Any, Any, Any]):
    pass


class OpenAIEmbeddingsRequestSerializer(serializers.Serializer[Any]):
    """Other parameters, such as `user`, are ignored."""

    input = InputField(help_text="A text, or a list of texts; 300,000 tokens together at most. No token numbers.")
    model = serializers.CharField(help_text="An alias of EMBEDDING_PROVIDERS, or the model of one of them.")
    encoding_format = serializers.ChoiceField(
        choices=ENCODINGS, default="float", help_text="`base64`: of little-endian 32-bit floats."
    )
    dimensions = serializers.IntegerField(required=False, help_text="Those of the provider, or left out.")


class OpenAIUsageSerializer(serializers.Serializer[Any]):
    """The tokens of all inputs, as the provider counted them when it embedded them; estimated where it does not."""

    prompt_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class OpenAIEmbeddingSerializer(serializers.Serializer[Any]):
    object = serializers.CharField(help_text="`embedding`.")
    index = serializers.IntegerField(help_text="The place of its text in `input`, from 0.")
    embedding = VectorField(help_text="Numbers, or their base64.")


class OpenAIEmbeddingsSerializer(serializers.Serializer[Any]):
    """The vectors, in the order of the texts."""

    object = serializers.CharField(help_text="`list`.")
    data = OpenAIEmbeddingSerializer(many=True)  # type: ignore[assignment]
    model = serializers.CharField(help_text="The model that made them.")
    usage = OpenAIUsageSerializer()


class OpenAIModelSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="What to send as `model`.")
    object = serializers.CharField(help_text="`model`.")
    created = serializers.IntegerField(help_text="0: not known.")
    owned_by = serializers.CharField(help_text="The alias of its provider.")


class OpenAIModelsSerializer(serializers.Serializer[Any]):
    """All that may be asked for."""

    object = serializers.CharField(help_text="`list`.")
    data = OpenAIModelSerializer(many=True)  # type: ignore[assignment]


class OpenAIErrorSerializer(serializers.Serializer[Any]):
    """What went wrong."""

    message = serializers.CharField(help_text="A sentence.")
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True, help_text="The parameter that is wrong.")
    code = serializers.CharField(allow_null=True)


class OpenAIProblemSerializer(serializers.Serializer[Any]):
    error = OpenAIErrorSerializer()


def _problem(
    message: str, description: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None
) -> OpenApiResponse:
    value = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return OpenApiResponse(OpenAIProblemSerializer, description, [OpenApiExample(code or "example", value=value)])


REFUSED = {
    401: _problem("Incorrect API key provided. Invalid token.", "No key, or a wrong one.", code="invalid_api_key"),
    403: _problem(
        "This needs the permission embeddings.add_directtext.",
        "Without the permission.",
        code="insufficient_permissions",
    ),
    503: _problem(
        "Provider 'default' is left alone for now, after failures; try again later.",
        "The provider cannot be asked, or is paused. `Retry-After` says when to ask again, where that is known.",
        kind="server_error",
        code="provider_unavailable",
    ),
}
INVALID = {
    400: _problem(
        "Invalid 'input[3]': it has no visible characters.", "Something cannot be used.", param="input", code=None
    )
}
MISSING = {
    404: _problem(
        "The model `ada` does not exist here; use one of these: `text-embedding-3-small`, `default`.",
        "There is no such model.",
        param="model",
        code="model_not_found",
    )
}
LIMITED = {
    413: _problem("The request is larger than 2.5 MB; send it in parts.", "The body is too large.", code="too_large"),
    429: _problem(
        "The quota of provider 'default' is used up for now; try again later.",
        "A quota, a rate limit, or the caller's own limit is used up. `Retry-After` says when to ask again.",
        kind="requests",
        code="rate_limit_exceeded",
    ),
}
