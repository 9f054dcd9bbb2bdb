"""The settings of the live site: the reference project's own, but for what a test needs."""
# ruff: noqa: F403, F405

from __future__ import annotations

from project.settings import *

EMBEDDINGS = {
    **EMBEDDINGS,
    # The receiver is on this machine.
    "WEBHOOK_PRIVATE_ADDRESSES": True,
    # A busy machine takes its time to load the model for the first search of a process.
    "SEARCH_TIMEOUT_SECONDS": 30,
}
