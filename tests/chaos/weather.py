"""How the provider fares: calm and bad spells by turns."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from tests.chaos.provider_server import CountingFaults

Spell = Callable[[CountingFaults], None]

# A spell lasts so long, and so does the calm after it.
SPELL_SECONDS = (1.0, 4.0)


def _spell(kind: Any, **options: Any) -> Spell:
    return lambda faults: faults.add(kind, **options)


def spells(lease_seconds: float) -> list[Spell]:
    """All the bad spells; the slow ones answer before and after a lease ends."""
    return [
        _spell("respond", status=429, rate=0.5, headers={"retry-after-ms": "400"}),
        _spell("respond", status=429, headers={"retry-after": "1"}),
        _spell("respond", status=500, rate=0.3),
        _spell("respond", status=503),
        _spell("cut_before", rate=0.3),
        _spell("cut_body", rate=0.3),
        _spell("cut_before"),
        _spell("garbage", rate=0.2),
        _spell("slow", rate=0.3, seconds=lease_seconds / 2),
        _spell("slow", rate=0.1, seconds=lease_seconds * 1.5),
    ]


class Weather:
    def __init__(self, faults: CountingFaults, *, lease_seconds: float, chance: random.Random) -> None:
        self._faults = faults
        self._all = spells(lease_seconds)
        self._next: list[Spell] = []
        self._chance = chance
        self._is_bad = False
        self._until = time.monotonic() + chance.uniform(*SPELL_SECONDS)

    def tick(self) -> None:
        if time.monotonic() < self._until:
            return
        self._until = time.monotonic() + self._chance.uniform(*SPELL_SECONDS)
        self._is_bad = not self._is_bad
        self._faults.clear()
        if self._is_bad:
            if not self._next:
                self._next = self._chance.sample(self._all, len(self._all))
            self._next.pop()(self._faults)

    def clear(self) -> None:
        self._faults.clear()
