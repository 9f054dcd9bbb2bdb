"""What the views share: who may ask, how a request is read, and how a problem is told."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.renderers import JSONRenderer
from rest_framework.settings import api_settings

from embeddings.api import permissions
from embeddings.api.base import EmbeddingsView
from embeddings.openai_api import problems
from embeddings.openai_api.authentication import BearerAuthentication
from embeddings.openai_api.bodies import JSONBody


class OpenAIView(EmbeddingsView):
    # First OpenAI's way, so that 401 names it.
    authentication_classes = [BearerAuthentication, *cast("list[Any]", api_settings.DEFAULT_AUTHENTICATION_CLASSES)]
    required_permission = permissions.ADD_TEXT
    parser_classes = [JSONBody]
    renderer_classes = [JSONRenderer]

    def get_exception_handler(self) -> Any:
        return problems.handle
