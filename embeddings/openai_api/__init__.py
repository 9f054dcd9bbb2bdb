"""OpenAI's embeddings API, by this project's providers: `path("v1/", include("embeddings.openai_api.urls"))`.

Needs the extra "api", and "rest_framework.authtoken" in INSTALLED_APPS for its keys.
"""

from __future__ import annotations
