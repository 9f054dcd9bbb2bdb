"""The settings of worker processes that a test starts: the test's own databases and, on request, another provider."""
# ruff: noqa: F403, F405

from __future__ import annotations

import json
import os

from tests.settings import *

for pair in os.environ["TEST_DATABASE_NAMES"].split(","):
    alias, name = pair.split("=")
    DATABASES[alias]["NAME"] = name

EMBEDDINGS = {**EMBEDDINGS, **json.loads(os.environ.get("TEST_EMBEDDINGS", "{}"))}
EMBEDDING_PROVIDERS = json.loads(os.environ.get("TEST_PROVIDERS", "null")) or EMBEDDING_PROVIDERS
