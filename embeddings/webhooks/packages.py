"""What has to be installed for webhooks; nothing else of this app needs it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

INSTALL = "pip install 'django-rq-embeddings[webhooks]'"


@cache
def missing() -> tuple[str, ...]:
    """The names of the packages that are not there."""
    return tuple(name for name in ("httpcore2", "standardwebhooks") if find_spec(name) is None)
