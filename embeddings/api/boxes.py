"""Objects that are made in boxes over the API: a view that a project gives its own serializer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError as Invalid
from django.db import IntegrityError, models, router, transaction
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.settings import api_settings

from embeddings import boxes
from embeddings.api.base import SpendingView
from embeddings.api.boxed_answers import (
    EmbeddingBoxQuerySerializer,
    EmbeddingBoxStateSerializer,
    EmbeddingWaitSerializer,
)
from embeddings.api.idempotency import idempotent
from embeddings.api.problems import Conflict, Unavailable
from embeddings.api.throttling import SpendingThrottle
from embeddings.exceptions import ConfigurationError, InputRejected, ProviderError


class BoxedCreateMixin:
    """The calls of BoxedCreate, for a viewset.

    `serializer_class` is a ModelSerializer whose fields are what may be given. `embedded_field` names the vector that
    the objects appear with, where their model has several. Permissions are those of the view.
    """

    embedded_field: str | None = None
    # The most objects in one call.
    max_objects = 100

    def made(self, request: Request) -> tuple[Any, int]:
        """What the call makes, and the status of the answer; raises the problem."""
        if isinstance(request.data, list):
            return self._boxed_together(request.data, request), 202
        values = self._validated(request.data)
        if self.is_waited_for(request, values):
            return self.shown(self._made_now(values)), 201
        boxed = self._boxed(values)
        if boxed["taskId"] is None:  # Embedding is switched off, so it is stored already.
            return self.shown(self.box_model._default_manager.get(pk=boxed["entityId"])), 201
        return boxed, 202

    def state(self, request: Request) -> dict[str, Any]:
        """How far the object of `?task=` or `?entity=` is."""
        query = EmbeddingBoxQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        model = self.box_model
        if "task" in query.validated_data:
            found = boxes.state(query.validated_data["task"], using=router.db_for_write(model))
        else:
            found = boxes.state_of(model, _key(model, query.validated_data["entity"]))
        if found is None or found.model != model._meta.label_lower:
            name = model._meta.verbose_name
            raise NotFound(f"There is no such {name}, neither stored nor on its way.")
        return dict(EmbeddingBoxStateSerializer(found).data)

    def is_waited_for(self, request: Request, values: dict[str, Any]) -> bool:
        """Whether the object is to be stored before the answer; may take what says so out of the values."""
        query = EmbeddingWaitSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return bool(query.validated_data["wait"])

    def shown(self, stored: models.Model) -> Any:
        """What a stored object looks like."""
        return self.get_serializer(stored).data  # type: ignore[attr-defined]

    @property
    def box_model(self) -> type[models.Model]:
        model: type[models.Model] = self.get_serializer_class().Meta.model  # type: ignore[attr-defined]
        return model

    def _validated(self, data: Any) -> dict[str, Any]:
        wanted = self.get_serializer(data=data)  # type: ignore[attr-defined]
        wanted.is_valid(raise_exception=True)
        return dict(wanted.validated_data)

    def _boxed_together(self, items: list[Any], request: Request) -> list[dict[str, Any]]:
        """All or none; a problem names its item by its place, the first is 1."""
        if not 0 < len(items) <= self.max_objects:
            raise ValidationError(f"Send 1 to {self.max_objects} objects in one call, not {len(items)}.")
        values = _each(items, self._validated)
        waited_for = [each for each in values if self.is_waited_for(request, each)]
        if waited_for:
            raise ValidationError("Only one object can be waited for: send it alone, or without `wait`.")
        with transaction.atomic(using=router.db_for_write(self.box_model)):
            return _each(values, self._boxed)

    def _boxed(self, values: dict[str, Any]) -> dict[str, Any]:
        objects: Any = self.box_model._default_manager
        boxed = _created(objects.create_boxed, values, self.embedded_field)
        return {"entityId": str(boxed.entity_id), "taskId": boxed.task_id}

    def _made_now(self, values: dict[str, Any]) -> Any:
        objects: Any = self.box_model._default_manager
        try:
            return _created(objects.create_now, values, self.embedded_field)
        except InputRejected as exc:
            raise ValidationError(f"The provider does not take this text: {exc}") from exc
        except (ProviderError, ConfigurationError) as exc:
            raise Unavailable(
                "Nothing was stored, because the vector cannot be made now; send it without waiting for it."
            ) from exc


class BoxedCreate(BoxedCreateMixin, SpendingView, GenericAPIView[Any]):
    """POST an object, or a list of them, to be made in a box; GET ?task= or ?entity= to see how far one is.

    Subclass it with `serializer_class` and `required_permission`.
    """

    @idempotent
    def post(self, request: Request) -> Response:
        data, status = self.made(request)
        return Response({"success": True, "data": data}, status)

    def get(self, request: Request) -> Response:
        return Response({"success": True, "data": self.state(request)})

    def get_throttles(self) -> list[Any]:
        """Asking how far an object is has no provider asked."""
        found = super().get_throttles()
        is_asking = self.request.method == "POST"
        return [each for each in found if is_asking or not isinstance(each, SpendingThrottle)]


def _key(model: type[models.Model], text: str) -> Any:
    try:
        return model._meta.pk.to_python(text)
    except (Invalid, ValueError) as exc:
        raise ValidationError({"entity": f"{text!r} is no key of a {model._meta.verbose_name}."}) from exc


def _created(create: Callable[..., Any], values: Mapping[str, Any], field: str | None) -> Any:
    """What `create` makes; what it refuses is told as the API tells it."""
    try:
        return create(field=field, **values)
    except Invalid as exc:
        raise ValidationError(as_serializer_error(exc)) from exc
    except IntegrityError as exc:  # It was valid before the provider was asked.
        raise Conflict(
            "Something was stored or deleted meanwhile that does not go with this; send it again to hear what."
        ) from exc


def _each(items: list[Any], made: Callable[[Any], Any]) -> list[Any]:
    """What is made of each item; raises the problems of all that have some, by their places."""
    found: list[Any] = []
    problems: Any = {}
    for place, item in enumerate(items):
        try:
            found.append(made(item))
        except ValidationError as exc:
            detail = exc.detail
            problems[place] = detail if isinstance(detail, dict) else {api_settings.NON_FIELD_ERRORS_KEY: detail}
    if problems:
        raise ValidationError(problems)
    return found
