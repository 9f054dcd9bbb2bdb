"""What a visitor may see and do: the one place that the pages, the search and the API ask."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model, QuerySet

from project.content.models import Article, Block, Page, PageChunk, Recommendation, Workspace

User = AbstractBaseUser | AnonymousUser

# Everybody may read these; they are nobody's own.
PUBLIC = (Article, Recommendation)
# Where the workspace is whose members see an object of the model.
WORKSPACE = {Workspace: "pk", Page: "workspace", PageChunk: "page__workspace", Block: "page__workspace"}


def visible(model: type[Model], user: User) -> QuerySet[Any]:
    """The objects of one model that `user` may see: by the view permission, and by workspace where there is one."""
    objects = model._default_manager.all()
    if model in PUBLIC or user.is_superuser:
        return objects
    if not may(user, "view", model):
        return objects.none()
    if model in WORKSPACE:
        # A subquery and no join: what is found through it can be searched, counted and locked as it is.
        return objects.filter(**{f"{WORKSPACE[model]}__in": workspaces_of(user).values("pk")})
    return objects


def workspaces_of(user: User) -> QuerySet[Workspace]:
    """The workspaces whose pages `user` may see and, with the permission, change."""
    workspaces = Workspace.objects.all()
    return workspaces if user.is_superuser else workspaces.filter(members=user.pk)


def may(user: User, action: str, model: type[Model]) -> bool:
    """Whether `user` has a permission of the model: "view", "add", "change" or "delete"."""
    return user.has_perm(f"{model._meta.app_label}.{action}_{model._meta.model_name}")
