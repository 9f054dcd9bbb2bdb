"""The body of a request, whatever its Content-Type says: OpenAI's clients send JSON and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from embeddings.openai_api.problems import Refused


class JSONBody(BaseParser):
    """An object of JSON. Read through Django, which refuses what is longer than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        assert parser_context is not None
        try:
            body = json.loads(parser_context["request"].body)
        except (ValueError, RecursionError) as exc:
            raise Refused(400, "The body of the request is not JSON.") from exc
        if not isinstance(body, dict):
            raise Refused(400, "The body of the request is not an object of JSON.")
        return body
