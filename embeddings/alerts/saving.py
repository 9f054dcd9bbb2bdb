"""Who notices that no worker lives? Not a worker: a process that saves looks now and then."""

from __future__ import annotations

import logging
import time

from django.db import connections

from embeddings import conf, timeouts
from embeddings.alerts.watching import watch
from embeddings.models import Alert

logger = logging.getLogger(__name__)

# A process looks no more often.
LOOK_SECONDS = 60.0

_looked_at = float("-inf")


def look_for_workers() -> None:
    """After a commit: raise an alert if tasks wait and no worker lives. Two statements a minute; never raises."""
    if time.monotonic() - _looked_at < LOOK_SECONDS:
        return
    try:
        databases = conf.current().databases
        if any(connections[using].in_atomic_block for using in databases):
            return  # A failed statement would end somebody's transaction.
        rest()
        with timeouts.bounded(databases):
            watch([Alert.Kind.NO_WORKER])
    except Exception:  # The save has succeeded, whatever happens here.
        logger.exception("It could not be seen whether a worker lives.")


def rest() -> None:
    """Do not look before LOOK_SECONDS have passed."""
    global _looked_at
    _looked_at = time.monotonic()
