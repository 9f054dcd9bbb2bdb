"""The header `Idempotency-Key`: a call that is sent again, because its answer was lost, is not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings import idempotency
from embeddings.api.describing import PROBLEM
from embeddings.api.problems import Conflict

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MOST_CHARACTERS = 255
PARAMETER = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description=(
        "Any text of your own, such as a UUID. The same call with the same key is done once: sent again within 24 "
        f"hours it gets the first answer, with the header `{REPLAYED}: true`."
    ),
)
ONCE = {
    409: OpenApiResponse(PROBLEM, f"The first call with this {HEADER} is still at work."),
    422: OpenApiResponse(PROBLEM, f"This {HEADER} was used for another call."),
}

Post = Callable[..., Response]


class KeyReused(exceptions.APIException):
    """The key was used for something else."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key_reused"


def idempotent(post: Post) -> Post:
    """For a view's method that creates something. What fails is not remembered: it may be sent again."""

    @wraps(post)
    def once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return post(view, request, *args, **kwargs)
        held = _claim(request, key)
        if isinstance(held, idempotency.Answer):
            return Response(held.data, held.status_code, headers={REPLAYED: "true"})
        return _done(held, lambda: post(view, request, *args, **kwargs))

    return once


def _claim(request: Request, key: str) -> idempotency.Held | idempotency.Answer:
    if not 0 < len(key) <= MOST_CHARACTERS:
        raise exceptions.ParseError(f"{HEADER} must have 1 to {MOST_CHARACTERS} characters.")
    try:
        return idempotency.claim(str(request.user.pk), key, _fingerprint(request))
    except idempotency.KeyInUse as exc:
        raise Conflict(f"The first call with this {HEADER} is still at work; try again in a moment.") from exc
    except idempotency.KeyOfAnother as exc:
        raise KeyReused(f"This {HEADER} was used for another call; take a new one.") from exc


def _done(held: idempotency.Held, post: Callable[[], Response]) -> Response:
    is_answered = False
    try:
        response = post()
        if response.status_code < 400:
            held.finish(response.status_code, json.loads(JSONRenderer().render(response.data) or "null"))
            is_answered = True
        return response
    finally:
        if not is_answered:
            held.free()


def _fingerprint(request: Request) -> str:
    """Of method, address and body. A form with files looks different each time that it is sent, so its values count."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if request.content_type.startswith("multipart/"):
        form: Any = request.data
        for name, values in sorted(form.lists()):
            for value in values:
                digest.update(repr((name, _content(value))).encode())
    else:
        digest.update(request._request.body)
    return digest.hexdigest()


def _content(value: Any) -> str | tuple[str, str]:
    """Of a form's field; of a file its name, and what its content hashes to."""
    if isinstance(value, str):
        return value
    content = hashlib.sha256()
    for chunk in value.chunks():
        content.update(chunk)
    value.seek(0)
    return value.name, content.hexdigest()
