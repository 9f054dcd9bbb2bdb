"""Admin pages of embedded models: saving comes back at once; the vector follows, and a column says how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from embeddings import registry
from embeddings.admin import EmbeddedAdmin
from project.content.states import UNKNOWN, State, states_of


class StateChangeList(ChangeList):
    """The list, with the states of this page's rows fetched at once: a query an embedded field."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        attach_states(self.result_list)


def attach_states(objects: Sequence[Any]) -> None:
    """Give each of these objects of one model `states`, {embedded field: State}."""
    for target in registry.targets_for(type(objects[0])) if objects else ():
        states = states_of(objects, target.field)
        for each in objects:
            each.__dict__.setdefault("states", {})[target.field] = states.get(each.pk, UNKNOWN)


def state_label(obj: Any, field: str) -> str:
    """The state of one embedded field in words; "-" of an object that is not stored yet."""
    if obj._state.adding:
        return "-"
    if "states" not in obj.__dict__:
        attach_states([obj])
    state: State = obj.states[field]
    return state.label


class ContentAdmin(EmbeddedAdmin):
    """For a model whose one embedded field is `embedding`; vectors are never loaded."""

    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*(target.field for target in registry.targets_for(self.model)))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return StateChangeList

    @admin.display(description="Embedding")
    def embedding_state(self, obj: Any) -> str:
        return state_label(obj, "embedding")
