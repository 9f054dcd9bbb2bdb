"""Who opens the pages: a member of staff who may do everything with embeddings, and see what is embedded."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User
from django.db.models import Q

from embeddings import registry


def make() -> User:
    """An operator who is no superuser, so that permissions are asked for."""
    user = User.objects.create_user("operator", is_staff=True)
    models = {target.model._meta for target in registry.all_derived()}
    objects = Q(content_type__app_label__in={opts.app_label for opts in models}, codename__startswith="view_")
    user.user_permissions.set(Permission.objects.filter(Q(content_type__app_label="embeddings") | objects))
    return user


def get() -> User:
    return User.objects.get(username="operator")
