"""The REST API: `path("api/embeddings/", include("embeddings.api.urls"))`. Needs the extra "api"."""

from __future__ import annotations
