"""The settings of the live site: the reference project's own, and webhooks may be sent to this machine."""
# ruff: noqa: F403, F405

from __future__ import annotations

from project.settings import *

EMBEDDINGS = {**EMBEDDINGS, "WEBHOOK_PRIVATE_ADDRESSES": True}
# Until the project itself has tokens.
INSTALLED_APPS = list(dict.fromkeys([*INSTALLED_APPS, "rest_framework.authtoken"]))
