"""The settings of worker processes in a project that has a queue of its own beside ours."""
# ruff: noqa: F403, F405

from __future__ import annotations

from tests.worker_settings import *

RQ_QUEUES = {**RQ_QUEUES, "default": {"URL": RQ_QUEUES["embeddings"]["URL"]}}
