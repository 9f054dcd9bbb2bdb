"""The settings of the run and of its workers: those of the tests, on the servers of the stage."""
# ruff: noqa: F403, F405

from __future__ import annotations

import json
import os

from tests.settings import *

STAGE = json.loads(os.environ["CHAOS_STAGE"])
# PostgreSQL then knows which worker it talks to.
_NAMED = {"application_name": os.environ.get("CHAOS_WORKER", "chaos")}
DATABASES = {"default": {**DATABASES["default"], "OPTIONS": {**DATABASES["default"].get("OPTIONS", {}), **_NAMED}}}

RQ = {"WORKER_CLASS": "tests.chaos.worker.ChaosWorker"}
EMBEDDINGS = STAGE["embeddings"]
EMBEDDING_PROVIDERS = {
    "default": {
        "BACKEND": "tests.chaos.provider.ChaosProvider",
        "MODEL": STAGE["model"],
        "DIMENSIONS": STAGE["dimensions"],
        "OPTIONS": {"BASE_URL": STAGE["provider_url"], "API_KEY": STAGE["api_key"], "ENCODING": "base64"},
    }
}
