"""Of workers in a project whose webhooks have a queue of their own."""
# ruff: noqa: F403, F405

from __future__ import annotations

from tests.worker_settings import *

RQ_QUEUES = {**RQ_QUEUES, "webhooks": RQ_QUEUES["embeddings"]}
