"""Everything that goes wrong, in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.signals import got_request_exception
from django.http import Http404
from django.utils.log import log_response
from rest_framework import exceptions, views
from rest_framework.response import Response

from embeddings import conf
from embeddings.exceptions import InputRejected, ProviderMisconfigured, RateLimited, TransientError
from embeddings.failure import Failure
from embeddings.gathering import TextRefused

INVALID = "invalid_request_error"
SERVER = "server_error"
# What OpenAI's clients take for the requests of a minute, and for its tokens alike.
LIMITED = "requests"


class Refused(exceptions.APIException):
    """An answer of OpenAI's kind that is not vectors. `wait` is the seconds after which to ask again."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status
        self.kind, self.code, self.param = kind, code, param
        self.wait = None if wait is None else max(1, math.ceil(wait))


def refusal_of(exc: Exception, texts: list[str]) -> Refused:
    """The answer to an error of a provider or of the settings, without what it quotes of the texts."""
    message = Failure.of(exc, private=texts).message
    match exc:
        case TextRefused():
            return Refused(400, f"Invalid 'input[{exc.position}]': {message}", param="input")
        case InputRejected():
            return Refused(400, message, param="input")
        case RateLimited():
            wait = 1.0 if exc.retry_after is None else exc.retry_after
            return Refused(429, message, kind=LIMITED, code="rate_limit_exceeded", wait=wait)
        case ProviderMisconfigured():
            return Refused(503, message, kind=SERVER, code="provider_misconfigured")
        case TransientError():
            return Refused(503, message, kind=SERVER, code="provider_unavailable", wait=exc.retry_after)
    return Refused(503, message, kind=SERVER, code="provider_unavailable")


def handle(exc: Exception, context: dict[str, Any]) -> Response:
    """The answer to an exception; a bug is answered and logged as Django would, but in OpenAI's shape."""
    refused = _refused(exc)
    if refused is None:
        return _bug(exc, context)
    response = views.exception_handler(refused, context)
    assert response is not None
    if isinstance(exc, exceptions.APIException) and (header := getattr(exc, "auth_header", None)):
        response["WWW-Authenticate"] = header
    response.data = _body(str(refused.detail), refused.kind, refused.param, refused.code)
    return response


def _refused(exc: Exception) -> Refused | None:
    match exc:
        case Refused():
            return exc
        case exceptions.NotAuthenticated():
            message = "You didn't provide an API key. Send this project's token as `Authorization: Bearer <token>`."
            return Refused(401, message)
        case exceptions.AuthenticationFailed():
            return Refused(401, f"Incorrect API key provided. {exc.detail}", code="invalid_api_key")
        case exceptions.PermissionDenied() | PermissionDenied():
            return Refused(403, str(getattr(exc, "detail", exc)), code="insufficient_permissions")
        case exceptions.Throttled():
            return Refused(
                429, str(exc.detail), kind=LIMITED, code="rate_limit_exceeded", wait=getattr(exc, "wait", None) or 1.0
            )
        case RequestDataTooBig():
            most = conf.max_body_bytes() / 1_000_000
            return Refused(413, f"The request is larger than {most:.1f} MB; send it in parts.", code="too_large")
        case Http404() | exceptions.NotFound():
            return Refused(404, "There is nothing of this name.", code="not_found")
        case exceptions.APIException():
            return Refused(exc.status_code, str(exc.detail), code=exc.default_code)
    return None


def _bug(exc: Exception, context: dict[str, Any]) -> Response:
    request = context["request"]
    got_request_exception.send(sender=None, request=request._request)
    response = Response(_body("The server had an error; its log says which.", SERVER, None, None), status=500)
    log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=exc)
    return response


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
