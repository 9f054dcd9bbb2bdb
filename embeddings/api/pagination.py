"""Pages of a list: a cursor, because the pages must not shift while workers work, nor grow slow far down."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import CursorPagination
from rest_framework.response import Response


class Newest(CursorPagination):
    """Newest first."""

    ordering = "-id"
    page_size = 50
    invalid_cursor_message = "There is no page with this cursor: begin again without one, and follow `next`."
    max_page_size = 200
    page_size_query_param = "page_size"
    page_size_query_description = "Entries on one page: 50, at most 200."

    def get_paginated_response(self, data: Any) -> Response:
        page = {"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data}
        return Response({"success": True, "data": page})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        example = "https://site.example/api/embeddings/tasks/?cursor=cD03Mg%3D%3D"
        link = {"type": "string", "format": "uri", "nullable": True, "example": example}
        page = {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }
        return {
            "type": "object",
            "required": ["success", "data"],
            "properties": {"success": {"type": "boolean", "example": True}, "data": page},
        }
