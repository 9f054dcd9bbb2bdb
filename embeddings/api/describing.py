"""The words of the OpenAPI schema that several views share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, inline_serializer
from rest_framework import serializers

from embeddings.api.problems import LOG_IN
from embeddings.api.serializers import EmbeddingErrorSerializer

TAG = "embeddings"


def answer(name: str, data: serializers.BaseSerializer[Any]) -> serializers.Serializer[Any]:
    """The envelope {"success": true, "data": …}."""
    return inline_serializer(name, {"success": serializers.BooleanField(help_text="True."), "data": data})


def example(data: Any, *, status: int = 200) -> list[OpenApiExample]:
    """What an answer looks like: `data` in the envelope."""
    value = {"success": True, "data": data}
    return [OpenApiExample("Example", value=value, response_only=True, status_codes=[str(status)])]


def example_of_one(entry: Any) -> list[OpenApiExample]:
    """What an entry of a list looks like; the page around it is known."""
    return [OpenApiExample("Example", value=entry, response_only=True, status_codes=["200"])]


PROBLEM = inline_serializer(
    "EmbeddingProblem",
    {"success": serializers.BooleanField(help_text="False."), "error": EmbeddingErrorSerializer()},
)


def _problem(code: str, message: str, description: str) -> OpenApiResponse:
    value = {"success": False, "error": {"code": code, "message": message}}
    return OpenApiResponse(PROBLEM, description, [OpenApiExample(code, value=value)])


REFUSED = {
    401: _problem("not_authenticated", LOG_IN, "Not logged in (403 with sessions)."),
    403: _problem(
        "permission_denied", "This needs the permission embeddings.view_embeddingtask.", "Without the permission."
    ),
}
INVALID = {400: _problem("invalid", "limit: A valid integer is required.", "A parameter cannot be used.")}
MISSING = {404: _problem("not_found", "There is no task 7.", "There is no such thing.")}
CONFLICT = {
    409: _problem(
        "conflict", "Task 7 is completed. It is done already.", "It is not in a state for this, and is as it was."
    )
}
UNAVAILABLE = {
    503: _problem(
        "unavailable",
        "Search by meaning is not possible now, and this model is not searched by words.",
        "The provider cannot be asked, and nothing else can be searched.",
    )
}
THROTTLED = {
    429: _problem(
        "throttled",
        "You have made more calls than a minute allows; try again in 12 seconds.",
        "Too many calls of this user that ask a provider; `Retry-After` says for how many seconds to wait.",
    )
}
TOO_SLOW = {
    503: _problem(
        "too_slow",
        "Too many tasks to look through: add a status, a batch or an error.",
        "The database did not find these within two seconds.",
    )
}
