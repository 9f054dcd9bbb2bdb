"""Everything that goes wrong, in one shape: {"success": false, "error": {"code", "message"}}."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework import exceptions, status, views
from rest_framework.response import Response
from rest_framework.settings import api_settings

from embeddings import conf

LOG_IN = "Log in, or send a token of yours: `Authorization: Token …`."


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


class TooSlow(Unavailable):
    """No index finds it, and the database did not find it in time."""

    default_code = "too_slow"


class TooLarge(exceptions.APIException):
    """The body of the request is larger than the server takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an exception; None lets Django answer 500, as for every bug."""
    exc = _translated(exc)
    response = views.exception_handler(exc, context)
    if response is None or not isinstance(exc, exceptions.APIException):
        return None
    text = _advice(exc, context) or " ".join(sentence(*each) for each in messages(exc.detail))
    response.data = {"success": False, "error": {"code": _code(exc), "message": text}}
    return response


def _translated(exc: Exception) -> Exception:
    """What Django raises as the REST framework would."""
    match exc:
        case Http404():
            return exceptions.NotFound(*exc.args)
        case PermissionDenied():
            return exceptions.PermissionDenied(*exc.args)
        case RequestDataTooBig():
            return TooLarge(f"The request is larger than {conf.max_body_bytes() / 1_000_000:.1f} MB; send it in parts.")
        case SuspiciousOperation():
            return exceptions.ParseError(str(exc))
    return exc


def _advice(exc: exceptions.APIException, context: dict[str, Any]) -> str:
    """What to do instead, where the framework's own words do not say so; else ""."""
    match exc:
        case exceptions.MethodNotAllowed():
            allowed = [name for name in context["view"].allowed_methods if name not in {"HEAD", "OPTIONS"}]
            return f"{context['request'].method} is not possible here; use {' or '.join(allowed)}."
        case exceptions.NotAuthenticated():
            return LOG_IN
        case exceptions.NotAcceptable():
            return "The answer is JSON: send `Accept: application/json`, or no such header."
        case exceptions.UnsupportedMediaType():
            return "Send JSON, with the header `Content-Type: application/json`."
        case exceptions.Throttled() if seconds := getattr(exc, "wait", None):
            return f"You have made more calls than a minute allows; try again in {math.ceil(seconds)} seconds."
    return ""


def _code(exc: exceptions.APIException) -> str:
    if isinstance(exc, exceptions.ValidationError):
        return "invalid"
    return str(getattr(exc.detail, "code", exc.default_code))


def messages(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(field, message) of everything in the detail of an error; "items.2.price" is of the second of `items`.

    The field is "" of what concerns no single one.
    """
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from messages(value, _path(path, key, value))
    elif isinstance(detail, list):
        for value in detail:
            yield from messages(value, path)
    else:
        yield path, str(detail)


def _path(path: str, key: Any, value: Any) -> str:
    """One step further. Keys of lists are places; the place of a plain value says less than the message does."""
    if key in {api_settings.NON_FIELD_ERRORS_KEY, NON_FIELD_ERRORS}:
        return path
    if isinstance(key, int) and not isinstance(value, dict):
        return path
    step = str(key + 1) if isinstance(key, int) else key
    return f"{path}.{step}".lstrip(".")


def sentence(field: str, message: str) -> str:
    return f"{field}: {message}" if field else message
