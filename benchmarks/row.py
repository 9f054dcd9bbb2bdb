"""A row of the benchmarks' table: two things that were measured in turns, and what their ratio should be."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, with its figure of each round."""

    label: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Row:
    """`ours : theirs`, in the same unit; the n-th figures of both are of the same round.

    The goals are limits of the ratio's median, or of the median of ours.
    """

    topic: str
    what: str
    unit: str
    ours: Side
    theirs: Side
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    ours_at_least: float | None = None
    ours_at_most: float | None = None

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours.values, self.theirs.values, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest ratio."""
        return min(self.ratios), max(self.ratios)

    @property
    def goal(self) -> str:
        """In words; empty if there is none."""
        limits = [
            ("≥ {}", self.ratio_at_least, " times"),
            ("≤ {}", self.ratio_at_most, " times"),
            ("≥ {}", self.ours_at_least, f" {self.unit}"),
            ("≤ {}", self.ours_at_most, f" {self.unit}"),
        ]
        return ", ".join(sign.format(shown(limit)) + unit for sign, limit, unit in limits if limit is not None)

    @property
    def is_met(self) -> bool:
        """Whether it is as it should be; also if there is no goal."""
        return all(
            (
                self.ratio_at_least is None or self.ratio >= self.ratio_at_least,
                self.ratio_at_most is None or self.ratio <= self.ratio_at_most,
                self.ours_at_least is None or self.ours.median >= self.ours_at_least,
                self.ours_at_most is None or self.ours.median <= self.ours_at_most,
            )
        )

    def as_json(self) -> dict[str, Any]:
        """What went in, and what follows from it."""
        found = {"ratio": self.ratio, "spread": self.spread, "goal": self.goal, "is_met": self.is_met}
        return asdict(self) | found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Row:
        fields = {name: data[name] for name in cls.__dataclass_fields__}
        for name in ("ours", "theirs"):
            fields[name] = Side(data[name]["label"], tuple(data[name]["values"]))
        return cls(**fields)


def shown(value: float) -> str:
    """With three significant digits, and never in powers of ten."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
