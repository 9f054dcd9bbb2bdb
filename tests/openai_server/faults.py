"""Faults that a test asks for: which of the next requests go wrong, and how."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

FaultKind = Literal[
    "respond",  # this status, body (JSON, or a string as it is) and headers instead of an answer
    "slow",  # the answer, after `seconds`
    "cut_before",  # the connection ends without an answer
    "cut_body",  # … in the middle of it
    "garbage",  # status 200 and something that is not JSON
    "wrong_count",  # one vector too few
    "wrong_dimensions",  # one number too few in each vector
    "nan",  # a vector that is not numbers
    "reversed",  # the right answer, last input first
    "no_index",  # the right answer without the numbers of the inputs
]


@dataclass
class Fault:
    """Hits each request with probability `rate`, `count` times in all (None: for ever)."""

    kind: FaultKind
    count: int | None = None
    rate: float = 1.0
    seconds: float = 0.0
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"there is no fault {self.kind!r}")


class Faults:
    """The faults that wait for a request; the first that hits is used."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._waiting: list[Fault] = []

    def add(self, kind: FaultKind, **options: Any) -> None:
        with self._lock:
            self._waiting.append(Fault(kind, **options))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def next(self) -> Fault | None:
        """The fault of the request that has just come."""
        with self._lock:
            for fault in self._waiting:
                if fault.count == 0 or self._random.random() >= fault.rate:
                    continue
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None
