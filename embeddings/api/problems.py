"""Everything that goes wrong, in one shape: {"success": false, "error": {"code", "message"}}."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status, views
from rest_framework.response import Response


class Conflict(exceptions.APIException):
    """The task or operation is not in a state for this."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unsearchable(exceptions.APIException):
    """The model cannot be searched in this way."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "unsearchable"


class Impossible(exceptions.APIException):
    """It cannot be done, whoever asks and whenever, unless somebody changes something."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "impossible"


class Unavailable(exceptions.APIException):
    """What it takes cannot be reached now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an exception; None lets Django answer 500, as for every bug."""
    if isinstance(exc, Http404):
        exc = exceptions.NotFound(*exc.args)
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(*exc.args)
    response = views.exception_handler(exc, context)
    if response is None or not isinstance(exc, exceptions.APIException):
        return None
    response.data = {"success": False, "error": {"code": _code(exc), "message": " ".join(_sentences(exc.detail))}}
    return response


def _code(exc: exceptions.APIException) -> str:
    if isinstance(exc, exceptions.ValidationError):
        return "invalid"
    return str(getattr(exc.detail, "code", exc.default_code))


def _sentences(detail: Any, name: str = "") -> Iterator[str]:
    """The messages of one error or, each with the name of its parameter, of all fields of a validation."""
    if isinstance(detail, dict):
        for key, value in detail.items():  # by place, if it is of a list
            yield from _sentences(value, name if isinstance(key, int) else key)
    elif isinstance(detail, list):
        for value in detail:
            yield from _sentences(value, name)
    else:
        yield f"{name}: {detail}" if name else str(detail)
