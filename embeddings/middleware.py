"""Saves of people go ahead of background work, without a line in their views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from embeddings import context

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class PersonMiddleware:
    """Runs requests of logged-in users that may change something under `embeddings.by_person`.

    Who the user is, is asked at the first save, so that it costs the other requests nothing, and a user counts whom the
    REST framework has authenticated in the view.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._acall(request)
        if request.method in SAFE_METHODS:
            return self.get_response(request)
        with context.by_person(when=_is_logged_in(request)):
            return self.get_response(request)

    async def _acall(self, request: HttpRequest) -> Any:
        if request.method in SAFE_METHODS:
            return await self.get_response(request)
        with context.by_person(when=_is_logged_in(request)):
            return await self.get_response(request)


def _is_logged_in(request: HttpRequest) -> Callable[[], bool]:
    if not hasattr(request, "user"):
        raise ImproperlyConfigured(
            "PersonMiddleware does not know the user: put embeddings.middleware.PersonMiddleware after "
            "django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE."
        )
    return lambda: bool(request.user.is_authenticated)
