"""Who may come in: log-in and permissions, for whole pages and for what htmx asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from project.content.catalogue import Collection
from project.content.visibility import may

View = Callable[..., HttpResponse]


def needs(action: str, model: type[Model]) -> Callable[[View], View]:
    """Strangers log in first; who lacks the permission is told which it is, and so is htmx in both cases."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                if request.htmx:  # which would put the log-in page where a piece of this one belongs
                    raise PermissionDenied("You are logged out by now. Log in in another window, then reload this one.")
                return redirect_to_login(request.get_full_path())
            check(request, action, model)
            return view(request, *args, **kwargs)

        return guarded

    return guard


def check(request: HttpRequest, action: str, model: type[Model]) -> None:
    """Raises PermissionDenied naming the permission that the user lacks."""
    if not may(request.user, action, model):
        needed = f"{model._meta.app_label}.{action}_{model._meta.model_name}"
        raise PermissionDenied(f"This needs the permission {needed}.")


def object_or_404(collection: Collection, key: Any, request: HttpRequest) -> Any:
    """The object with this primary key, if the user may see it."""
    try:
        return get_object_or_404(collection.visible(request.user), pk=key)
    except (ValueError, ValidationError) as exc:  # such a key cannot be
        raise Http404 from exc
