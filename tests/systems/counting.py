"""How many queries something takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext


def queries(call: Callable[[], Any]) -> int:
    """Of the second of two calls, as the first may fill caches."""
    call()
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)
