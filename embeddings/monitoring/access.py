"""Who may read metrics, and more of the health than a word."""

from __future__ import annotations

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from embeddings import conf

PERMISSION = "embeddings.view_embeddingtask"


def has_token(request: HttpRequest) -> bool:
    """Whether the request shows EMBEDDINGS["METRICS_TOKEN"], as "Authorization: Bearer …"."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = conf.current().metrics_token
    return bool(token) and scheme.lower() == "bearer" and constant_time_compare(given.strip(), token)


def refusal(request: HttpRequest) -> HttpResponse | None:
    """The answer to who may not read; None for who may: by the token, or by a login and its permission."""
    if has_token(request):
        return None
    try:
        user = getattr(request, "user", None)
        is_known = user is not None and user.is_authenticated
        if is_known and request.user.has_perm(PERMISSION):
            return None
    except Error:
        return _sentence("The database cannot be asked who you are; a bearer token needs no database.", 503)
    if is_known:
        return _sentence(f"You need the permission {PERMISSION}.", 403)
    sentence = 'Send "Authorization: Bearer …" with EMBEDDINGS["METRICS_TOKEN"], or log in.'
    refused = _sentence(sentence, 401)
    refused.headers["WWW-Authenticate"] = 'Bearer realm="embeddings"'
    return refused


async def may_see_details(request: HttpRequest) -> bool:
    """Whether the token, or the permission of who is logged in, allows more than a word. Never raises."""
    if has_token(request):
        return True
    if not hasattr(request, "auser"):
        return False
    try:
        return bool(await (await request.auser()).ahas_perm(PERMISSION))
    except Error:
        return False


def _sentence(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
