"""Bodies of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.settings import api_settings


class CarefulJSONParser(JSONParser):
    """Refuses what is nested deeper than Python reads, which the framework's own takes for a bug of ours."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as exc:
            raise ParseError("The JSON is nested too deeply.") from exc


class StrictSerializer(serializers.Serializer[Any]):
    """For what spends, changes or holds up much: a misspelt `dryRun`, `until`, or `filter` must not be passed over."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            names = {name.partition(".")[0] for name in data} - {"csrfmiddlewaretoken"}  # A form has `filter.status`.
            if unknown := sorted(names - set(self.fields)):
                message = f"There is no {unknown[0]!r}; there are {', '.join(self.fields)}."
                raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [message]})
        return super().to_internal_value(data)


class StrictSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says so in the OpenAPI schema."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}
