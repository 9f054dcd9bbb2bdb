"""django-rq's own pages (queues, jobs, RQ's workers), for superusers: they can empty queues.

django-rq asks only whether a visitor is staff.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django_rq.urls import urlpatterns as unguarded

View = Callable[..., HttpResponse]


def superusers_only(view: View) -> View:
    """Anonymous visitors log in first; everybody else who is not a superuser gets 403."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        if not request.user.is_superuser:
            raise PermissionDenied("The queue's pages are for superusers.")
        return view(request, *args, **kwargs)

    return guarded


def _guarded(pattern: URLPattern) -> URLPattern:
    return URLPattern(pattern.pattern, superusers_only(pattern.callback), pattern.default_args, pattern.name)


app_name = "django_rq"
urlpatterns = [_guarded(pattern) for pattern in unguarded]
