"""How much a run measures: all of it, the quick one for `make bench-quick`, and the smoke test of `make test`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`name` is one of NAMES."""

    name: str

    def of(self, full: int, quick: int, smoke: int) -> int:
        """The number for this scale: of rows, rounds, repetitions."""
        return {"full": full, "quick": quick, "smoke": smoke}[self.name]


NAMES = ("full", "quick", "smoke")
