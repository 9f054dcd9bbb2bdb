"""Values that are remembered for a while: the latest used, up to a number, up to an age."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Least recently used goes first. Safe among threads; a process has its own."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._lock = threading.Lock()
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, key: str) -> V | None:
        """The value, unless it is unknown or too old."""
        with self._lock:
            if key not in self._values:
                return None
            made_at, value = self._values[key]
            if time.monotonic() - made_at > self._seconds:
                del self._values[key]
                return None
            self._values.move_to_end(key)
            return value

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._values[key] = time.monotonic(), value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
