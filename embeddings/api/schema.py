"""What the OpenAPI schema says of every operation, so that no view has to."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

from embeddings.api.examples import EXAMPLES

# {status: (code, message, when)} of what every operation may answer …
ALWAYS = {
    "400": ("invalid", "q: Null characters are not allowed.", "A parameter, or the body, cannot be used."),
    "406": ("not_acceptable", "Could not satisfy the request Accept header.", "Only JSON is written."),
}
# … and those with a body, and those that a user may not do as often as he likes.
WITH_BODY = {
    "413": ("too_large", "The request is larger than 2.5 MB; send it in parts.", "The body is too large."),
    "415": ("unsupported_media_type", 'Unsupported media type "text/csv" in request.', "The body is of another type."),
}
THROTTLED = {"429": ("throttled", "Request was throttled. Expected available in 7 seconds.", "Wait for `Retry-After`.")}


class EmbeddingsSchema(AutoSchema):
    """Adds the problems that are nobody's own."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        known = {**ALWAYS, **(WITH_BODY if "requestBody" in operation else {})}
        known |= THROTTLED if self.view.throttle_classes else {}
        answers = {status: _answer(*problem) for status, problem in known.items()} | operation["responses"]
        operation["responses"] = dict(sorted(answers.items()))
        _show(operation, EXAMPLES.get(operation["operationId"], {}))
        return operation


def _show(operation: dict[str, Any], examples: dict[str, Any]) -> None:
    """Add an example to each good answer, and to what is sent, that has none yet."""
    parts = {"request": operation.get("requestBody", {}), **operation["responses"]}
    for name, value in examples.items():
        for content in parts.get(name, {}).get("content", {}).values():
            content.setdefault("examples", {"Example": {"value": value}})


def _answer(code: str, message: str, description: str) -> dict[str, Any]:
    value = {"success": False, "error": {"code": code, "message": message}}
    content = {"schema": {"$ref": "#/components/schemas/EmbeddingProblem"}, "examples": {code: {"value": value}}}
    return {"description": description, "content": {"application/json": content}}
